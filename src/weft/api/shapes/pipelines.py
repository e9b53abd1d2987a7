"""The pipeline object, in list and detail, and what stands for a broken one."""

from __future__ import annotations

from collections.abc import Iterable

from weft.api.shapes import blocks as block_shapes
from weft.api.shapes.moments import stamp, stamp_seconds, stamp_written
from weft.api.shapes.outputs import from_sample
from weft.core.json import Json, JsonMap
from weft.core.records import PipelineSchedule
from weft.core.spec import LoadedPipeline
from weft.ports.project import Quarantined
from weft.services.pipelines import PipelineView


def listed(view: PipelineView, variables_dir: str) -> dict[str, Json]:
    """Return a pipeline as the list holds it; a broken one has type `invalid`."""
    found = view.found
    if isinstance(found, Quarantined):
        return _broken(found, view.schedules, variables_dir)
    spec = found.spec
    item = _head(spec.config, spec.uuid, view.project_config, variables_dir)
    item["blocks"] = [block_shapes.base(spec, block) for block in spec.blocks]
    _tail(item, spec.config, view.schedules)
    item["updated_at"] = stamp_seconds(found.updated_at)
    return item


def detail(
    view: PipelineView,
    loaded: LoadedPipeline,
    variables_dir: str,
    *,
    content: bool,
    outputs: int | None,
    metadata: bool,
    extensions: bool,
) -> dict[str, Json]:
    """Return a pipeline with its blocks in full; `outputs` rows each, or none if None."""
    spec = loaded.spec
    item = _head(spec.config, spec.uuid, view.project_config, variables_dir)
    item["blocks"] = [
        block_shapes.within_pipeline(
            spec,
            block,
            code=loaded.code if content else None,
            outputs=None
            if outputs is None
            else [from_sample(a.output, outputs) for a in view.outputs.get(block.uuid, ())],
            metadata=metadata,
        )
        for block in spec.blocks
    ]
    _tail(item, spec.config, None)
    if extensions:
        item["extensions"] = spec.config.get("extensions") or {}
    if view.schedules is not None:
        item["schedules"] = [_schedule(schedule) for schedule in view.schedules]
    item["updated_at"] = stamp_seconds(loaded.updated_at)
    return item


def _head(
    config: JsonMap, uuid: str, project_config: JsonMap, variables_dir: str
) -> dict[str, Json]:
    item = {
        "cache_block_output_in_memory": bool(config.get("cache_block_output_in_memory")),
        "concurrency_config": config.get("concurrency_config") or {},
        "created_at": stamp_written(config.get("created_at")),
        "data_integration": config.get("data_integration"),
        "description": config.get("description"),
        "executor_config": config.get("executor_config") or {},
        "executor_count": config.get("executor_count") or 1,
        "executor_type": config.get("executor_type"),
        "name": config.get("name") or uuid,
        "notification_config": config.get("notification_config") or {},
        "remote_variables_dir": config.get("remote_variables_dir")
        or project_config.get("remote_variables_dir"),
        "retry_config": config.get("retry_config") or {},
        "run_pipeline_in_one_process": bool(config.get("run_pipeline_in_one_process")),
        "settings": {"triggers": None, **(config.get("settings") or {})},
        "tags": list(config.get("tags") or ()),
        "type": config.get("type") or "python",
        "uuid": uuid,
        "variables_dir": variables_dir,
    }
    if config.get("variables"):
        item["variables"] = config["variables"]
    if "spark_config" in config or "spark_config" in project_config:
        spark = config.get("spark_config") or project_config.get("spark_config")
        item["spark_config"] = spark or {}
    return item


def _tail(
    item: dict[str, Json], config: JsonMap, schedules: Iterable[PipelineSchedule] | None
) -> None:
    for group in ("callbacks", "conditionals", "widgets"):
        item[group] = [
            block_shapes.outside_graph(entry)
            for entry in config.get(group) or ()
            if isinstance(entry, dict)
        ]
    if schedules is not None:
        item["schedules"] = [_schedule(schedule) for schedule in schedules]


def _schedule(schedule: PipelineSchedule) -> dict[str, Json]:
    return {
        "created_at": stamp(schedule.created_at),
        "id": schedule.id,
        "name": schedule.name,
        "pipeline_uuid": schedule.pipeline_uuid,
        "schedule_interval": schedule.schedule_interval,
        "schedule_type": schedule.schedule_type,
        "start_time": stamp(schedule.start_time),
        "status": schedule.status,
        "updated_at": stamp(schedule.updated_at),
    }


def _broken(
    found: Quarantined, schedules: Iterable[PipelineSchedule] | None, variables_dir: str
) -> dict[str, Json]:
    item = _head({"type": "invalid"}, found.uuid, {}, variables_dir)
    item["blocks"] = []
    _tail(item, {}, schedules)
    where = found.error.where
    item["error"] = {
        "error": str(found.error),
        "message": found.error.message,
        "hint": found.error.hint,
        "where": None
        if where is None
        else {"path": where.path, "line": where.line, "column": where.column},
    }
    item["updated_at"] = None
    return item
