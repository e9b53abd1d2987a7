"""Run a pipeline here and now, without a server."""

from __future__ import annotations

from pathlib import Path

import click

from weft.api.shapes.runs import whole, with_pipeline
from weft.cli.desk import Desk, at_a_desk, examples, json_object, pairs
from weft.cli.failures import RUN_FAILED
from weft.cli.progress import failures, progress
from weft.core.errors import Invalid
from weft.core.states import RunStatus

_NOT_HERE = (
    "block_uuid",
    "execution_partition",
    "executor_type",
    "callback_url",
    "block_run_id",
    "pipeline_run_id",
    "template_runtime_configuration",
)
"""Options of `mage run` that are understood, and refused instead of being ignored."""


def _refused_options(function: click.decorators.FC) -> click.decorators.FC:
    for name in _NOT_HERE:
        option = click.option(f"--{name.replace('_', '-')}", name, hidden=True)
        function = option(function)
    return click.option("--skip-sensors/--no-skip-sensors", hidden=True)(function)


@click.command(
    epilog=examples(
        "weft run my_project example_pipeline",
        "weft run my_project example_pipeline --var year=1912 --var classes='[1, 2]'",
        "weft run my_project example_pipeline --json | jq .status",
    )
)
@click.argument("directory", type=click.Path(path_type=Path))
@click.argument("pipeline")
@click.option("--var", "variables", multiple=True, metavar="NAME=VALUE", help="Repeatable.")
@click.option("--runtime-vars", metavar="JSON", help="Variables as one JSON object.")
@click.option(
    "--test/--no-test", "tests", default=True, help="Run the blocks' tests; default: yes."
)
@_refused_options
@at_a_desk
def command(  # noqa: PLR0917 - all by keyword, from Click
    desk: Desk,
    directory: Path,
    pipeline: str,
    variables: tuple[str, ...],
    runtime_vars: str | None,
    tests: bool,  # noqa: FBT001 - a flag of Click's
    skip_sensors: bool,  # noqa: FBT001 - a flag of Click's
    **refused: str | None,
) -> int:
    """Run a pipeline here and now, without a server.

    A variable's value that is JSON is read as JSON, else as text. Progress goes to
    stderr; with --json, stdout gets the pipeline run object. The exit code is 0 only
    if the run completed. Ctrl-C cancels the run, a second one ends at once.
    """
    for name, value in (*refused.items(), ("skip_sensors", skip_sensors or None)):
        if value is not None:
            raise Invalid(
                f"--{name.replace('_', '-')} of `mage run` is not supported",
                hint="Leave it out: the whole pipeline runs, with every block in a process "
                "of its own.",
            )
    given = json_object(runtime_vars, "--runtime-vars") if runtime_vars else {}
    given |= pairs(variables, "--var")
    with desk.house(project_dir=directory) as house:
        from weft.app.local_run import run_pipeline  # noqa: PLC0415 - heavy, not for --help

        with progress() as show:
            stored = run_pipeline(house, pipeline, given, show, run_tests=tests)
        trouble = failures(stored, house.context.logs)
        loaded = house.context.files.load(stored.run.pipeline_uuid)
        answer = with_pipeline(
            whole(stored, repo_path=str(house.settings.project_dir), detail=True),
            loaded.spec,
            tags=True,
            kind=True,
        )
    if trouble:
        desk.out.say(trouble)
    desk.out.answer(answer, lambda: click.echo(f"Run {stored.run.id} {stored.run.status}."))
    return 0 if stored.run.status is RunStatus.COMPLETED else RUN_FAILED
