"""Who may begin when places are few: pure choices among those that wait.

`decide` stops at *ready*. The engine counts what is live, asks here, and comes back
with `events.Began` or `events.Admitted`. Both choices keep three promises: no limit
is exceeded; no place stays free while somebody waits who may take it; nobody waits
for ever, because whoever waits longer is preferred sooner or later.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from heapq import heapify, heappop, heappush
from types import MappingProxyType
from typing import TypeAlias

from weft.core.ids import BlockUuid, PipelineUuid, ProjectId, RunId, ScheduleId

PipelineKey: TypeAlias = tuple[ProjectId, PipelineUuid]
"""A pipeline among all projects: names are unique only within one."""

SHARE = timedelta(seconds=10)
"""How much later a block counts as ready for each place that its run, and its
pipeline, hold already. It makes equal waiters take turns, yet a long wait outweighs it."""


@dataclass(frozen=True, slots=True)
class ReadyBlock:
    """A block run that waits for a place.

    `block_limit_left` says how many more blocks of its run may be live (None: any
    number); where the blocks of one run differ in it, the least counts.
    """

    run_id: RunId
    project_id: ProjectId
    pipeline_uuid: PipelineUuid
    block_uuid: BlockUuid
    ready_at: datetime
    block_limit_left: int | None = None

    @property
    def pipeline(self) -> PipelineKey:
        """The pipeline among all projects."""
        return self.project_id, self.pipeline_uuid


@dataclass(frozen=True, slots=True)
class WaitingRun:
    """A pipeline run in `initial`.

    `limit_schedule` and `limit_pipeline` say how many runs of its schedule and of
    its pipeline may be `running` at once (None: any number). `active` is False while
    its schedule is switched off: then it neither begins nor is skipped. `skip` says
    that it is cancelled rather than kept waiting (`on_pipeline_run_limit_reached`).
    """

    run_id: RunId
    project_id: ProjectId
    pipeline_uuid: PipelineUuid
    schedule_id: ScheduleId | None
    execution_date: datetime | None
    limit_schedule: int | None = None
    limit_pipeline: int | None = None
    active: bool = True
    skip: bool = False

    @property
    def pipeline(self) -> PipelineKey:
        """The pipeline among all projects."""
        return self.project_id, self.pipeline_uuid


_NOBODY: Mapping[RunId, int] = MappingProxyType({})
_NOTHING: Mapping[PipelineKey, int] = MappingProxyType({})


def choose_runs(
    waiting: Iterable[WaitingRun],
    running_by_pipeline: Mapping[PipelineKey, int],
    running_by_schedule: Mapping[ScheduleId, int],
) -> list[WaitingRun]:
    """Return the runs that may begin, oldest execution date first, then lowest id.

    The mappings count runs that are `running`; what is absent counts nothing. A run
    that a limit holds back never holds back another one.
    """
    by_pipeline, by_schedule = dict(running_by_pipeline), dict(running_by_schedule)
    chosen: list[WaitingRun] = []
    for run in sorted(waiting, key=_age):
        pipeline = by_pipeline.get(run.pipeline, 0)
        schedule = by_schedule.get(run.schedule_id, 0) if run.schedule_id is not None else 0
        if not run.active or not _room(pipeline, run.limit_pipeline):
            continue
        if run.schedule_id is not None:
            if not _room(schedule, run.limit_schedule):
                continue
            by_schedule[run.schedule_id] = schedule + 1
        by_pipeline[run.pipeline] = pipeline + 1
        chosen.append(run)
    return chosen


def skipped_runs(waiting: Iterable[WaitingRun], chosen: Iterable[WaitingRun]) -> list[WaitingRun]:
    """Return the runs to be cancelled because a limit kept them from beginning."""
    begun = {run.run_id for run in chosen}
    return [run for run in waiting if run.skip and run.active and run.run_id not in begun]


def choose_blocks(
    ready: Sequence[ReadyBlock],
    free: int,
    *,
    live_by_run: Mapping[RunId, int] = _NOBODY,
    live_by_pipeline: Mapping[PipelineKey, int] = _NOTHING,
) -> list[ReadyBlock]:
    """Return the blocks that may start in up to `free` places, best first.

    The mappings count block runs that are live; they make turns fair over several
    calls, and limit nothing. A place goes to the block with the least
    `ready_at + SHARE * (places of its run + places of its pipeline)`; within a run
    the oldest comes first, and of equally old ones the one that stands first in
    `ready`. So runs take turns, and so do pipelines, but whoever has waited `SHARE`
    longer makes up for one place more.
    """
    queues = _queues(ready)
    held_run, held_pipeline = dict(live_by_run), dict(live_by_pipeline)

    def rank(run: RunId) -> tuple[datetime, RunId]:
        block = queues[run][-1]
        held = held_run.get(run, 0) + held_pipeline.get(block.pipeline, 0)
        return block.ready_at + SHARE * held, run

    heap = [rank(run) for run in queues]
    heapify(heap)
    chosen: list[ReadyBlock] = []
    while heap and len(chosen) < free:
        stored, run = heappop(heap)
        # Places given since then can only have made it later: look again, do not trust.
        if rank(run)[0] > stored:
            heappush(heap, rank(run))
            continue
        block = queues[run].pop()
        chosen.append(block)
        held_run[run] = held_run.get(run, 0) + 1
        held_pipeline[block.pipeline] = held_pipeline.get(block.pipeline, 0) + 1
        if queues[run]:
            heappush(heap, rank(run))
    return chosen


def _queues(ready: Iterable[ReadyBlock]) -> dict[RunId, list[ReadyBlock]]:
    """Return each run's blocks that its limit lets through, best last."""
    by_run: dict[RunId, list[ReadyBlock]] = {}
    for block in ready:
        by_run.setdefault(block.run_id, []).append(block)
    queues: dict[RunId, list[ReadyBlock]] = {}
    for run, blocks in by_run.items():
        blocks.sort(key=lambda block: block.ready_at)
        limits = [b.block_limit_left for b in blocks if b.block_limit_left is not None]
        left = max(min(limits, default=len(blocks)), 0)
        if left:
            queues[run] = blocks[:left][::-1]
    return queues


def _age(run: WaitingRun) -> tuple[datetime, RunId]:
    return run.execution_date or datetime.min.replace(tzinfo=UTC), run.run_id


def _room(running: int, limit: int | None) -> bool:
    return limit is None or running < limit
