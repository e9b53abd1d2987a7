"""The trigger object, in each of its formats."""

from __future__ import annotations

from weft.api.shapes.moments import stamp
from weft.core.json import Json
from weft.core.records import PipelineSchedule
from weft.services.schedules import ScheduleView

WITH_AVERAGE = "with_runtime_average"


def base(schedule: PipelineSchedule) -> dict[str, Json]:
    """Return the format of create and delete."""
    return {
        "created_at": stamp(schedule.created_at),
        "description": schedule.description,
        "global_data_product_uuid": schedule.global_data_product_uuid,
        "id": schedule.id,
        "last_enabled_at": stamp(schedule.last_enabled_at),
        "name": schedule.name,
        "pipeline_uuid": schedule.pipeline_uuid,
        "repo_path": schedule.repo_path,
        "schedule_interval": schedule.schedule_interval,
        "schedule_type": schedule.schedule_type,
        "settings": schedule.settings,
        "sla": schedule.sla,
        "start_time": stamp(schedule.start_time),
        "status": schedule.status,
        "token": schedule.token,
        "updated_at": stamp(schedule.updated_at),
        "variables": schedule.variables,
    }


def listed(view: ScheduleView) -> dict[str, Json]:
    """Return a trigger as the list holds it; counters are null without runs."""
    counts = view.counts
    return {
        **base(view.schedule),
        "event_matchers": [],
        "last_pipeline_run_status": counts and counts.last_run_status,
        "next_pipeline_run_date": stamp(view.next_run_at),
        "pipeline_in_progress_runs_count": counts and counts.in_progress,
        "pipeline_runs_count": counts and counts.runs,
        "tags": [],
    }


def detail(view: ScheduleView) -> dict[str, Json]:
    """Return the format of detail and update."""
    return {
        **base(view.schedule),
        "event_matchers": [],
        "next_pipeline_run_date": stamp(view.next_run_at),
        "tags": [],
    }


def with_average(view: ScheduleView) -> dict[str, Json]:
    """Return the format `with_runtime_average`."""
    return {
        **base(view.schedule),
        "next_pipeline_run_date": stamp(view.next_run_at),
        "pipeline_runs_count": view.counts and view.counts.runs,
        "runtime_average": view.average,
        "tags": [],
    }
