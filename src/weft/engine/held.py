"""A run that this engine owns, with all that it needs to move it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from weft.core.artifact import Output
from weft.core.ids import BlockRunId, BlockUuid, RunId
from weft.core.machine import BlockRun, Run
from weft.core.records import (
    Outcome,
    PipelineRun,
    PipelineSchedule,
    Project,
    RunWithBlocks,
    StoredBlockRun,
)
from weft.core.spec import PipelineSpec
from weft.core.states import RUN_ENDED, BlockStatus
from weft.ports.project import ProjectFiles, ProjectSettings
from weft.ports.runs import Claim


@dataclass(frozen=True, slots=True)
class ServedProject:
    """A project whose runs this engine may own, and where its outputs lie."""

    project: Project
    files: ProjectFiles
    settings: ProjectSettings
    outputs: Path


@dataclass(slots=True)
class Held:
    """One owned run. `run` is as last committed; nothing here outlives the claim."""

    claim: Claim
    record: PipelineRun
    run: Run
    spec: PipelineSpec
    code: Mapping[str, str]
    served: ServedProject
    schedule: PipelineSchedule | None
    partition: str
    ids: Mapping[BlockUuid, BlockRunId]
    outputs: dict[BlockUuid, tuple[Output, ...]] = field(default_factory=dict)

    @property
    def id(self) -> RunId:
        """The run's id."""
        return self.claim.run_id

    @property
    def over(self) -> bool:
        """Whether the run has ended, so that there is nothing left to own."""
        return self.run.status in RUN_ENDED

    def keep(self, run: Run, outcomes: Mapping[tuple[BlockUuid, int], Outcome]) -> None:
        """Take over what was just committed."""
        self.run = run
        for (block, attempt), outcome in outcomes.items():
            now = run.blocks[block]
            if now.attempt == attempt and now.status is BlockStatus.COMPLETED:
                self.outputs[block] = outcome.outputs


def as_decided(stored: RunWithBlocks, spec: PipelineSpec) -> Run:
    """Return the run as deciding sees it, from its rows and its pinned pipeline."""
    graph = spec.graph()
    blocks = dict.fromkeys(graph.upstream, BlockRun())
    blocks |= {row.block_uuid: _block(row) for row in stored.blocks if row.block_uuid in blocks}
    return Run(
        graph=graph,
        blocks=blocks,
        retries=spec.retries(),
        status=stored.run.status,
        epoch=stored.run.epoch,
        cancel_requested_at=stored.run.cancel_requested_at,
    )


def _block(row: StoredBlockRun) -> BlockRun:
    return BlockRun(
        status=row.status,
        attempt=row.attempt,
        failures=row.failures,
        losses=row.losses,
        ready_at=row.ready_at,
        not_before=row.not_before,
    )
