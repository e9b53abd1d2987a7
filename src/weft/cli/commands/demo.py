"""Run the example project, show the run, and go on serving."""

from __future__ import annotations

import uuid
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING

import click

from weft.cli.desk import Desk, at_a_desk, examples
from weft.cli.failures import RUN_FAILED
from weft.cli.output import dumped
from weft.cli.progress import failures, progress
from weft.core.states import RunStatus
from weft.project.scaffold import create_project

if TYPE_CHECKING:
    from weft.app.server import Served

FOLDER = Path("weft-demo")


@click.command(
    epilog=examples("weft demo", "weft demo --once --port 6800", "weft demo /tmp/titanic")
)
@click.argument("directory", type=click.Path(path_type=Path), default=FOLDER)
@click.option("--once", is_flag=True, help="End after the run; 0 only if it completed.")
@click.option("--port", type=click.IntRange(0, 65535), help="Default: 6789, or the next free one.")
@at_a_desk
def command(desk: Desk, directory: Path, once: bool, port: int | None) -> int:  # noqa: FBT001
    """Run the example project, show the run, and go on serving.

    Makes the project in ./weft-demo unless it is there, serves it, fires its example
    pipeline through a schedule `@once`, and prints the pipeline run object as the API
    returns it.
    """
    from weft.app.demo import fetch, fire_once  # noqa: PLC0415 - heavy, not for --help
    from weft.app.logs import configure  # noqa: PLC0415 - heavy, not for --help
    from weft.app.server import serve  # noqa: PLC0415 - heavy, not for --help

    create_project(directory.absolute(), project_uuid=uuid.uuid4().hex)
    settings = desk.settings(project_dir=directory, port=port)
    configure("WARNING", settings.log_format)
    shown: Future[RunStatus] = Future()

    def show(served: Served) -> RunStatus:
        desk.out.say(f"Weft serves {directory} on {served.url}")
        context = served.house.context
        with progress() as draw:
            stored = fire_once(context, draw)
        if trouble := failures(stored, context.logs):
            desk.out.say(trouble)
        answer = fetch(served.url, f"/api/pipeline_runs/{stored.run.id}")
        click.echo(dumped(answer["pipeline_run"]))
        return stored.run.status

    def ready(served: Served) -> None:
        try:
            shown.set_result(show(served))
        except Exception as error:  # noqa: BLE001 - raised again below, where it is explained
            shown.set_exception(error)
        if once or shown.exception() is not None:
            served.stop()
        else:
            desk.out.say(f"Serving on {served.url}  (Ctrl-C ends it)")

    serve(settings, next_free_port=True, warm=True, ready=ready)
    if not shown.done():
        return RUN_FAILED
    return 0 if shown.result() is RunStatus.COMPLETED else RUN_FAILED
