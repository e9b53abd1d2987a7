"""Run the engine of a project, without the API."""

from __future__ import annotations

from pathlib import Path

import click

from weft.cli.desk import Desk, at_a_desk, examples


@click.command(epilog=examples("weft engine my_project"))
@click.argument("directory", required=False, type=click.Path(path_type=Path))
@at_a_desk
def command(desk: Desk, directory: Path | None) -> None:
    """Run the engine of a project, without the API.

    It takes up runs that wait, fires schedules, and drains at SIGTERM or Ctrl-C.

    On SQLite a project has one engine, and `weft start` is one. On PostgreSQL several
    work side by side, in one data directory or in several; all must be reachable from
    every host under the same path, which is checked at the start.
    """
    from weft.app.logs import configure  # noqa: PLC0415 - heavy, not for --help
    from weft.app.server import run_engine  # noqa: PLC0415 - heavy, not for --help

    settings = desk.settings(project_dir=directory)
    configure(settings.log_level, settings.log_format)

    def ready() -> None:
        desk.out.line(
            {"project": str(settings.project_dir)},
            f"The engine serves {settings.project_dir}. Ctrl-C ends it.",
        )

    run_engine(settings, ready=ready)
