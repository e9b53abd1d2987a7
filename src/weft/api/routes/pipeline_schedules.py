"""/api/pipeline_schedules: triggers."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from weft.api.answer import one, paged
from weft.api.body import convert, wrapped
from weft.api.declare import FORMAT, PAGING, offer
from weft.api.deps import caller_of, context_of, name, number
from weft.api.query import Query
from weft.api.shapes.schedules import WITH_AVERAGE, base, detail, listed, with_average
from weft.core.errors import Invalid
from weft.core.ids import PipelineUuid, ScheduleId
from weft.core.json import Json
from weft.services import schedules
from weft.services.caller import Right
from weft.services.schedule_input import KNOWN, ScheduleInput
from weft.services.schedules import ScheduleQuery, ScheduleView

router = APIRouter()

_TAG = "triggers"
_ITEM = {
    "created_at": "2026-11-23 15:33:56.000000+00:00",
    "description": None,
    "global_data_product_uuid": None,
    "id": 2,
    "last_enabled_at": "2026-11-23 15:33:56.000000+00:00",
    "name": "late forest",
    "pipeline_uuid": "example_pipeline",
    "repo_path": "/home/ada/titanic",
    "schedule_interval": "@daily",
    "schedule_type": "time",
    "settings": {"weft": {"timezone": "Europe/Berlin"}},
    "sla": None,
    "start_time": None,
    "status": "active",
    "token": "0123456789abcdef0123456789abcdef",
    "updated_at": "2026-11-23 15:33:56.000000+00:00",
    "variables": {"env": "staging"},
}
_DETAIL: dict[str, Json] = {
    **_ITEM,
    "event_matchers": [],
    "next_pipeline_run_date": "2026-11-23 23:00:00.000000+00:00",
    "tags": [],
}
_ONE = {"pipeline_schedule": _DETAIL, "metadata": None}
_LIST = {"pipeline_schedules": [_DETAIL], "metadata": {"count": 1, "next": False}}
_BODY = {
    "pipeline_schedule": {
        "name": "every night",
        "schedule_type": "time",
        "schedule_interval": "@daily",
        "status": "active",
        "settings": {"weft": {"timezone": "Europe/Berlin"}},
    }
}
_FILTERS = (
    ("schedule_type[]", "text", "`api`, `event`, `time`, by comma."),
    ("schedule_interval[]", "text", "Intervals, by comma."),
    ("status[]", "text", "`active`, `inactive`, by comma."),
    ("tag[]", "text", "Tags, by comma."),
    ("global_data_product_uuid", "text", "Only triggers of this global data product."),
    ("order_by", "text", "`created_at`, `name`, `pipeline_uuid`, `status`, `schedule_type`."),
    *PAGING,
    *FORMAT,
)

_ALWAYS_THERE = frozenset({"created_at", "id", "pipeline_uuid", "updated_at"})
"""Attributes that clients send back with the object, and that nobody may set."""

_LATER = ("tags", "event_matchers")


@router.get(
    "/api/pipeline_schedules",
    **offer(Right.READ, "List triggers", tag=_TAG, example=_LIST, query=_FILTERS),
)
def list_schedules(request: Request) -> Response:
    """Answer a page of the project's triggers."""
    return _list(request, None)


@router.get(
    "/api/pipelines/{pipeline_uuid}/pipeline_schedules",
    **offer(Right.READ, "List a pipeline's triggers", tag=_TAG, example=_LIST, query=_FILTERS),
)
def list_schedules_of_pipeline(request: Request, pipeline_uuid: str) -> Response:
    """Answer a page of one pipeline's triggers, the newest first."""
    return _list(request, PipelineUuid(name(pipeline_uuid)))


