"""/api/pipeline_runs, and those of one trigger."""

from __future__ import annotations

from typing import Any, TypedDict

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from weft.api.answer import many, one
from weft.api.body import convert, wrapped
from weft.api.declare import FORMAT, PAGING, offer
from weft.api.deps import caller_of, context_of, number
from weft.api.query import Query
from weft.api.shapes.runs import base, basic, whole, with_pipeline
from weft.core.errors import Invalid
from weft.core.ids import RunId, ScheduleId
from weft.core.json import Json
from weft.core.params import run_fields
from weft.core.records import RunWithBlocks
from weft.core.states import RunStatus
from weft.services import pipelines, runs
from weft.services.caller import Right
from weft.services.runs import RunQuery, StartRun

router = APIRouter()

_TAG = "pipeline runs"
_BASIC = "with_basic_details"

EXAMPLE = {
    "backfill_id": None,
    "block_runs": [
        {
            "block_uuid": "load_titanic",
            "completed_at": "2026-11-23 06:40:49.769087+00:00",
            "created_at": "2026-11-23 06:40:49.575738+00:00",
            "id": 33,
            "metrics": {},
            "pipeline_run_id": 23,
            "started_at": "2026-11-23 06:40:49.616197+00:00",
            "status": "completed",
            "updated_at": "2026-11-23 06:40:49.769087+00:00",
        }
    ],
    "block_runs_count": 1,
    "completed_at": "2026-11-23 06:40:49.869956+00:00",
    "created_at": "2026-11-23 06:40:49.575738+00:00",
    "event_variables": None,
    "execution_date": "2026-11-23 06:40:49.560124+00:00",
    "id": 23,
    "metrics": None,
    "passed_sla": False,
    "pipeline_schedule_id": 1,
    "pipeline_schedule_name": "late forest",
    "pipeline_schedule_token": "0123456789abcdef0123456789abcdef",
    "pipeline_schedule_type": "time",
    "pipeline_uuid": "example_pipeline",
    "status": "completed",
    "updated_at": "2026-11-23 06:40:49.869956+00:00",
    "variables": None,
    "executor_type": "local_python",
    "started_at": "2026-11-23 06:40:49.600000+00:00",
    "completed_block_runs_count": 1,
    "pipeline_tags": None,
    "pipeline_type": None,
    "repo_path": "/home/ada/titanic",
}

_FILTERS = (
    ("backfill_id", "number", "Only runs of this backfill."),
    ("pipeline_uuid", "text", "Only runs of this pipeline; `pipeline_uuid[]` takes a list."),
    ("status", "text", "A status or `last_run_failed`; `status[]` takes a list."),
    ("pipeline_tag[]", "text", "Only runs of pipelines with any of these tags."),
    ("pipeline_type", "text", "Only runs of pipelines of this type; fills `pipeline_type`."),
    ("start_timestamp", "seconds", "Created at or after, in seconds since 1970."),
    ("end_timestamp", "seconds", "Created at or before, in seconds since 1970."),
    ("global_data_product_uuid", "text", "Only runs of this global data product."),
    ("order_by[]", "text", "`column` or `column desc`, by comma."),
    ("include_pipeline_type", "flag", "Fill `pipeline_type`."),
    ("include_pipeline_tags", "flag", "Fill `pipeline_tags`."),
    ("include_pipeline_uuids", "flag", "Add every pipeline's name to the metadata."),
    ("include_all_pipeline_schedules", "flag", "Also runs made by the command line."),
    ("disable_retries_grouping", "flag", "Do not pull in other runs of an execution date."),
    *PAGING,
    *FORMAT,
)
_LIST = {"pipeline_runs": [EXAMPLE], "metadata": {"count": 1, "next": False}}


_FROM_PATH = ("pipeline_schedule_id", "pipeline_uuid")
"""Attributes of a new run that clients send and that its trigger decides."""


class _Events(TypedDict, total=False):
    event_variables: dict[str, Any] | None


class _Change(TypedDict, total=False):
    status: str
    pipeline_run_action: str


@router.get(
    "/api/pipeline_runs",
    **offer(Right.READ, "List pipeline runs", tag=_TAG, example=_LIST, query=_FILTERS),
)
def list_runs(request: Request) -> Response:
    """Answer a page of runs, the newest execution date first."""
    return _list(request, None)


@router.get(
    "/api/pipeline_schedules/{schedule_id}/pipeline_runs",
    **offer(Right.READ, "List a trigger's runs", tag=_TAG, example=_LIST, query=_FILTERS),
)
def list_runs_of_schedule(request: Request, schedule_id: str) -> Response:
    """Answer a page of one trigger's runs."""
    return _list(request, number(schedule_id, ScheduleId, "trigger"))


