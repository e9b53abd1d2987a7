"""List, show, create, switch, delete and trigger schedules."""

from __future__ import annotations

import click

from weft.api.shapes.moments import stamp
from weft.api.shapes.runs import whole
from weft.cli.desk import Desk, at_a_desk, examples, json_object, pairs
from weft.cli.output import fields, table
from weft.cli.words import warn_without_engine
from weft.core.ids import PipelineUuid, ScheduleId
from weft.core.json import Json
from weft.services import runs, schedules
from weft.services.caller import LOCAL
from weft.services.schedule_input import ScheduleInput


@click.group()
def command() -> None:
    """List, show, create, switch, delete and trigger schedules."""


@command.command("list", epilog=examples("weft schedules list", "weft schedules list --json"))
@click.option("--pipeline", help="Of this pipeline only.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)
@at_a_desk
def list_(desk: Desk, pipeline: str | None, limit: int) -> None:
    """List the schedules, with the next time each fires."""
    query = schedules.ScheduleQuery(
        pipeline_uuid=None if pipeline is None else PipelineUuid(pipeline), limit=limit
    )
    with desk.house() as house:
        page = schedules.list_schedules(house.context, LOCAL, query)
    desk.out.answer(
        [_object(view) for view in page.items],
        lambda: table(
            ("schedule", "name", "pipeline", "type", "interval", "status", "runs", "next"),
            [_row(view) for view in page.items],
        ),
    )


@command.command("show", epilog=examples("weft schedules show 3 --json"))
@click.argument("schedule", type=int)
@at_a_desk
def show(desk: Desk, schedule: int) -> None:
    """Show a schedule, its token included."""
    with desk.house() as house:
        view = schedules.get_schedule(house.context, LOCAL, ScheduleId(schedule))
    answer = _object(view)
    desk.out.answer(answer, lambda: fields(answer))


@command.command(
    "create",
    epilog=examples(
        "weft schedules create example_pipeline --interval @daily --active",
        "weft schedules create example_pipeline --interval '0 6 * * 1-5' --timezone Europe/Zurich",
        "weft schedules create example_pipeline --type api",
    ),
)
@click.argument("pipeline")
@click.option("--name", help="Two words are made up without it.")
@click.option("--type", "kind", type=click.Choice(["time", "api"]), help="Default: time.")
@click.option("--interval", help="@once, @hourly, @daily, @weekly, @monthly, @always_on, or cron.")
@click.option("--start", help="First moment, as in 2026-03-06 04:53:00 (UTC).")
@click.option("--timezone", help="IANA name; default: UTC.")
@click.option("--var", "variables", multiple=True, metavar="NAME=VALUE", help="Repeatable.")
@click.option("--settings", metavar="JSON", help="Further settings, as one JSON object.")
@click.option("--active", is_flag=True, help="Switch it on at once.")
@at_a_desk
def create(  # noqa: PLR0917 - all by keyword, from Click
    desk: Desk,
    pipeline: str,
    name: str | None,
    kind: str | None,
    interval: str | None,
    start: str | None,
    timezone: str | None,
    variables: tuple[str, ...],
    settings: str | None,
    active: bool,  # noqa: FBT001 - a flag of Click's
) -> None:
    """Create a schedule of a pipeline; inactive unless --active is given."""
    more = json_object(settings, "--settings") if settings else {}
    if timezone:
        more["weft"] = {**more.get("weft", {}), "timezone": timezone}
    given: ScheduleInput = {
        "name": name,
        "schedule_type": kind or "time",
        "schedule_interval": interval,
        "start_time": start,
        "status": "active" if active else "inactive",
        "variables": pairs(variables, "--var") or None,
        "settings": more or None,
    }
    with desk.house() as house:
        view = schedules.create_schedule(house.context, LOCAL, PipelineUuid(pipeline), given)
        if active:
            warn_without_engine(desk.out, house.context)
    _answer(desk, view, "created")


@command.command("activate", epilog=examples("weft schedules activate 3"))
@click.argument("schedule", type=int)
@at_a_desk
def activate(desk: Desk, schedule: int) -> None:
    """Switch a schedule on."""
    _switch(desk, schedule, "active")


@command.command("deactivate", epilog=examples("weft schedules deactivate 3"))
@click.argument("schedule", type=int)
@at_a_desk
def deactivate(desk: Desk, schedule: int) -> None:
    """Switch a schedule off; its present runs go on."""
    _switch(desk, schedule, "inactive")


@command.command("delete", epilog=examples("weft schedules delete 3 --yes"))
@click.argument("schedule", type=int)
@click.option("--yes", is_flag=True, help="Do not ask.")
@at_a_desk
def delete(desk: Desk, schedule: int, yes: bool) -> None:  # noqa: FBT001 - a flag of Click's
    """Delete a schedule; its runs stay."""
    with desk.house() as house:
        view = schedules.get_schedule(house.context, LOCAL, ScheduleId(schedule))
        if not yes:
            click.confirm(f"Delete schedule {view.schedule.name!r}?", abort=True, err=True)
        schedules.delete_schedule(house.context, LOCAL, ScheduleId(schedule))
    desk.out.answer({"deleted": schedule}, lambda: click.echo(f"Schedule {schedule} is deleted."))


@command.command(
    "trigger",
    epilog=examples("weft schedules trigger 3", "weft schedules trigger 3 --var year=1912 --json"),
)
@click.argument("schedule", type=int)
@click.option("--var", "variables", multiple=True, metavar="NAME=VALUE", help="Repeatable.")
@click.option("--key", help="Idempotency key: the same key makes one run, however often asked.")
@at_a_desk
def trigger(desk: Desk, schedule: int, variables: tuple[str, ...], key: str | None) -> None:
    """Make a run of a schedule now; a running engine takes it up."""
    asked = runs.StartRun(variables=pairs(variables, "--var") or None, idempotency_key=key)
    with desk.house() as house:
        begun = runs.start_run(house.context, LOCAL, ScheduleId(schedule), asked)
        answer = whole(begun.stored, repo_path=str(house.settings.project_dir))
        warn_without_engine(desk.out, house.context)
    made = "was made before by the same key" if begun.replayed else "is made"
    desk.out.answer(
        answer,
        lambda: click.echo(
            f"Run {begun.stored.run.id} {made}; `weft logs {begun.stored.run.id} -f` follows it."
        ),
    )


def _switch(desk: Desk, schedule: int, status: str) -> None:
    with desk.house() as house:
        view = schedules.update_schedule(
            house.context, LOCAL, ScheduleId(schedule), {"status": status}
        )
        if status == "active":
            warn_without_engine(desk.out, house.context)
    _answer(desk, view, status)


def _answer(desk: Desk, view: schedules.ScheduleView, word: str) -> None:
    schedule = view.schedule
    desk.out.answer(
        _object(view),
        lambda: click.echo(f"Schedule {schedule.id} ({schedule.name}) is {word}."),
    )


def _object(view: schedules.ScheduleView) -> dict[str, Json]:
    schedule, counts = view.schedule, view.counts
    return {
        "id": schedule.id,
        "name": schedule.name,
        "pipeline_uuid": schedule.pipeline_uuid,
        "schedule_type": schedule.schedule_type,
        "schedule_interval": schedule.schedule_interval,
        "status": schedule.status,
        "start_time": stamp(schedule.start_time),
        "token": schedule.token,
        "variables": schedule.variables,
        "settings": schedule.settings,
        "next_pipeline_run_date": stamp(view.next_run_at),
        "pipeline_runs_count": 0 if counts is None else counts.runs,
        "last_pipeline_run_status": None if counts is None else counts.last_run_status,
        "created_at": stamp(schedule.created_at),
        "updated_at": stamp(schedule.updated_at),
    }


def _row(view: schedules.ScheduleView) -> tuple[object, ...]:
    schedule = view.schedule
    return (
        schedule.id,
        schedule.name,
        schedule.pipeline_uuid,
        schedule.schedule_type,
        schedule.schedule_interval,
        schedule.status,
        0 if view.counts is None else view.counts.runs,
        view.next_run_at,
    )
