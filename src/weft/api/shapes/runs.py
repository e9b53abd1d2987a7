"""The pipeline run object, in each of its formats."""

from __future__ import annotations

from weft.api.shapes.block_runs import embedded, embedded_with_trigger
from weft.api.shapes.moments import stamp
from weft.core.json import Json
from weft.core.records import PipelineRun, RunWithBlocks
from weft.core.spec import PipelineSpec
from weft.core.states import BlockStatus


def whole(stored: RunWithBlocks, *, repo_path: str, detail: bool = False) -> dict[str, Json]:
    """Return the object of detail and list: the documented 18 keys, then the others.

    `pipeline_tags` and `pipeline_type` are null until `with_pipeline` fills them. With
    `detail` the block runs also name the trigger.
    """
    run = stored.run
    blocks = stored.blocks
    done = sum(block.status is BlockStatus.COMPLETED for block in blocks)
    return {
        "backfill_id": run.backfill_id,
        "block_runs": [
            embedded_with_trigger(run, block) if detail else embedded(block) for block in blocks
        ],
        "block_runs_count": len(blocks),
        "completed_at": stamp(run.completed_at),
        "created_at": stamp(run.created_at),
        "event_variables": run.event_variables,
        "execution_date": stamp(run.execution_date),
        "id": run.id,
        "metrics": run.metrics,
        "passed_sla": run.passed_sla,
        "pipeline_schedule_id": run.schedule_id,
        "pipeline_schedule_name": run.schedule_name,
        "pipeline_schedule_token": run.schedule_token,
        "pipeline_schedule_type": run.schedule_type,
        "pipeline_uuid": run.pipeline_uuid,
        "status": run.status,
        "updated_at": stamp(run.updated_at),
        "variables": run.variables,
        "executor_type": run.executor_type,
        "started_at": stamp(run.started_at),
        "completed_block_runs_count": done,
        "pipeline_tags": None,
        "pipeline_type": None,
        "repo_path": repo_path,
    }


def with_pipeline(
    item: dict[str, Json], spec: PipelineSpec | None, *, tags: bool, kind: bool
) -> dict[str, Json]:
    """Fill in what the pipeline says today; it may be gone."""
    if spec is not None:
        item["pipeline_tags"] = list(spec.tags) if tags else None
        item["pipeline_type"] = spec.type if kind else None
    return item


def base(run: PipelineRun) -> dict[str, Json]:
    """Return the default format, that of create, update and delete."""
    return {
        "backfill_id": run.backfill_id,
        "completed_at": stamp(run.completed_at),
        "created_at": stamp(run.created_at),
        "event_variables": run.event_variables,
        "execution_date": stamp(run.execution_date),
        "executor_type": run.executor_type,
        "id": run.id,
        "metrics": run.metrics,
        "passed_sla": run.passed_sla,
        "pipeline_schedule_id": run.schedule_id,
        "pipeline_uuid": run.pipeline_uuid,
        "started_at": stamp(run.started_at),
        "status": run.status,
        "updated_at": stamp(run.updated_at),
        "variables": run.variables,
    }


def basic(run: PipelineRun) -> dict[str, Json]:
    """Return the format `with_basic_details`."""
    return {
        "execution_date": stamp(run.execution_date),
        "id": run.id,
        "status": run.status,
    }


def raw(run: PipelineRun) -> dict[str, Json]:
    """Return the answer of the trigger endpoints, in the order of the columns."""
    return {
        "id": run.id,
        "created_at": stamp(run.created_at),
        "updated_at": stamp(run.updated_at),
        "pipeline_schedule_id": run.schedule_id,
        "pipeline_uuid": run.pipeline_uuid,
        "execution_date": stamp(run.execution_date),
        "status": run.status,
        "started_at": stamp(run.started_at),
        "completed_at": stamp(run.completed_at),
        "variables": run.variables,
        "passed_sla": run.passed_sla,
        "event_variables": run.event_variables,
        "metrics": run.metrics,
        "backfill_id": run.backfill_id,
        "executor_type": run.executor_type,
    }
