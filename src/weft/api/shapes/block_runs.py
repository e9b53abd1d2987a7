"""The block run object: alone, and inside a pipeline run."""

from __future__ import annotations

from weft.api.shapes.moments import stamp
from weft.core.json import Json
from weft.core.records import PipelineRun, StoredBlockRun


def embedded(block: StoredBlockRun) -> dict[str, Json]:
    """Return a block run as a pipeline run's list item holds it."""
    return {
        "block_uuid": block.block_uuid,
        "completed_at": stamp(block.completed_at),
        "created_at": stamp(block.created_at),
        "id": block.id,
        "metrics": block.metrics,
        "pipeline_run_id": block.run_id,
        "started_at": stamp(block.started_at),
        "status": block.status,
        "updated_at": stamp(block.updated_at),
    }


def embedded_with_trigger(run: PipelineRun, block: StoredBlockRun) -> dict[str, Json]:
    """Return a block run as a pipeline run's detail holds it."""
    return {**embedded(block), **_trigger(run)}


def listed(run: PipelineRun, block: StoredBlockRun) -> dict[str, Json]:
    """Return a block run as its own list holds it: without metrics."""
    item = embedded(block)
    del item["metrics"]
    return {**item, **_trigger(run)}


def _trigger(run: PipelineRun) -> dict[str, Json]:
    return {
        "pipeline_schedule_id": run.schedule_id,
        "pipeline_schedule_name": run.schedule_name,
    }
