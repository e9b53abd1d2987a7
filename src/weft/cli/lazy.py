"""Commands found by file name and imported when they are called."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path

import click

_FIRST_LINE = re.compile(r'^"""(.+?)(?:"""|$)')


class LazyGroup(click.Group):
    """Lists the files of a package as commands without importing any of them.

    The short help is the first line of the file's docstring; an underscore of the
    file's name is a dash of the command's.
    """

    def __init__(self, *, package: str, folder: str, name: str, **attributes: object) -> None:
        super().__init__(name=name, **attributes)  # type: ignore[arg-type]
        self._package = package
        self._folder = Path(folder)

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return sorted(
            info.name.replace("_", "-") for info in pkgutil.iter_modules([str(self._folder)])
        )

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"{self._package}.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, self._short_help(name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            close = _close(args[0], self.list_commands(ctx)) if args else ()
            if not close:
                raise
            raise click.UsageError(
                f"{error.message} Did you mean {' or '.join(close)}?", ctx
            ) from None

    def _short_help(self, name: str) -> str:
        path = self._folder / f"{name.replace('-', '_')}.py"
        with path.open(encoding="utf-8") as file:
            found = _FIRST_LINE.match(file.readline())
        return found[1].strip() if found else ""


def _close(given: str, names: list[str]) -> list[str]:
    import difflib  # noqa: PLC0415 - only after a mistake, and --help must be instant

    return difflib.get_close_matches(given, names)
