"""The trigger endpoints: a run for whoever shows the trigger's token.

They take the raw body and no model: this is the way that has to be fast.
"""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from weft.api.answer import respond
from weft.api.body import parse
from weft.api.declare import offer
from weft.api.deps import caller_of, context_of, number
from weft.api.shapes.runs import raw
from weft.core.errors import Unauthenticated
from weft.core.ids import ScheduleId
from weft.core.params import split_trigger_body
from weft.services import triggers
from weft.services.caller import Right
from weft.services.runs import StartRun

router = APIRouter()

KEY = ("Idempotency-Key", "text", "The same key, sent again, answers with the same run.")

_BODY = {"pipeline_run": {"variables": {"env": "staging"}}, "source": "nightly import"}
_EXAMPLE = {
    "pipeline_run": {
        "id": 7,
        "created_at": "2026-11-23 15:33:58.570858+00:00",
        "updated_at": "2026-11-23 15:33:58.570858+00:00",
        "pipeline_schedule_id": 2,
        "pipeline_uuid": "example_pipeline",
        "execution_date": "2026-11-23 15:33:58.570858+00:00",
        "status": "initial",
        "started_at": None,
        "completed_at": None,
        "variables": {
            "env": "staging",
            "execution_partition": "2/20261123T153358_570858",
        },
        "passed_sla": False,
        "event_variables": {"source": "nightly import"},
        "metrics": None,
        "backfill_id": None,
        "executor_type": "local_python",
    }
}


@router.post(
    "/api/pipeline_schedules/{schedule_id}/pipeline_runs/{token}",
    **offer(
        Right.PUBLIC,
        "Start a run with the token in the path",
        tag="triggers",
        example=_EXAMPLE,
        body=_BODY,
        headers=(KEY,),
    ),
)
def fire_by_path(request: Request, schedule_id: str, token: str) -> Response:
    """Start a run of an API trigger; only the token is asked for."""
    return _fire(request, schedule_id, token)


@router.post(
    "/api/pipeline_schedules/{schedule_id}/api_trigger",
    **offer(
        Right.PUBLIC,
        "Start a run with the token as bearer",
        tag="triggers",
        example=_EXAMPLE,
        body=_BODY,
        headers=(("Authorization", "text", "Bearer and the trigger's token."), KEY),
    ),
)
def fire_by_bearer(request: Request, schedule_id: str) -> Response:
    """Start a run of an API trigger; only the token is asked for."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated(
            f"Invalid token for pipeline schedule ID {schedule_id}.",
            hint="Send the header `Authorization: Bearer <the trigger's token>`.",
        )
    return _fire(request, schedule_id, token.strip())


def _fire(request: Request, schedule_id: str, token: str) -> Response:
    begun = triggers.fire(
        context_of(request),
        caller_of(request),
        number(schedule_id, ScheduleId, "trigger"),
        token,
        _asked(request),
    )
    headers = {"Idempotency-Replayed": "true"} if begun.replayed else None
    return respond({"pipeline_run": raw(begun.stored.run)}, headers=headers)


def _asked(request: Request) -> StartRun:
    fields, event_variables = split_trigger_body(parse(request))
    return StartRun(
        variables=fields.variables,
        event_variables=event_variables,
        execution_date=fields.execution_date,
        backfill_id=fields.backfill_id,
        idempotency_key=request.headers.get("idempotency-key"),
    )
