"""Takes up a run as it was last committed, with what an earlier owner left behind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from weft.core import params
from weft.core.errors import NotFound
from weft.core.events import Lost
from weft.core.ids import BlockUuid, ProjectId, ScheduleId, VersionId
from weft.core.machine import Run
from weft.core.records import PipelineSchedule, RunWithBlocks
from weft.core.spec import PipelineSpec
from weft.core.states import BlockStatus, Cause
from weft.engine.held import Held, ServedProject, as_decided
from weft.ports.runs import Claim
from weft.ports.unit import Unit

_REMEMBERED = 64
"""Pinned pipelines kept in memory; they never change, so any number would be right."""


class Recovery:
    """Rebuilds runs from their rows; remembers the pipelines they are made of."""

    def __init__(self, served: Mapping[ProjectId, ServedProject]) -> None:
        self._served = served
        self._versions: dict[VersionId, tuple[PipelineSpec, Mapping[str, str]]] = {}

    def take_up(self, unit: Unit, claim: Claim, stored: RunWithBlocks) -> Held:
        """Return the run with its pipeline, code, trigger and accepted outputs."""
        spec, code = self._version(unit, stored.run.version_id)
        run = as_decided(stored, spec)
        outputs = {}
        if any(block.status is BlockStatus.COMPLETED for block in run.blocks.values()):
            kept = unit.artifacts.of_run(claim.run_id)
            outputs = {block: tuple(a.output for a in rows) for block, rows in kept.items()}
        return Held(
            claim=claim,
            record=stored.run,
            run=run,
            spec=spec,
            code=code,
            served=self._served[stored.run.project_id],
            schedule=_schedule(unit, stored.run.schedule_id),
            partition=params.run_partition(stored.run),
            ids={block.block_uuid: block.id for block in stored.blocks},
            outputs=outputs,
        )

    def refresh(self, unit: Unit, held: Held) -> None:
        """Read the trigger of a waiting run anew: it may have been switched on."""
        held.schedule = _schedule(unit, held.record.schedule_id)

    def _version(self, unit: Unit, version_id: VersionId) -> tuple[PipelineSpec, Mapping[str, str]]:
        if version_id not in self._versions:
            if len(self._versions) >= _REMEMBERED:
                self._versions.pop(next(iter(self._versions)))
            spec = unit.catalog.version(version_id).spec
            hashes = {block.code_hash for block in spec.running_blocks if block.code_hash}
            self._versions[version_id] = (spec, unit.catalog.code(hashes))
        return self._versions[version_id]


def _schedule(unit: Unit, schedule_id: ScheduleId | None) -> PipelineSchedule | None:
    if schedule_id is None:
        return None
    try:
        return unit.schedules.get(schedule_id)
    except NotFound:
        return None  # deleted since; its runs go on


def left_behind(run: Run) -> Iterator[tuple[BlockUuid, int]]:
    """Yield the attempts that an earlier owner had handed out."""
    for uuid, block in run.blocks.items():
        if block.in_flight:
            yield uuid, block.attempt


def orphaned(block: BlockUuid, attempt: int) -> Lost:
    """Say that an attempt went with its engine: no try is spent."""
    return Lost(block, attempt, Cause.ENGINE)
