"""Pipeline runs: made once, owned by one engine at a time, moved under a fence."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from weft.core.ids import (
    BlockRunId,
    BlockUuid,
    EngineId,
    PipelineUuid,
    ProjectId,
    RunId,
    ScheduleId,
    VersionId,
)
from weft.core.json import JsonMap
from weft.core.machine import Moved, Run
from weft.core.records import Attempt, Outcome, Page, PipelineRun, RunWithBlocks
from weft.core.states import RunStatus


@dataclass(frozen=True, slots=True)
class EngineRef:
    """One life of one engine: what a run's owner is."""

    id: EngineId
    incarnation: int


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run to be made, with its block runs in the author's order.

    `fire_key` is the planner's alone, unique per schedule; `idempotency_key` is
    for every other creator, unique per project. With `owner` the run is born
    owned by that engine (fence 1), and no other takes it.
    """

    project_id: ProjectId
    pipeline_uuid: PipelineUuid
    version_id: VersionId
    schedule_id: ScheduleId | None
    blocks: tuple[BlockUuid, ...]
    actor: str
    execution_date: datetime | None = None
    variables: JsonMap | None = None
    event_variables: JsonMap | None = None
    backfill_id: int | None = None
    executor_type: str = "local_python"
    fire_key: str | None = None
    idempotency_key: str | None = None
    owner: EngineRef | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to change one run; void once its fence has moved on."""

    run_id: RunId
    fence: int


@dataclass(frozen=True, slots=True)
class Claimed:
    """A run just taken up, as it was last committed."""

    claim: Claim
    stored: RunWithBlocks


@dataclass(frozen=True, slots=True)
class NewAttempt:
    """What is kept of an attempt when it is handed out (see `records.Attempt`).

    `inputs` are the attempts whose outputs it reads: (block, attempt number).
    """

    try_number: int
    executor: str
    job_id: str
    code_hash: str
    parameters_hash: str
    environment: str
    log_path: str
    inputs: tuple[tuple[BlockUuid, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Save:
    """What one turn decided about one run.

    `before` and `after` bound the turn, `moves` lie between, in order. `outcomes`
    belongs to the attempts that ended, `attempts` to those handed out, each by
    (block, number). `actor` is who is told in the event rows.
    """

    claim: Claim
    before: Run
    after: Run
    moves: tuple[Moved, ...]
    partition: str
    actor: str
    outcomes: Mapping[tuple[BlockUuid, int], Outcome] = field(default_factory=dict)
    attempts: Mapping[tuple[BlockUuid, int], NewAttempt] = field(default_factory=dict)
    version_id: VersionId | None = None
    """The version that the run goes on with, when a retry took up the current code."""


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs to list. None means any; an empty collection means none at all."""

    project_id: ProjectId
    pipeline_uuids: Collection[str] | None = None
    schedule_id: ScheduleId | None = None
    backfill_id: int | None = None
    statuses: Collection[RunStatus] | None = None
    last_failed: bool = False
    """Only the newest run per (execution date, schedule, pipeline), if it failed."""
    created_from: datetime | None = None
    created_to: datetime | None = None
    order_by: tuple[tuple[str, bool], ...] = ()
    """(column of the pipeline run, descending); default: execution_date, id, descending."""
    group_retries: bool = False
    """Also take in every run that shares the execution date of the page's first or last row."""
    with_hidden: bool = False
    limit: int | None = 40
    offset: int = 0


class RunStore(Protocol):
    """Runs, who owns them, and every move they make."""

    def create(self, new: NewRun) -> tuple[RunId, bool]:
        """Make a run, its block runs (`initial`) and one event row.

        Returns its id and True, or the id of the run that already has the same
        `fire_key` or `idempotency_key`, and False: then nothing was written.
        """
        ...

    def claim(
        self, me: EngineRef, projects: Collection[ProjectId], limit: int
    ) -> Sequence[Claimed]:
        """Take over up to `limit` open runs that nobody live owns, oldest first.

        Free is a run without owner, or whose owner's lease is over, or that an
        earlier incarnation of `me` owned. Taking it raises its fence by one. Two
        engines that claim at once get different runs and do not wait for each other.
        """
        ...

    def owned(self, me: EngineRef) -> Sequence[Claimed]:
        """Return the open runs that this incarnation of `me` owns, as they stand."""
        ...

    def save(self, saves: Sequence[Save]) -> frozenset[RunId]:
        """Write what a turn decided; return the runs whose claim was void.

        Of a void one nothing is written; the others are not concerned. For each
        good one, all in this transaction: the run's and block runs' columns, each
        by compare-and-set on its former status; attempts made, begun and ended;
        artifacts of accepted outcomes and their uses; one event row per move; a
        row of the outbox when the run ended; `inactive` on its schedule when that
        is of type time and `@once` and the run ended.

        Timestamps: `started_at` of a block is set by START, `completed_at` by
        COMPLETE, `ended_at` by every end; of the run likewise, BEGIN sets
        `started_at`. RETRY clears them. `metrics` of a block run becomes the
        outcome's metrics, with `error` added when there is one.
        """
        ...

    def release(self, claims: Sequence[Claim]) -> None:
        """Give runs back, so that anybody may claim them at once."""
        ...

    def get(self, run_id: RunId) -> RunWithBlocks:
        """Return a run with its block runs. Raises `NotFound`."""
        ...

    def find(self, wanted: RunFilter) -> Page:
        """Return a page of runs with their block runs."""
        ...

    def delete(self, run_id: RunId) -> None:
        """Remove an ended run and all that hangs on it (rows, not files).

        Raises `NotFound`, or `Conflict` while the run is open.
        """
        ...

    def request_cancel(self, run_id: RunId, by: str) -> bool:
        """Leave a request in the inbox and an event row; False if the run has ended.

        Raises `NotFound`.
        """
        ...

    def cancels(self, claims: Sequence[Claim]) -> Mapping[RunId, str]:
        """Take the requests left for these runs out of the inbox: who asked, by run."""
        ...

    def block_run(self, block_run_id: BlockRunId) -> tuple[PipelineRun, BlockUuid]:
        """Return the run of a block run, and its block. Raises `NotFound`."""
        ...

    def attempts(self, run_id: RunId) -> Sequence[Attempt]:
        """Return every attempt of a run, in the order of (block run, number)."""
        ...


class LimitStore(Protocol):
    """Occupancy of limits, always counted from live rows."""

    def lock(self, key: str) -> None:
        """Hold the limit named `key` until the transaction ends."""
        ...

    def live_blocks(self, projects: Collection[ProjectId]) -> int:
        """Count block runs that are `queued` or `running`."""
        ...

    def running_runs(
        self,
        project_id: ProjectId,
        pipeline_uuid: PipelineUuid,
        schedule_id: ScheduleId | None = None,
    ) -> int:
        """Count runs of a pipeline (of one schedule, if given) that are `running`."""
        ...
