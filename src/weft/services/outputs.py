"""What blocks left behind: read back by block run or by block, in part."""

from __future__ import annotations

from dataclasses import dataclass

from weft.core.errors import NotFound
from weft.core.ids import BlockRunId, BlockUuid, PipelineUuid
from weft.core.records import Artifact
from weft.ports.outputs import Preview
from weft.services.block_runs import block_run_here
from weft.services.caller import Caller, Right, require
from weft.services.context import Context

SAMPLE_ROWS = 1000
"""Rows shown when nobody says how many."""


@dataclass(frozen=True, slots=True)
class Seen:
    """An output and its first rows; `gone` says that its file was removed by retention."""

    artifact: Artifact
    preview: Preview | None
    gone: str | None = None


def of_block_run(
    context: Context, caller: Caller, block_run_id: BlockRunId, *, rows: int = SAMPLE_ROWS
) -> tuple[Seen, ...]:
    """Return the outputs of a block run, in order. Raises `NotFound`."""
    require(caller, Right.READ)
    with context.store.read() as unit:
        block_run_here(context, unit, block_run_id)
        artifacts = unit.artifacts.of_block_run(block_run_id)
    return tuple(_see(context, artifact, rows) for artifact in artifacts)


def of_block(
    context: Context,
    caller: Caller,
    pipeline_uuid: PipelineUuid,
    block_uuid: BlockUuid,
    *,
    partition: str | None = None,
    rows: int = SAMPLE_ROWS,
) -> tuple[Seen, ...]:
    """Return the newest outputs of a block, of one partition or of any."""
    require(caller, Right.READ)
    with context.store.read() as unit:
        artifacts = unit.artifacts.newest(context.project.id, pipeline_uuid, partition, block_uuid)
    return tuple(_see(context, artifact, rows) for artifact in artifacts)


def _see(context: Context, artifact: Artifact, rows: int) -> Seen:
    try:
        return Seen(artifact, context.outputs.preview(artifact.output, rows))
    except NotFound as error:
        return Seen(artifact, None, gone=str(error))
