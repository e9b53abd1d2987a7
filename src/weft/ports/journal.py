"""What happened and what is to be told: events, outbox, accepted artifacts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Protocol

from weft.core.ids import BlockRunId, BlockUuid, PipelineUuid, ProjectId, RunId
from weft.core.json import JsonMap
from weft.core.records import Announcement, Artifact, LoggedEvent


class EventStore(Protocol):
    """Every move and every change by a person, numbered in commit order."""

    def since(
        self, seq: int, *, run_id: RunId | None = None, limit: int = 1000
    ) -> Sequence[LoggedEvent]:
        """Return events with a higher number, in order; none is ever skipped over."""
        ...

    def add(
        self,
        project_id: ProjectId,
        *,
        actor: str,
        object_type: str,
        object_id: int,
        cue: str,
        reason: str = "",
    ) -> None:
        """Note a change made by a person."""
        ...


class OutboxStore(Protocol):
    """Announcements, told at least once."""

    def take(self, limit: int, hold: timedelta) -> Sequence[Announcement]:
        """Take the oldest ones that nobody holds, and hold them for `hold`."""
        ...

    def free_in(self) -> timedelta | None:
        """Return after how long the first of those that are held is free; None without any."""
        ...

    def done(self, ids: Collection[int]) -> None:
        """Forget those that were told."""
        ...

    def add(self, project_id: ProjectId, topic: str, payload: JsonMap) -> None:
        """Leave one to be told."""
        ...


class ArtifactStore(Protocol):
    """Accepted outputs: the database alone decides what is visible."""

    def of_run(self, run_id: RunId) -> Mapping[BlockUuid, tuple[Artifact, ...]]:
        """Return, per block, the outputs of its newest accepted attempt in this run."""
        ...

    def of_block_run(self, block_run_id: BlockRunId) -> tuple[Artifact, ...]:
        """Return the outputs of a block run's newest accepted attempt, in order of name."""
        ...

    def newest(
        self,
        project_id: ProjectId,
        pipeline_uuid: PipelineUuid,
        partition: str | None,
        block_uuid: BlockUuid,
    ) -> tuple[Artifact, ...]:
        """Return what (pipeline, partition, block) resolves to: the newest accepted.

        With partition None, the newest of any partition.
        """
        ...
