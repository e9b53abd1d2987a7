"""Logs of a pipeline, a run, a block run; read whole or followed live."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from weft.api.answer import many
from weft.api.declare import offer
from weft.api.deps import caller_of, context_of, name, number
from weft.api.query import Query
from weft.api.shapes import logs as shapes
from weft.api.stream import EventStream, events
from weft.core.ids import BlockRunId, PipelineUuid, RunId
from weft.services import logs
from weft.services.caller import Right
from weft.services.logs import LogQuery

router = APIRouter()

_TAG = "logs"
_FILE = {
    "name": "33-1.jsonl",
    "path": "/home/ada/.weft/titanic-1a2b3c4d/logs/23/33-1.jsonl",
    "size": 120,
    "modified_timestamp": 1795416049.7,
    "content": '2026-11-23T06:40:49 {"level": "INFO", "message": "1309 passengers"}\n',
}
_FILES = {"logs": [_FILE], "metadata": {}}
_OF_PIPELINE = {
    "logs": [
        {
            "block_run_logs": [_FILE],
            "pipeline_run_logs": [],
            "total_block_run_log_count": 1,
            "total_pipeline_run_log_count": 0,
        }
    ],
    "metadata": {},
}
_LINES = 'id: 1\ndata: {"level": "INFO", "message": "1309 passengers"}\n\nevent: end\ndata: {}\n\n'


@router.get(
    "/api/pipelines/{pipeline_uuid}/logs",
    **offer(
        Right.READ,
        "Read the logs of a pipeline's newest runs",
        tag=_TAG,
        example=_OF_PIPELINE,
        query=(
            ("start_timestamp", "seconds", "Execution date at or after, since 1970."),
            ("end_timestamp", "seconds", "Execution date at or before, since 1970."),
            ("pipeline_schedule_id[]", "text", "Only these triggers, by comma."),
            ("pipeline_run_id[]", "text", "Only these runs, by comma."),
            ("block_run_id[]", "text", "Only these block runs, by comma."),
            ("block_uuid[]", "text", "Only blocks whose name begins so, by comma."),
            ("_limit", "number", "Runs to look at."),
        ),
    ),
)
def list_logs(request: Request, pipeline_uuid: str) -> Response:
    """Answer up to 20 log files, those of the newest runs first."""
    query = Query(request)
    limited = query.text("_limit") is not None
    found = logs.of_pipeline(
        context_of(request),
        caller_of(request),
        PipelineUuid(name(pipeline_uuid)),
        LogQuery(
            schedule_ids=query.wholes("pipeline_schedule_id"),
            run_ids=query.wholes("pipeline_run_id"),
            block_run_ids=query.wholes("block_run_id"),
            blocks=query.many("block_uuid"),
            since=query.moment("start_timestamp"),
            until=query.moment("end_timestamp"),
            limit=query.size("_limit", 0) if limited else None,
        ),
    )
    return many("logs", [shapes.of_pipeline(found)])


@router.get(
    "/api/pipeline_runs/{run_id}/logs",
    **offer(Right.READ, "Read the logs of a run", tag=_TAG, example=_FILES),
)
def list_logs_of_run(request: Request, run_id: str) -> Response:
    """Answer one log file per attempt."""
    texts = logs.of_run(
        context_of(request), caller_of(request), number(run_id, RunId, "pipeline run")
    )
    return many("logs", [shapes.file(text) for text in texts])


@router.get(
    "/api/block_runs/{block_run_id}/logs",
    **offer(Right.READ, "Read the logs of a block run", tag=_TAG, example=_FILES),
)
def list_logs_of_block_run(request: Request, block_run_id: str) -> Response:
    """Answer one log file per attempt."""
    texts = logs.of_block_run(
        context_of(request),
        caller_of(request),
        number(block_run_id, BlockRunId, "block run"),
    )
    return many("logs", [shapes.file(text) for text in texts])


@router.get(
    "/api/pipeline_runs/{run_id}/logs/stream",
    **offer(Right.READ, "Follow the logs of a run", tag=_TAG, example=_LINES, answer=EventStream),
)
def follow_run(request: Request, run_id: str) -> Response:
    """Send each line as a server-sent event, until the run has ended."""
    lines = logs.follow(
        context_of(request),
        caller_of(request),
        run_id=number(run_id, RunId, "pipeline run"),
        block_run_id=None,
    )
    return events(lines)


@router.get(
    "/api/block_runs/{block_run_id}/logs/stream",
    **offer(
        Right.READ, "Follow the logs of a block run", tag=_TAG, example=_LINES, answer=EventStream
    ),
)
def follow_block_run(request: Request, block_run_id: str) -> Response:
    """Send each line as a server-sent event, until the block run has ended."""
    lines = logs.follow(
        context_of(request),
        caller_of(request),
        run_id=None,
        block_run_id=number(block_run_id, BlockRunId, "block run"),
    )
    return events(lines)