@router.post(
    "/api/pipelines/{pipeline_uuid}/pipeline_schedules",
    **offer(
        Right.EDIT,
        "Make a trigger",
        tag=_TAG,
        example={"pipeline_schedule": _ITEM, "metadata": None},
        body=_BODY,
    ),
)
def create_schedule(request: Request, pipeline_uuid: str) -> Response:
    """Make a trigger; name and token are generated where they are absent."""
    given = wrapped(request, "pipeline_schedule")
    unknown = sorted(given.keys() - KNOWN - _ALWAYS_THERE)
    if unknown:
        raise Invalid(
            f"pipeline_schedule: {', '.join(map(repr, unknown))} cannot be set on a new trigger",
            hint=f"Known are {', '.join(sorted(KNOWN))}.",
        )
    view = schedules.create_schedule(
        context_of(request),
        caller_of(request),
        PipelineUuid(name(pipeline_uuid)),
        convert(given, ScheduleInput, "pipeline_schedule"),
    )
    return one("pipeline_schedule", base(view.schedule))


@router.get(
    "/api/pipeline_schedules/{schedule_id}",
    **offer(Right.READ, "Show a trigger", tag=_TAG, example=_ONE, query=FORMAT),
)
def get_schedule(request: Request, schedule_id: str) -> Response:
    """Answer one trigger with the next time that it fires."""
    format_ = Query(request).text("_format")
    view = schedules.get_schedule(
        context_of(request),
        caller_of(request),
        _id(schedule_id),
        with_average=format_ == WITH_AVERAGE,
    )
    return one("pipeline_schedule", _formatted(view, format_ or "detail"))


@router.put(
    "/api/pipeline_schedules/{schedule_id}",
    **offer(
        Right.EDIT,
        "Change a trigger",
        tag=_TAG,
        example=_ONE,
        body={"pipeline_schedule": {"status": "inactive"}},
    ),
)
def update_schedule(request: Request, schedule_id: str) -> Response:
    """Change the attributes given; `rotate_token: true` makes a new token."""
    given = wrapped(request, "pipeline_schedule")
    for key in _LATER:
        if given.get(key):
            raise Invalid(
                f"pipeline_schedule.{key}: not offered yet", hint="Leave it out, or empty."
            )
    view = schedules.update_schedule(
        context_of(request),
        caller_of(request),
        _id(schedule_id),
        convert(given, ScheduleInput, "pipeline_schedule"),
        rotate_token=given.get("rotate_token") is True,
    )
    return one("pipeline_schedule", detail(view))


@router.delete(
    "/api/pipeline_schedules/{schedule_id}",
    **offer(
        Right.EDIT,
        "Delete a trigger",
        tag=_TAG,
        example={"pipeline_schedule": _ITEM, "metadata": None},
    ),
)
def delete_schedule(request: Request, schedule_id: str) -> Response:
    """Forget a trigger; its runs stay, without one."""
    view = schedules.delete_schedule(context_of(request), caller_of(request), _id(schedule_id))
    return one("pipeline_schedule", base(view.schedule))


def _list(request: Request, pipeline_uuid: PipelineUuid | None) -> Response:
    query = Query(request)
    format_ = query.text("_format") or "list"
    page = schedules.list_schedules(
        context_of(request),
        caller_of(request),
        ScheduleQuery(
            pipeline_uuid=pipeline_uuid,
            types=query.many("schedule_type"),
            intervals=query.many("schedule_interval"),
            statuses=query.many("status"),
            tags=query.many("tag"),
            global_data_product=query.text("global_data_product_uuid"),
            order_by=query.text("order_by"),
            limit=query.size("_limit", 40),
            offset=query.size("_offset", 0),
        ),
        with_average=format_ == WITH_AVERAGE,
    )
    items = [_formatted(view, format_) for view in page.items]
    return paged("pipeline_schedules", items, total=page.total, more=page.next)


def _formatted(view: ScheduleView, format_: str) -> dict[str, Json]:
    match format_:
        case "list":
            return listed(view)
        case "detail":
            return detail(view)
        case "with_runtime_average":
            return with_average(view)
        case _:
            return base(view.schedule)


def _id(text: str) -> ScheduleId:
    return number(text, ScheduleId, "trigger")