@router.post(
    "/api/pipeline_schedules/{schedule_id}/pipeline_runs",
    **offer(
        Right.RUN,
        "Start a run of a trigger of any type",
        tag=_TAG,
        example={"pipeline_run": {"id": 24, "status": "initial"}, "metadata": None},
        body={"pipeline_run": {"variables": {"env": "staging"}}},
        headers=(("Idempotency-Key", "text", "Sent again, it answers with the same run."),),
    ),
)
def create_run(request: Request, schedule_id: str) -> Response:
    """Make a run; an engine takes it up."""
    schedule = number(schedule_id, ScheduleId, "trigger")
    given = wrapped(request, "pipeline_run", optional=True)
    fields = run_fields(given, ignored=("event_variables", *_FROM_PATH))
    asked = StartRun(
        variables=fields.variables,
        event_variables=convert(given, _Events, "pipeline_run").get("event_variables"),
        execution_date=fields.execution_date,
        backfill_id=fields.backfill_id,
        idempotency_key=request.headers.get("idempotency-key"),
    )
    begun = runs.start_run(context_of(request), caller_of(request), schedule, asked)
    headers = {"Idempotency-Replayed": "true"} if begun.replayed else None
    return one("pipeline_run", base(begun.stored.run), headers=headers)


@router.get(
    "/api/pipeline_runs/{run_id}",
    **offer(
        Right.READ,
        "Show a pipeline run",
        tag=_TAG,
        example={"pipeline_run": EXAMPLE, "metadata": None},
        query=FORMAT,
    ),
)
def get_run(request: Request, run_id: str) -> Response:
    """Answer the pipeline run object."""
    stored = runs.get_run(context_of(request), caller_of(request), _id(run_id))
    return one("pipeline_run", _formatted(request, stored, "detail"))


@router.put(
    "/api/pipeline_runs/{run_id}",
    **offer(
        Right.RUN,
        "Cancel a pipeline run",
        tag=_TAG,
        example={"pipeline_run": {"id": 23, "status": "cancelled"}, "metadata": None},
        body={"pipeline_run": {"status": "cancelled"}},
    ),
)
def update_run(request: Request, run_id: str) -> Response:
    """Cancel the run and wait a while for its end; other statuses change nothing."""
    given = convert(wrapped(request, "pipeline_run"), _Change, "pipeline_run")
    action = given.get("pipeline_run_action")
    if action is not None:
        raise Invalid(
            f"pipeline_run.pipeline_run_action: {action!r} is not offered yet",
            hint="Start a new run of the trigger instead.",
        )
    context, caller = context_of(request), caller_of(request)
    if given.get("status") == RunStatus.CANCELLED:
        stored = runs.cancel_run(context, caller, _id(run_id))
    else:
        stored = runs.keep_run(context, caller, _id(run_id))
    return one("pipeline_run", base(stored.run))


@router.delete(
    "/api/pipeline_runs/{run_id}",
    **offer(
        Right.RUN,
        "Delete a pipeline run",
        tag=_TAG,
        example={"pipeline_run": {"id": 23, "status": "completed"}, "metadata": None},
    ),
)
def delete_run(request: Request, run_id: str) -> Response:
    """Remove the run with its block runs and logs; an open one is cancelled first."""
    stored = runs.delete_run(context_of(request), caller_of(request), _id(run_id))
    return one("pipeline_run", base(stored.run))


def _list(request: Request, schedule_id: ScheduleId | None) -> Response:
    context, caller, query = context_of(request), caller_of(request), Query(request)
    kind = query.flag("include_pipeline_type") or query.text("pipeline_type") is not None
    tags = query.flag("include_pipeline_tags")
    page = runs.list_runs(context, caller, _wanted(query, schedule_id), with_specs=kind or tags)
    metadata: dict[str, Json] = {"count": page.total, "next": page.next}
    if query.flag("include_pipeline_uuids"):
        metadata["pipeline_uuids"] = list(pipelines.names(context, caller))
    items = [_formatted(request, stored, "list") for stored in page.items]
    if (kind or tags) and query.text("_format") in {None, "list", "detail"}:
        for item in items:
            with_pipeline(item, page.specs.get(item["pipeline_uuid"]), tags=tags, kind=kind)
    return many("pipeline_runs", items, metadata)


def _wanted(query: Query, schedule_id: ScheduleId | None) -> RunQuery:
    chosen = query.many("pipeline_uuid")
    return RunQuery(
        pipelines=chosen,
        schedule_id=schedule_id,
        backfill_id=query.whole("backfill_id"),
        statuses=query.many("status"),
        tags=query.many("pipeline_tag"),
        pipeline_type=query.text("pipeline_type"),
        global_data_product=query.text("global_data_product_uuid"),
        created_from=query.moment("start_timestamp"),
        created_to=query.moment("end_timestamp"),
        order_by=query.order("order_by"),
        group_retries=(query.text("pipeline_uuid") is not None or schedule_id is not None)
        and not query.flag("disable_retries_grouping"),
        with_hidden=query.flag("include_all_pipeline_schedules"),
        limit=query.size("_limit", 40),
        offset=query.size("_offset", 0),
    )


def _formatted(request: Request, stored: RunWithBlocks, usual: str) -> dict[str, Json]:
    match request.query_params.get("_format") or usual:
        case "list":
            return whole(stored, repo_path=context_of(request).project.path)
        case "detail":
            return whole(stored, repo_path=context_of(request).project.path, detail=True)
        case format_ if format_ == _BASIC:
            return basic(stored.run)
        case _:
            return base(stored.run)


def _id(text: str) -> RunId:
    return number(text, RunId, "pipeline run")
