"""The stored nouns, as the store hands them out: frozen rows without behaviour.

Times are aware and in UTC. What is written by others stays as they wrote it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from weft.core.artifact import Output
from weft.core.ids import (
    BlockRunId,
    BlockUuid,
    PipelineUuid,
    ProjectId,
    RunId,
    ScheduleId,
    VersionId,
)
from weft.core.json import JsonMap
from weft.core.spec import PipelineSpec
from weft.core.states import BlockStatus, Cause, RunStatus


@dataclass(frozen=True, slots=True)
class Project:
    """A project that this database knows."""

    id: ProjectId
    uuid: str
    path: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class PipelineVersion:
    """A pipeline as it was when a run was made of it; stored once per content."""

    id: VersionId
    project_id: ProjectId
    pipeline_uuid: PipelineUuid
    content_hash: str
    spec: PipelineSpec
    created_at: datetime


@dataclass(frozen=True, slots=True)
class PipelineSchedule:
    """A pipeline schedule; people call it a trigger.

    `hidden` marks the one that `weft run` uses: it is in no list.
    """

    id: ScheduleId
    project_id: ProjectId
    pipeline_uuid: PipelineUuid
    name: str
    token: str
    schedule_type: str | None
    status: str
    created_at: datetime
    updated_at: datetime
    description: str | None = None
    schedule_interval: str | None = None
    start_time: datetime | None = None
    last_enabled_at: datetime | None = None
    variables: JsonMap | None = None
    settings: JsonMap | None = None
    sla: int | None = None
    repo_path: str | None = None
    global_data_product_uuid: str | None = None
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class ScheduleCounts:
    """What the list of triggers tells about each one's runs."""

    last_run_status: RunStatus | None
    runs: int
    in_progress: int


@dataclass(frozen=True, slots=True)
class PipelineRun:
    """A pipeline run, without its block runs."""

    id: RunId
    project_id: ProjectId
    pipeline_uuid: PipelineUuid
    version_id: VersionId
    status: RunStatus
    created_at: datetime
    updated_at: datetime
    schedule_id: ScheduleId | None = None
    schedule_name: str | None = None
    schedule_token: str | None = None
    schedule_type: str | None = None
    backfill_id: int | None = None
    execution_date: datetime | None = None
    variables: JsonMap | None = None
    event_variables: JsonMap | None = None
    metrics: JsonMap | None = None
    passed_sla: bool = False
    executor_type: str = "local_python"
    started_at: datetime | None = None
    completed_at: datetime | None = None
    ended_at: datetime | None = None
    cancel_requested_at: datetime | None = None
    epoch: int = 1
    owner: str | None = None
    fence: int = 0
    fire_key: str | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class StoredBlockRun:
    """A block run: its public columns, then those that only deciding needs."""

    id: BlockRunId
    run_id: RunId
    block_uuid: BlockUuid
    status: BlockStatus
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None = None
    completed_at: datetime | None = None
    ended_at: datetime | None = None
    metrics: JsonMap | None = None
    attempt: int = 0
    failures: int = 0
    losses: int = 0
    ready_at: datetime | None = None
    not_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class RunWithBlocks:
    """A pipeline run and its block runs in the order of their ids."""

    run: PipelineRun
    blocks: tuple[StoredBlockRun, ...]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One time a block run was handed to an executor; key (block_run_id, number)."""

    block_run_id: BlockRunId
    number: int
    epoch: int
    try_number: int
    executor: str
    job_id: str
    code_hash: str
    parameters_hash: str
    environment: str
    log_path: str
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    cause: Cause | None = None
    metrics: JsonMap | None = None


@dataclass(frozen=True, slots=True)
class Artifact:
    """An accepted output, with the attempt that made it."""

    id: int
    project_id: ProjectId
    pipeline_uuid: PipelineUuid
    partition: str
    block_uuid: BlockUuid
    run_id: RunId
    block_run_id: BlockRunId
    attempt: int
    output: Output
    created_at: datetime


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """One move, or one change by a person; `seq` rises in the order of commits."""

    seq: int
    project_id: ProjectId
    actor: str
    object_type: str
    object_id: int
    cue: str
    at: datetime
    before: str | None = None
    after: str | None = None
    reason: str = ""
    attempt: int | None = None
    block_uuid: str | None = None
    run_id: RunId | None = None


@dataclass(frozen=True, slots=True)
class Announcement:
    """A row of the outbox: something that the world should hear of."""

    id: int
    project_id: ProjectId
    topic: str
    payload: JsonMap
    created_at: datetime
    deliveries: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list: `total` counts before paging."""

    items: tuple[RunWithBlocks, ...]
    total: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an executor says of an attempt beside how it ended.

    `error` is Mage's shape: `{"error": str, "errors": [lines], "message": str}`,
    to which Weft adds `cause` and `where`.
    """

    outputs: tuple[Output, ...] = ()
    metrics: JsonMap = field(default_factory=dict)
    error: JsonMap | None = None
    cause: Cause | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None


Outcomes = Mapping[tuple[BlockUuid, int], Outcome]
"""Outcome by (block, attempt)."""
