"""/api/pipelines: what the files say."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from weft.api.answer import many, one
from weft.api.declare import PAGING, offer
from weft.api.deps import caller_of, context_of, name
from weft.api.query import Query
from weft.api.shapes import pipelines as shapes
from weft.core.ids import PipelineUuid
from weft.core.json import Json
from weft.core.spec import LoadedPipeline
from weft.services import pipelines
from weft.services.caller import Right
from weft.services.pipelines import PipelineQuery

router = APIRouter()

_TAG = "pipelines"
_ITEM: dict[str, Json] = {
    "created_at": "2026-11-23 15:33:56.000000+00:00",
    "description": None,
    "name": "example_pipeline",
    "tags": [],
    "type": "python",
    "uuid": "example_pipeline",
    "blocks": [],
    "updated_at": "2026-11-23 15:33:56.000000+00:00",
}
_LIST = {
    "pipelines": [_ITEM],
    "metadata": {"count": 1, "results": 1, "next": None},
}


@router.get(
    "/api/pipelines",
    **offer(
        Right.READ,
        "List pipelines, the broken ones too",
        tag=_TAG,
        example=_LIST,
        query=(
            ("search", "text", "Part of the name."),
            ("type[]", "text", "Types, by comma; `invalid` for the broken ones."),
            ("tag[]", "text", "Tags, by comma; `no_tags` for those without."),
            ("status[]", "text", "`active`, `inactive`, `no_schedules`, by comma."),
            ("include_schedules", "flag", "Add each pipeline's triggers."),
            ("_order_by[]", "text", "Attribute, or `blocks`, `triggers`, `status`; `-` reverses."),
            *PAGING,
        ),
    ),
)
def list_pipelines(request: Request) -> Response:
    """Answer the pipelines by name, all of them unless `_limit` says otherwise."""
    context, query = context_of(request), Query(request)
    limited = query.text("_limit") is not None
    page = pipelines.list_pipelines(
        context,
        caller_of(request),
        PipelineQuery(
            search=query.text("search"),
            types=query.many("type"),
            tags=query.many("tag"),
            statuses=query.many("status"),
            with_schedules=query.flag("include_schedules"),
            order_by=_order(query),
            limit=query.size("_limit", 0) if limited else None,
            offset=query.size("_offset", 0),
        ),
    )
    items = [shapes.listed(view, context.outputs_dir) for view in page.items]
    metadata = {"count": page.total, "results": len(items), "next": page.next}
    return many("pipelines", items, metadata)


@router.get(
    "/api/pipelines/{pipeline_uuid}",
    **offer(
        Right.READ,
        "Show a pipeline with its blocks",
        tag=_TAG,
        example={"pipeline": _ITEM, "metadata": None},
        query=(
            ("includes_content", "flag", "The code of the blocks (true)."),
            ("includes_outputs", "flag", "Rows of the blocks' newest outputs (true)."),
            ("includes_block_metadata", "flag", "The blocks' metadata (true)."),
            ("includes_extensions", "flag", "Extensions (true)."),
            ("include_schedules", "flag", "The pipeline's triggers (false)."),
            ("max_results_for_block_outputs", "number", "Rows of each output (10)."),
        ),
    ),
)
def get_pipeline(request: Request, pipeline_uuid: str) -> Response:
    """Answer a pipeline; the header ETag names the state of its file."""
    context, query = context_of(request), Query(request)
    outputs = query.flag("includes_outputs", default=True)
    view = pipelines.get_pipeline(
        context,
        caller_of(request),
        PipelineUuid(name(pipeline_uuid)),
        with_outputs=outputs,
        with_schedules=query.flag("include_schedules"),
    )
    loaded = view.found
    assert isinstance(loaded, LoadedPipeline)  # noqa: S101 - the service raises for others
    item = shapes.detail(
        view,
        loaded,
        context.outputs_dir,
        content=query.flag("includes_content", default=True),
        outputs=query.size("max_results_for_block_outputs", 10) if outputs else None,
        metadata=query.flag("includes_block_metadata", default=True),
        extensions=query.flag("includes_extensions", default=True),
    )
    return one("pipeline", item, headers={"ETag": f'"{loaded.etag}"'})


def _order(query: Query) -> tuple[tuple[str, bool], ...]:
    """Read `_order_by[]`: a leading `-` on the first key reverses all of them."""
    keys = query.many("_order_by")
    descending = bool(keys) and keys[0].startswith("-")
    return tuple((key.lstrip("-").replace(" ", "_"), descending) for key in keys)
