"""Pipeline runs: start, look, cancel, delete."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime

from weft.core.errors import Conflict, Invalid, NotFound, WeftError
from weft.core.ids import PipelineUuid, RunId, ScheduleId
from weft.core.json import JsonMap
from weft.core.params import asked_variables
from weft.core.records import PipelineRun, PipelineSchedule, RunWithBlocks
from weft.core.spec import LoadedPipeline, PipelineSpec
from weft.core.states import RUN_ENDED, RunStatus
from weft.ports.runs import NewRun, RunFilter
from weft.ports.signals import MOVED, RUNS
from weft.ports.unit import Unit
from weft.services.caller import Caller, Right, require
from weft.services.context import Context, listening

CANCEL_PATIENCE = 5.0
"""Seconds to wait for a cancelled run to end before answering anyway."""

LAST_RUN_FAILED = "last_run_failed"
"""A status that only filters know: the newest run of its group failed."""

KEY_LIMIT = 255

SORTABLE = frozenset(
    {
        "backfill_id",
        "completed_at",
        "created_at",
        "execution_date",
        "executor_type",
        "id",
        "passed_sla",
        "pipeline_schedule_id",
        "pipeline_uuid",
        "started_at",
        "status",
        "updated_at",
    }
)


@dataclass(frozen=True, slots=True)
class StartRun:
    """What a caller says of a run to be made; `execution_date` defaults to now."""

    variables: JsonMap | None = None
    event_variables: JsonMap | None = None
    execution_date: datetime | None = None
    backfill_id: int | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class Begun:
    """A run just made, or, with `replayed`, the one that the same key made before."""

    stored: RunWithBlocks
    replayed: bool


@dataclass(frozen=True, slots=True)
class RunQuery:
    """Which runs to list; None or empty means any. Times bound `created_at`."""

    pipelines: Collection[str] = ()
    schedule_id: ScheduleId | None = None
    backfill_id: int | None = None
    statuses: Collection[str] = ()
    tags: Collection[str] = ()
    pipeline_type: str | None = None
    global_data_product: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    order_by: tuple[tuple[str, bool], ...] = ()
    group_retries: bool = False
    with_hidden: bool = False
    limit: int = 40
    offset: int = 0


@dataclass(frozen=True, slots=True)
class RunPage:
    """One page of runs; `specs` holds the present pipelines that were asked for."""

    items: tuple[RunWithBlocks, ...]
    total: int
    next: bool
    specs: dict[str, PipelineSpec] = field(default_factory=dict)


def start_run(context: Context, caller: Caller, schedule_id: ScheduleId, asked: StartRun) -> Begun:
    """Make a run of a trigger's pipeline, `initial` until an engine takes it up.

    An inactive trigger of type time and `@once` becomes active, as in Mage. Raises
    `NotFound`, `BrokenPipeline`, `Invalid`, `Conflict`.
    """
    require(caller, Right.RUN)
    with context.store.read() as unit:
        schedule = schedule_here(context, unit, schedule_id)
    once = schedule.schedule_type == "time" and schedule.schedule_interval == "@once"
    return make_run(context, caller.name, schedule, asked, activate=once)


def make_run(
    context: Context, actor: str, schedule: PipelineSchedule, asked: StartRun, *, activate: bool
) -> Begun:
    """Load and pin the pipeline, and create run and block runs in one transaction.

    The caller has been checked. With `activate` an inactive trigger becomes active.
    """
    _check_key(asked.idempotency_key)
    loaded = context.files.load(schedule.pipeline_uuid)
    loaded.spec.check_runs()
    now = context.clock.now()
    execution_date = asked.execution_date or now
    variables = asked_variables(asked.variables, schedule.id, execution_date)
    key = asked.idempotency_key
    with context.store.write() as unit:
        current = schedule_here(context, unit, schedule.id)
        version = unit.catalog.pin(context.project.id, loaded)
        run_id, fresh = unit.runs.create(
            NewRun(
                project_id=context.project.id,
                pipeline_uuid=schedule.pipeline_uuid,
                version_id=version,
                schedule_id=schedule.id,
                blocks=tuple(block.uuid for block in loaded.spec.running_blocks),
                actor=actor,
                execution_date=execution_date,
                variables=variables,
                event_variables=asked.event_variables,
                backfill_id=asked.backfill_id,
                executor_type=loaded.spec.executor_type or "local_python",
                # Keys are the caller's own invention: each trigger has its own space.
                idempotency_key=None if key is None else f"trigger/{schedule.id}/{key}",
            )
        )
        stored = unit.runs.get(run_id)
        activated = activate and fresh and current.status != "active"
        if activated:
            unit.schedules.update(schedule.id, {"status": "active", "last_enabled_at": now}, actor)
    if not fresh:
        _refuse_other_body(stored.run, asked)
        return Begun(stored, replayed=True)
    context.checkpoint("run.made")
    context.signals.notify(RUNS)
    return Begun(stored, replayed=False)


def get_run(context: Context, caller: Caller, run_id: RunId) -> RunWithBlocks:
    """Return a run of this project. Raises `NotFound`."""
    require(caller, Right.READ)
    with context.store.read() as unit:
        return run_here(context, unit, run_id)


def list_runs(
    context: Context, caller: Caller, query: RunQuery, *, with_specs: bool = False
) -> RunPage:
    """Return a page of runs. Raises `Invalid` for an unknown status or column."""
    require(caller, Right.READ)
    wanted = _filter(context, query)
    schedule_id = query.schedule_id
    with context.store.read() as unit:
        if schedule_id is not None:
            schedule_here(context, unit, schedule_id)
        if query.global_data_product is not None:
            wanted = _of_product(context, unit, wanted, query.global_data_product)
        page = unit.runs.find(wanted)
    more = query.limit > 0 and query.offset + query.limit < page.total
    specs = _specs(context, {item.run.pipeline_uuid for item in page.items}) if with_specs else {}
    return RunPage(page.items, page.total, more, specs)


def cancel_run(context: Context, caller: Caller, run_id: RunId) -> RunWithBlocks:
    """Ask a run to end, wait a while for its end, and return it as it then is.

    A run that has ended stays as it is.
    """
    require(caller, Right.RUN)
    with context.store.read() as unit:
        stored = run_here(context, unit, run_id)
    if stored.run.status in RUN_ENDED:
        return stored
    with listening(context, MOVED) as news:
        with context.store.write() as unit:
            unit.runs.request_cancel(run_id, caller.name)
        context.checkpoint("cancel.asked")
        context.signals.notify(RUNS)
        until = context.clock.monotonic() + CANCEL_PATIENCE
        while True:
            with context.store.read() as unit:
                stored = unit.runs.get(run_id)
            left = until - context.clock.monotonic()
            if stored.run.status in RUN_ENDED or left <= 0:
                return stored
            news.wait(left)


def keep_run(context: Context, caller: Caller, run_id: RunId) -> RunWithBlocks:
    """Change nothing, for a caller that might have. Raises `NotFound`."""
    require(caller, Right.RUN)
    with context.store.read() as unit:
        return run_here(context, unit, run_id)


def delete_run(context: Context, caller: Caller, run_id: RunId) -> RunWithBlocks:
    """Remove a run with its block runs and logs; an open one is cancelled first.

    Its output files go with retention; from now on nothing refers to them. Raises
    `Conflict` if the run did not end in time.
    """
    require(caller, Right.RUN)
    stored = cancel_run(context, caller, run_id)
    if stored.run.status not in RUN_ENDED:
        raise Conflict(
            f"run {run_id} is still {stored.run.status}: it was asked to end and has not yet",
            hint="No engine may be serving this project; try again once the run has ended.",
        )
    # Whoever ends in between leaves a run that can be deleted again, not logs of none.
    context.logs.delete(run_id)
    context.checkpoint("delete.logs")
    with context.store.write() as unit:
        unit.runs.delete(run_id)
    context.signals.notify(MOVED)
    return stored


def run_here(context: Context, unit: Unit, run_id: RunId) -> RunWithBlocks:
    """Return a run, unless it belongs to another project of the same database."""
    stored = unit.runs.get(run_id)
    if stored.run.project_id != context.project.id:
        raise NotFound(
            f"there is no pipeline run {run_id}",
            hint="`weft runs list` and GET /api/pipeline_runs show which there are.",
        )
    return stored


def schedule_here(context: Context, unit: Unit, schedule_id: ScheduleId) -> PipelineSchedule:
    """Return a trigger, unless it belongs to another project of the same database."""
    schedule = unit.schedules.get(schedule_id)
    if schedule.project_id != context.project.id:
        raise NotFound(
            f"there is no trigger {schedule_id}",
            hint="`weft schedules list` and GET /api/pipeline_schedules show which there are.",
        )
    return schedule


def _check_key(key: str | None) -> None:
    if key is not None and not 0 < len(key) <= KEY_LIMIT:
        raise Invalid(
            f"an idempotency key has between 1 and {KEY_LIMIT} characters",
            hint="Use a UUID, made anew for each request that is not a repetition.",
        )


def _refuse_other_body(run: PipelineRun, asked: StartRun) -> None:
    before = {k: v for k, v in (run.variables or {}).items() if k != "execution_partition"}
    wanted = {k: v for k, v in (asked.variables or {}).items() if k != "execution_partition"}
    same = before == wanted and run.event_variables == asked.event_variables
    if asked.execution_date is not None:
        same = same and run.execution_date == asked.execution_date
    if not same:
        raise Conflict(
            f"the idempotency key was used before, for run {run.id}, with another body",
            hint="Use a new key for a new request.",
        )


def _filter(context: Context, query: RunQuery) -> RunFilter:
    for column, _ in query.order_by:
        if column not in SORTABLE:
            raise Invalid(
                f"runs cannot be ordered by {column!r}", hint=f"Use one of {sorted(SORTABLE)}."
            )
    wanted = RunFilter(
        project_id=context.project.id,
        pipeline_uuids=_pipelines(context, query),
        schedule_id=query.schedule_id,
        backfill_id=query.backfill_id,
        created_from=query.created_from,
        created_to=query.created_to,
        order_by=tuple(
            ("schedule_id" if column == "pipeline_schedule_id" else column, descending)
            for column, descending in query.order_by
        ),
        group_retries=query.group_retries and query.limit > 0,
        with_hidden=query.with_hidden,
        limit=query.limit,
        offset=query.offset,
    )
    statuses = set(query.statuses)
    if LAST_RUN_FAILED in statuses:
        return replace(wanted, last_failed=True)
    return replace(wanted, statuses=_statuses(statuses)) if statuses else wanted


def _statuses(names: Collection[str]) -> frozenset[RunStatus]:
    unknown = sorted(name for name in names if name not in {*RunStatus})
    if unknown:
        raise Invalid(
            f"no pipeline run is ever {', '.join(map(repr, unknown))}",
            hint=f"Statuses are {', '.join(RunStatus)} and {LAST_RUN_FAILED}.",
        )
    return frozenset(RunStatus(name) for name in names)


def _pipelines(context: Context, query: RunQuery) -> Collection[str] | None:
    """Return the pipelines that all filters on pipelines agree on; None for any."""
    chosen = set(query.pipelines) or None
    if query.tags or query.pipeline_type is not None:
        alike = {
            found.spec.uuid
            for found in context.files.scan()
            if isinstance(found, LoadedPipeline)
            and (not query.tags or set(query.tags) & set(found.spec.tags))
            and query.pipeline_type in {None, found.spec.type}
        }
        chosen = {*alike} if chosen is None else {*chosen} & {*alike}
    return chosen


def _of_product(context: Context, unit: Unit, wanted: RunFilter, product: str) -> RunFilter:
    made = [
        schedule.id
        for schedule in unit.schedules.find(context.project.id, with_hidden=True)
        if schedule.global_data_product_uuid == product
    ]
    if not made:
        return replace(wanted, pipeline_uuids=())
    if len(made) > 1 or wanted.schedule_id not in {None, made[0]}:
        raise Invalid(
            "runs of a global data product with several triggers cannot be listed yet",
            hint="List them by trigger: /api/pipeline_schedules/<id>/pipeline_runs.",
        )
    return replace(wanted, schedule_id=made[0])


def _specs(context: Context, pipelines: Collection[PipelineUuid]) -> dict[str, PipelineSpec]:
    specs = {}
    for uuid in pipelines:
        try:
            specs[str(uuid)] = context.files.load(uuid).spec
        except WeftError:
            # The run outlives its pipeline; its tags and type are then unknown.
            continue
    return specs
