"""List, show, cancel and delete pipeline runs."""

from __future__ import annotations

import click

from weft.api.shapes.runs import whole
from weft.cli.desk import Desk, at_a_desk, examples
from weft.cli.output import fields, table
from weft.cli.words import seconds_between, warn_without_engine
from weft.core.ids import RunId, ScheduleId
from weft.core.json import Json
from weft.core.records import RunWithBlocks
from weft.core.states import RUN_ENDED, RunStatus
from weft.services import runs
from weft.services.caller import LOCAL


@click.group()
def command() -> None:
    """List, show, cancel and delete pipeline runs."""


@command.command(
    "list",
    epilog=examples(
        "weft runs list", "weft runs list --status failed --limit 5", "weft runs list --json"
    ),
)
@click.option("--pipeline", "pipelines", multiple=True, help="Of this pipeline only; repeatable.")
@click.option(
    "--status",
    "statuses",
    multiple=True,
    type=click.Choice([status.value for status in RunStatus], case_sensitive=False),
    help="Repeatable.",
)
@click.option("--schedule", type=int, help="Of the schedule with this id only.")
@click.option("--limit", type=click.IntRange(0, 1000), default=20, show_default=True)
@click.option("--offset", type=click.IntRange(0), default=0)
@at_a_desk
def list_(
    desk: Desk,
    pipelines: tuple[str, ...],
    statuses: tuple[str, ...],
    schedule: int | None,
    limit: int,
    offset: int,
) -> None:
    """List runs, the newest first; those of `weft run` too."""
    query = runs.RunQuery(
        pipelines=pipelines,
        statuses=statuses,
        schedule_id=None if schedule is None else ScheduleId(schedule),
        order_by=(("id", True),),
        with_hidden=True,
        limit=limit,
        offset=offset,
    )
    with desk.house() as house:
        page = runs.list_runs(house.context, LOCAL, query)
        objects = [_object(stored, str(house.settings.project_dir)) for stored in page.items]

    def human() -> None:
        table(
            ("run", "pipeline", "status", "created", "seconds", "blocks", "trigger"),
            [_row(stored) for stored in page.items],
        )
        if page.next:
            desk.out.say(f"{page.total} in all; --offset {offset + limit} shows the next.")

    desk.out.answer(objects, human)


@command.command("show", epilog=examples("weft runs show 7", "weft runs show 7 --json"))
@click.argument("run", type=int)
@at_a_desk
def show(desk: Desk, run: int) -> None:
    """Show a run with its block runs; with --json, as the API returns it."""
    with desk.house() as house:
        stored = runs.get_run(house.context, LOCAL, RunId(run))
        answer = _object(stored, str(house.settings.project_dir))
    desk.out.answer(answer, lambda: _print(stored))


@command.command("cancel", epilog=examples("weft runs cancel 7"))
@click.argument("run", type=int)
@at_a_desk
def cancel(desk: Desk, run: int) -> None:
    """Ask a run to end, and wait a few seconds for its end."""
    with desk.house() as house:
        stored = runs.cancel_run(house.context, LOCAL, RunId(run))
        answer = _object(stored, str(house.settings.project_dir))
        if stored.run.status not in RUN_ENDED:
            desk.out.say(f"Run {run} was asked to end and has not ended yet.")
            warn_without_engine(desk.out, house.context)
    desk.out.answer(answer, lambda: click.echo(f"Run {run} is {stored.run.status}."))


@command.command("delete", epilog=examples("weft runs delete 7 --yes"))
@click.argument("run", type=int)
@click.option("--yes", is_flag=True, help="Do not ask.")
@at_a_desk
def delete(desk: Desk, run: int, yes: bool) -> None:  # noqa: FBT001 - a flag of Click's
    """Delete a run with its block runs and logs; an open one is cancelled first."""
    with desk.house() as house:
        if not yes:
            runs.get_run(house.context, LOCAL, RunId(run))
            click.confirm(f"Delete run {run} and its logs?", abort=True, err=True)
        runs.delete_run(house.context, LOCAL, RunId(run))
    desk.out.answer({"deleted": run}, lambda: click.echo(f"Run {run} is deleted."))


def _object(stored: RunWithBlocks, project_dir: str) -> dict[str, Json]:

    return whole(stored, repo_path=project_dir)


def _row(stored: RunWithBlocks) -> tuple[object, ...]:
    run = stored.run
    done = sum(block.status == "completed" for block in stored.blocks)
    return (
        run.id,
        run.pipeline_uuid,
        run.status,
        run.created_at,
        seconds_between(run.started_at, run.ended_at),
        f"{done}/{len(stored.blocks)}",
        run.schedule_name,
    )


def _print(stored: RunWithBlocks) -> None:
    run = stored.run
    fields(
        {
            "run": run.id,
            "pipeline": run.pipeline_uuid,
            "status": run.status,
            "trigger": run.schedule_name,
            "execution date": run.execution_date,
            "created": run.created_at,
            "started": run.started_at,
            "ended": run.ended_at,
            "variables": run.variables,
        }
    )
    click.echo()
    table(
        ("block run", "block", "status", "attempts", "seconds"),
        [
            (
                block.id,
                block.block_uuid,
                block.status,
                block.attempt,
                seconds_between(block.started_at, block.ended_at),
            )
            for block in stored.blocks
        ],
    )
