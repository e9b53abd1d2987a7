"""GET /api/status and /api/statuses: the health check."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from weft.api.answer import many
from weft.api.declare import FORMAT, offer
from weft.api.deps import caller_of, context_of
from weft.api.query import Query
from weft.api.shapes.statuses import status
from weft.services import statuses
from weft.services.caller import Right

router = APIRouter()

_EXAMPLE = {
    "statuses": [
        {
            "repo_path": "/home/ada/titanic",
            "server_process_id": 4711,
            "scheduler_process_id": 4711,
            "scheduler_status": "running",
            "project_type": "standalone",
        }
    ],
    "metadata": {},
}


@router.get(
    "/api/status",
    **offer(Right.PUBLIC, "Health, under its short name", tag="statuses", example=_EXAMPLE),
)
@router.get(
    "/api/statuses",
    **offer(
        Right.PUBLIC, "Health of server and engine", tag="statuses", example=_EXAMPLE, query=FORMAT
    ),
)
def list_statuses(request: Request) -> Response:
    """Answer the only status. `_format=with_activity_details` adds what went on lately."""
    context = context_of(request)
    busy = Query(request).text("_format") == "with_activity_details"
    health = statuses.health(context, caller_of(request), with_activity=busy)
    return many("statuses", [status(health, context.project)])
