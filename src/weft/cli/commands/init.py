"""Make a new project, with an example pipeline."""

from __future__ import annotations

import uuid
from pathlib import Path

import click

from weft.cli.desk import Desk, at_a_desk, examples
from weft.core.errors import Invalid
from weft.project.scaffold import create_project


@click.command(epilog=examples("weft init my_project", "weft init my_project --no-example"))
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--example/--no-example", default=True, help="With the example pipeline (default).")
@click.option("--project-uuid", help="Name of the project in databases; default: made up.")
@click.option("--project-type", default="standalone", hidden=True)
@click.option("--cluster-type", hidden=True)
@at_a_desk
def command(
    desk: Desk,
    directory: Path,
    example: bool,  # noqa: FBT001 - a flag of Click's
    project_uuid: str | None,
    project_type: str,
    cluster_type: str | None,
) -> None:
    """Make a new project, with an example pipeline.

    The folder may be absent or empty; a project that is there already stays as it is.
    """
    if project_type != "standalone" or cluster_type is not None:
        raise Invalid(
            "only projects of type standalone are supported",
            hint="Leave --project-type and --cluster-type out.",
        )
    path = directory.expanduser().absolute()
    create_project(path, project_uuid=project_uuid or uuid.uuid4().hex, with_example=example)

    def human() -> None:
        click.echo(f"The project is in {path}.")
        desk.out.say(f"Serve it with `weft start {directory}`.")

    desk.out.answer({"path": str(path)}, human)
