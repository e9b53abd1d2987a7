"""The health check's only element."""

from __future__ import annotations

import os
from pathlib import Path

from weft.api.shapes.moments import stamp
from weft.core.json import Json
from weft.core.records import Project
from weft.services.statuses import Health

PRINTED_LINES = 1000
"""Lines of a block's output that a client should show."""


def status(health: Health, project: Project) -> dict[str, Json]:
    """Return the state of server and engine."""
    name = Path(project.path).name
    item = {
        "is_instance_manager": False,
        "max_print_output_lines": PRINTED_LINES,
        "repo_path": project.path,
        "repo_path_relative": name,
        "repo_path_relative_root": name,
        "repo_path_root": os.fspath(Path(project.path)),
        "server_process_id": health.server_pid,
        "scheduler_process_id": health.engine_pid,
        "scheduler_status": "stopped" if health.engine_pid is None else "running",
        "instance_type": None,
        "disable_pipeline_edit_access": False,
        "require_user_authentication": False,
        "require_user_permissions": False,
        "project_type": "standalone",
        "project_uuid": project.uuid,
    }
    if health.activity is not None:
        item["active_pipeline_run_count"] = health.activity.running
        item["last_scheduler_activity"] = stamp(health.activity.last_moved_at)
        item["last_user_request"] = stamp(health.activity.asked_at)
    return item
