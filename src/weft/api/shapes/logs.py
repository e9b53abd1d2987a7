"""Log files as clients of Mage read them: a name, a path, and lines of text."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from weft.core.json import Json, JsonMap
from weft.services.logs import LogText, PipelineLogs


def file(text: LogText) -> dict[str, Json]:
    """Return one log file with its content."""
    return {
        "name": text.file.path.name,
        "path": str(text.file.path),
        "size": text.file.size,
        "modified_timestamp": text.file.modified,
        "content": "".join(f"{line(one)}\n" for one in text.lines),
    }


def of_pipeline(logs: PipelineLogs) -> dict[str, Json]:
    """Return the only element of a pipeline's list of logs.

    A run has no log of its own here: what concerns it is in its events.
    """
    return {
        "block_run_logs": [file(text) for text in logs.files],
        "pipeline_run_logs": [],
        "total_block_run_log_count": logs.total,
        "total_pipeline_run_log_count": 0,
    }


def line(content: JsonMap) -> str:
    """Return `YYYY-MM-DDTHH:MM:SS {json}`."""
    at = content.get("timestamp")
    seconds = float(at) if isinstance(at, int | float) else 0.0
    when = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{when} {json.dumps(dict(content), ensure_ascii=False, default=str)}"
