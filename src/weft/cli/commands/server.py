"""Serve the API of a project, without an engine."""

from __future__ import annotations

from pathlib import Path

import click

from weft.cli.desk import Desk, at_a_desk, examples
from weft.cli.serving import announce_and_serve


@click.command(epilog=examples("weft server my_project &", "weft engine my_project"))
@click.argument("directory", required=False, type=click.Path(path_type=Path))
@click.option("--host", help="Address to listen on; default: 127.0.0.1.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; default: 6789.")
@at_a_desk
def command(desk: Desk, directory: Path | None, host: str | None, port: int | None) -> None:
    """Serve the API of a project, without an engine.

    Runs wait until an engine takes them up: `weft engine`, here or, with PostgreSQL
    and shared folders, elsewhere.
    """
    settings = desk.settings(project_dir=directory, host=host, port=port)
    announce_and_serve(desk, settings, with_engine=False)
