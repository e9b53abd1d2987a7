"""What blocks printed and logged, as files or followed live."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime

from weft.core.ids import BlockRunId, PipelineUuid, RunId, ScheduleId
from weft.core.json import JsonMap
from weft.core.records import PipelineRun, RunWithBlocks
from weft.core.states import BLOCK_ENDED, RUN_ENDED
from weft.ports.logs import LogFile
from weft.ports.runs import RunFilter
from weft.ports.signals import MOVED
from weft.ports.unit import Unit
from weft.services.block_runs import block_run_here
from weft.services.caller import Caller, Right, require
from weft.services.context import Context, listening
from weft.services.runs import run_here

FILES_SHOWN = 20
"""Log files that the log of a pipeline shows at most, as in Mage."""

_RUNS_LOOKED_AT = 100


@dataclass(frozen=True, slots=True)
class LogText:
    """One log file with its lines, and the block that it belongs to."""

    file: LogFile
    block_uuid: str
    lines: tuple[JsonMap, ...]


@dataclass(frozen=True, slots=True)
class LogQuery:
    """Which logs of a pipeline to show; empty means any. Times bound execution dates."""

    schedule_ids: Collection[int] = ()
    run_ids: Collection[int] = ()
    block_run_ids: Collection[int] = ()
    blocks: Collection[str] = ()
    """Prefixes of block uuids."""
    since: datetime | None = None
    until: datetime | None = None
    limit: int | None = None
    """Runs to look at."""


@dataclass(frozen=True, slots=True)
class PipelineLogs:
    """The newest log files of a pipeline's block runs; `total` counts all that match."""

    files: tuple[LogText, ...]
    total: int


def of_pipeline(
    context: Context, caller: Caller, pipeline_uuid: PipelineUuid, query: LogQuery
) -> PipelineLogs:
    """Return the logs of a pipeline's newest runs. Raises `NotFound`."""
    require(caller, Right.READ)
    if pipeline_uuid not in context.files.names():
        context.files.load(pipeline_uuid)
    limit = _RUNS_LOOKED_AT if query.limit is None else query.limit
    with context.store.read() as unit:
        runs = _runs(context, unit, pipeline_uuid, query)
    chosen = [run for run in runs if _wanted(run.run, query)][:limit]
    found = [pair for stored in chosen for pair in _files(context, stored, query)]
    shown = tuple(_text(context, file, block) for file, block in found[:FILES_SHOWN])
    return PipelineLogs(shown, len(found))


def of_run(context: Context, caller: Caller, run_id: RunId) -> tuple[LogText, ...]:
    """Return the logs of a run, by block run and attempt. Raises `NotFound`."""
    require(caller, Right.READ)
    with context.store.read() as unit:
        stored = run_here(context, unit, run_id)
    found = _files(context, stored, LogQuery())
    return tuple(_text(context, file, block) for file, block in found)


def of_block_run(context: Context, caller: Caller, block_run_id: BlockRunId) -> tuple[LogText, ...]:
    """Return the logs of a block run, by attempt. Raises `NotFound`."""
    require(caller, Right.READ)
    with context.store.read() as unit:
        pair = block_run_here(context, unit, block_run_id)
    return tuple(
        _text(context, file, pair.block.block_uuid)
        for file in context.logs.files(pair.run.id)
        if file.block_run_id == block_run_id
    )


def follow(
    context: Context, caller: Caller, *, run_id: RunId | None, block_run_id: BlockRunId | None
) -> Iterator[JsonMap | None]:
    """Return the lines of a run or block run as they come, until it has ended.

    None marks a pause. The right and the existence are checked at once, before the
    first line is asked for. The logs set the pace; the store is asked again only
    when something moved. Raises `NotFound`.
    """
    require(caller, Right.READ)
    with context.store.read() as unit:
        if block_run_id is not None:
            run_id = block_run_here(context, unit, block_run_id).run.id
        elif run_id is not None:
            run_here(context, unit, run_id)
        else:
            raise ValueError("a run or a block run must be named")
    return _follow(context, run_id, block_run_id)


def _follow(
    context: Context, run_id: RunId, block_run_id: BlockRunId | None
) -> Iterator[JsonMap | None]:
    with listening(context, MOVED) as news:
        ended = _has_ended(context, run_id, block_run_id)
        for line in context.logs.follow(run_id, block_run_id):
            yield line
            if line is not None:
                continue
            if ended:
                # The end was known before this last look, so nothing can follow.
                return
            if news.wait(0):
                ended = _has_ended(context, run_id, block_run_id)


def _has_ended(context: Context, run_id: RunId, block_run_id: BlockRunId | None) -> bool:
    with context.store.read() as unit:
        stored = unit.runs.get(run_id)
    if stored.run.status in RUN_ENDED:
        return True
    return any(block.id == block_run_id and block.status in BLOCK_ENDED for block in stored.blocks)


def _runs(
    context: Context, unit: Unit, pipeline_uuid: PipelineUuid, query: LogQuery
) -> tuple[RunWithBlocks, ...]:
    if query.run_ids:
        named = [run_here(context, unit, RunId(run_id)) for run_id in query.run_ids]
        return tuple(stored for stored in named if stored.run.pipeline_uuid == pipeline_uuid)
    if query.block_run_ids:
        ids = {
            block_run_here(context, unit, BlockRunId(block_run_id)).run.id
            for block_run_id in query.block_run_ids
        }
        return tuple(unit.runs.get(run_id) for run_id in sorted(ids, reverse=True))
    only = {*query.schedule_ids}
    wanted = RunFilter(
        context.project.id,
        pipeline_uuids=(pipeline_uuid,),
        schedule_id=ScheduleId(only.pop()) if len(only) == 1 else None,
        with_hidden=True,
        limit=_RUNS_LOOKED_AT,
    )
    return unit.runs.find(wanted).items


def _wanted(run: PipelineRun, query: LogQuery) -> bool:
    date = run.execution_date or run.created_at
    return (
        (not query.schedule_ids or run.schedule_id in query.schedule_ids)
        and (query.since is None or date >= query.since)
        and (query.until is None or date <= query.until)
    )


def _files(context: Context, stored: RunWithBlocks, query: LogQuery) -> list[tuple[LogFile, str]]:
    names = {block.id: str(block.block_uuid) for block in stored.blocks}
    found = []
    for file in context.logs.files(stored.run.id):
        name = names.get(file.block_run_id, "")
        if query.block_run_ids and file.block_run_id not in query.block_run_ids:
            continue
        if query.blocks and not name.startswith(tuple(query.blocks)):
            continue
        found.append((file, name))
    return found


def _text(context: Context, file: LogFile, block_uuid: str) -> LogText:
    lines, _ = context.logs.read(file.path)
    return LogText(file, block_uuid, tuple(lines))
