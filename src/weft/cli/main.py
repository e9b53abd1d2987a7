"""The command `weft`."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

import click

from weft import __version__
from weft.cli.failures import INTERRUPTED, exit_code, explain
from weft.cli.lazy import LazyGroup
from weft.core.errors import WeftError

_HELP = """Data pipelines from small blocks of Python.

Examples:

\b
  weft init my_project            make a project
  weft start my_project           serve it on http://127.0.0.1:6789
  weft run my_project example_pipeline --var year=1912
  weft runs list -C my_project    what ran, and how it ended
"""


def root() -> LazyGroup:
    """Return the command with all of its commands, none of them imported yet."""
    group = LazyGroup(
        package="weft.cli.commands",
        folder=os.path.join(os.path.dirname(__file__), "commands"),  # noqa: PTH118, PTH120
        name="weft",
        help=_HELP,
        context_settings={"help_option_names": ["-h", "--help"]},
        params=[
            click.Option(
                ["--debug"], is_flag=True, expose_value=False, help="Show tracebacks of errors."
            )
        ],
        callback=lambda: None,
    )
    return click.version_option(__version__, prog_name="weft", message="%(prog)s %(version)s")(
        group
    )


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and end the process with an honest code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(_run(given, debug="--debug" in given[:1]))


def _run(arguments: list[str], *, debug: bool) -> int:
    try:
        result = root().main(arguments, prog_name="weft", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away; a second error at exit would be noise.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except WeftError as error:
        if debug:
            traceback.print_exc()
        click.echo(explain(error), err=True)
        return exit_code(error)
    except Exception as error:  # noqa: BLE001 - the last resort: said to the user, never hidden
        if debug:
            traceback.print_exc()
        click.echo(
            f"Error: {type(error).__name__}: {error}\n"
            "  This is a defect of Weft. `weft --debug ...` shows where it happened.",
            err=True,
        )
        return 1
    return result if isinstance(result, int) else 0
