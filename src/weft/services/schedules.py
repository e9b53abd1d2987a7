"""Pipeline schedules, which people call triggers: find, look, make, change, forget."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from weft.core.calendar import CronFactory
from weft.core.errors import Invalid
from weft.core.ids import PipelineUuid, ScheduleId
from weft.core.records import PipelineSchedule, ScheduleCounts
from weft.core.schedule import upcoming
from weft.core.states import RunStatus
from weft.core.titles import COUNT, two_words
from weft.ports.runs import RunFilter
from weft.ports.schedules import NewSchedule
from weft.ports.signals import SCHEDULES
from weft.ports.unit import Unit
from weft.services.caller import Caller, Right, require
from weft.services.context import Context
from weft.services.runs import schedule_here
from weft.services.schedule_input import ScheduleInput, checked

RUNS_AVERAGED = 7
"""How many completed runs the average run time looks back on."""


@dataclass(frozen=True, slots=True)
class ScheduleQuery:
    """Which triggers to list; empty or None means any."""

    pipeline_uuid: PipelineUuid | None = None
    types: Collection[str] = ()
    intervals: Collection[str] = ()
    statuses: Collection[str] = ()
    tags: Collection[str] = ()
    global_data_product: str | None = None
    order_by: str | None = None
    limit: int = 40
    offset: int = 0


@dataclass(frozen=True, slots=True)
class ScheduleView:
    """A trigger with what is told beside it; counts are None for one without runs.

    `average` is the run time of its last completed runs, in seconds.
    """

    schedule: PipelineSchedule
    next_run_at: datetime | None = None
    counts: ScheduleCounts | None = None
    average: float | None = None


@dataclass(frozen=True, slots=True)
class SchedulePage:
    """One page of triggers."""

    items: tuple[ScheduleView, ...]
    total: int
    next: bool


def list_schedules(
    context: Context, caller: Caller, query: ScheduleQuery, *, with_average: bool = False
) -> SchedulePage:
    """Return a page of triggers. Raises `NotFound` for an unknown pipeline, `Invalid`."""
    require(caller, Right.READ)
    if query.order_by is not None and query.order_by not in _ORDERS:
        raise Invalid(
            f"triggers cannot be ordered by {query.order_by!r}",
            hint=f"Use one of {', '.join(sorted(_ORDERS))}.",
        )
    if query.pipeline_uuid is not None and query.pipeline_uuid not in context.files.names():
        context.files.load(query.pipeline_uuid)
    with context.store.read() as unit:
        found = [
            schedule
            for schedule in unit.schedules.find(context.project.id, query.pipeline_uuid)
            if _wanted(schedule, query)
        ]
        _sort(found, query)
        end = query.offset + query.limit
        page = found[query.offset : end]
        counts = unit.schedules.counts([schedule.id for schedule in page])
        views = tuple(
            ScheduleView(
                schedule,
                next_run_at(context, schedule),
                counts.get(schedule.id),
                _average(context, unit, schedule) if with_average else None,
            )
            for schedule in page
        )
    return SchedulePage(views, len(found), query.limit > 0 and end < len(found))


def get_schedule(
    context: Context, caller: Caller, schedule_id: ScheduleId, *, with_average: bool = False
) -> ScheduleView:
    """Return a trigger. Raises `NotFound`."""
    require(caller, Right.READ)
    with context.store.read() as unit:
        schedule = schedule_here(context, unit, schedule_id)
        counts = unit.schedules.counts([schedule_id]).get(schedule_id)
        average = _average(context, unit, schedule) if with_average else None
    return ScheduleView(schedule, next_run_at(context, schedule), counts, average)


def create_schedule(
    context: Context, caller: Caller, pipeline_uuid: PipelineUuid, given: ScheduleInput
) -> ScheduleView:
    """Make a trigger of a pipeline; name and token are generated where they are absent.

    Raises `NotFound` or `BrokenPipeline` for the pipeline, `Invalid` for a value.
    """
    require(caller, Right.EDIT)
    context.files.load(pipeline_uuid)
    columns = checked(given, context.cron)
    new = NewSchedule(
        project_id=context.project.id,
        pipeline_uuid=pipeline_uuid,
        name=two_words(context.pick(COUNT), context.pick(COUNT)),
        token=context.new_token(),
        schedule_type=None,
        repo_path=context.project.path,
    )
    new = replace(new, **columns)
    if new.status == "active" and new.last_enabled_at is None:
        new = replace(new, last_enabled_at=context.clock.now())
    with context.store.write() as unit:
        schedule = unit.schedules.add(new, caller.name)
    context.checkpoint("trigger.made")
    context.signals.notify(SCHEDULES)
    return ScheduleView(schedule, next_run_at(context, schedule))


def update_schedule(
    context: Context,
    caller: Caller,
    schedule_id: ScheduleId,
    given: ScheduleInput,
    *,
    rotate_token: bool = False,
) -> ScheduleView:
    """Change the attributes given, and no others. Raises `NotFound`, `Invalid`."""
    require(caller, Right.EDIT)
    columns = checked(given, context.cron)
    if rotate_token:
        columns["token"] = context.new_token()
    with context.store.write() as unit:
        before = schedule_here(context, unit, schedule_id)
        switched_on = columns.get("status") == "active" and before.status != "active"
        if switched_on and "last_enabled_at" not in columns:
            columns["last_enabled_at"] = context.clock.now()
        schedule = before
        if columns:
            schedule = unit.schedules.update(schedule_id, columns, caller.name)
    if columns:
        context.checkpoint("trigger.changed")
        context.signals.notify(SCHEDULES)
    return ScheduleView(schedule, next_run_at(context, schedule))


def delete_schedule(context: Context, caller: Caller, schedule_id: ScheduleId) -> ScheduleView:
    """Forget a trigger; its runs stay, without one. Raises `NotFound`."""
    require(caller, Right.EDIT)
    with context.store.write() as unit:
        schedule = schedule_here(context, unit, schedule_id)
        unit.schedules.delete(schedule_id, caller.name)
    context.checkpoint("trigger.deleted")
    context.signals.notify(SCHEDULES)
    return ScheduleView(schedule)


def next_run_at(context: Context, schedule: PipelineSchedule) -> datetime | None:
    """Return the next execution date of a trigger, if time alone tells it."""
    return _next_run_at(schedule, context.cron, context.clock.now())


def _next_run_at(schedule: PipelineSchedule, cron: CronFactory, now: datetime) -> datetime | None:
    try:
        return next(iter(upcoming(schedule, cron, now=now, n=1)), None)
    except Invalid:
        # Stored by somebody who does not check; the planner names the fault.
        return None


def _wanted(schedule: PipelineSchedule, query: ScheduleQuery) -> bool:
    return (
        (not query.types or schedule.schedule_type in query.types)
        and (not query.intervals or schedule.schedule_interval in query.intervals)
        and (not query.statuses or schedule.status in query.statuses)
        # Triggers have no tags yet, so a tag selects none of them.
        and not query.tags
        and query.global_data_product in {None, schedule.global_data_product_uuid}
    )


def _created(schedule: PipelineSchedule) -> float:
    return -schedule.created_at.timestamp()


_ORDERS: Mapping[str, Callable[[PipelineSchedule], Any]] = {
    "created_at": _created,
    "name": lambda schedule: schedule.name,
    "pipeline_uuid": lambda schedule: schedule.pipeline_uuid,
    "status": lambda schedule: schedule.status,
    "schedule_type": lambda schedule: schedule.schedule_type or "",
}


def _sort(found: list[PipelineSchedule], query: ScheduleQuery) -> None:
    nested = query.pipeline_uuid is not None or query.global_data_product is not None
    found.sort(key=lambda schedule: schedule.id, reverse=nested and query.order_by is None)
    if query.order_by is not None:
        found.sort(key=_ORDERS[query.order_by])


def _average(context: Context, unit: Unit, schedule: PipelineSchedule) -> float | None:
    page = unit.runs.find(
        RunFilter(
            context.project.id,
            schedule_id=schedule.id,
            statuses={RunStatus.COMPLETED},
            order_by=(("id", True),),
            limit=RUNS_AVERAGED,
        )
    )
    times = [
        (item.run.completed_at - item.run.started_at).total_seconds()
        for item in page.items
        if item.run.completed_at is not None and item.run.started_at is not None
    ]
    return sum(times) / len(times) if times else None
