"""The blocks of a pipeline, of a run, and their code."""

from __future__ import annotations

from typing import TypedDict

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from weft.api.answer import one, paged
from weft.api.body import convert, wrapped
from weft.api.declare import PAGING, offer
from weft.api.deps import caller_of, context_of, name, number
from weft.api.query import Query
from weft.api.shapes import blocks as shapes
from weft.api.shapes.outputs import from_sample
from weft.core.errors import Invalid
from weft.core.ids import BlockUuid, PipelineUuid, RunId
from weft.core.json import Json
from weft.services import blocks
from weft.services.blocks import BlockView
from weft.services.caller import Right

router = APIRouter()

_TAG = "blocks"
_ROWS = 10
_ITEM = {
    "downstream_blocks": ["fill_in_missing_values"],
    "language": "python",
    "name": "load_titanic",
    "type": "data_loader",
    "upstream_blocks": [],
    "uuid": "load_titanic",
}
_LIST = {"blocks": [_ITEM], "metadata": {"count": 1, "next": False}}
_ONE = {"block": {**_ITEM, "content": "@data_loader\ndef load(): ..."}, "metadata": None}


class _Change(TypedDict, total=False):
    content: str


@router.get(
    "/api/pipelines/{pipeline_uuid}/blocks",
    **offer(
        Right.READ,
        "List a pipeline's blocks",
        tag=_TAG,
        example=_LIST,
        query=(("block_uuid[]", "text", "Only these, by comma."), *PAGING),
    ),
)
def list_blocks(request: Request, pipeline_uuid: str) -> Response:
    """Answer the blocks in the author's order."""
    query = Query(request)
    page = blocks.list_blocks(
        context_of(request),
        caller_of(request),
        PipelineUuid(name(pipeline_uuid)),
        only=query.many("block_uuid"),
        limit=query.size("_limit", 0),
        offset=query.size("_offset", 0),
    )
    items = [shapes.base(page.spec, block) for block in page.items]
    return paged("blocks", items, total=page.total, more=page.next)


@router.get(
    "/api/pipeline_runs/{run_id}/blocks",
    **offer(Right.READ, "List the blocks of a run", tag=_TAG, example=_LIST, query=PAGING),
)
def list_blocks_of_run(request: Request, run_id: str) -> Response:
    """Answer the blocks of the version that the run pinned."""
    query = Query(request)
    page = blocks.of_run(
        context_of(request),
        caller_of(request),
        number(run_id, RunId, "pipeline run"),
        limit=query.size("_limit", 0),
        offset=query.size("_offset", 0),
    )
    items: list[Json] = [
        {**shapes.base(page.spec, block), "tags": list(block.entry.get("tags") or ())}
        for block in page.items
    ]
    return paged("blocks", items, total=page.total, more=page.next)


@router.get(
    "/api/pipelines/{pipeline_uuid}/blocks/{block_uuid:path}",
    **offer(
        Right.READ,
        "Show a block with its code",
        tag=_TAG,
        example=_ONE,
        query=(("include_outputs", "flag", "Rows of its newest outputs (true)."),),
    ),
)
def get_block(request: Request, pipeline_uuid: str, block_uuid: str) -> Response:
    """Answer a block; the header ETag names the state of its file."""
    outputs = Query(request).flag("include_outputs", default=True)
    view = blocks.get_block(
        context_of(request),
        caller_of(request),
        PipelineUuid(name(pipeline_uuid)),
        BlockUuid(name(block_uuid)),
        with_outputs=outputs,
    )
    return _answer(view, with_outputs=outputs)


@router.put(
    "/api/pipelines/{pipeline_uuid}/blocks/{block_uuid:path}",
    **offer(
        Right.EDIT,
        "Replace a block's code",
        tag=_TAG,
        example=_ONE,
        body={"block": {"content": "@data_loader\ndef load(): ..."}},
        headers=(("If-Match", "text", "The ETag that was read: a newer file is kept (409)."),),
    ),
)
def update_block(request: Request, pipeline_uuid: str, block_uuid: str) -> Response:
    """Write `content` to the block's file; nothing else can be changed yet."""
    given = wrapped(request, "block")
    change = convert(given, _Change, "block")
    if "content" not in change:
        raise Invalid("block.content: missing", hint="Only the content can be changed here yet.")
    match = request.headers.get("if-match")
    view = blocks.write_content(
        context_of(request),
        caller_of(request),
        PipelineUuid(name(pipeline_uuid)),
        BlockUuid(name(block_uuid)),
        change["content"],
        etag=None if match in {None, "*"} else match.removeprefix("W/").strip('"'),
    )
    return _answer(view, with_outputs=False)


def _answer(view: BlockView, *, with_outputs: bool) -> Response:
    rows = [from_sample(artifact.output, _ROWS) for artifact in view.outputs]
    item = shapes.detail(
        view.spec,
        view.block,
        content=view.content,
        outputs=rows if with_outputs else None,
    )
    headers = {} if view.etag is None else {"ETag": f'"{view.etag}"'}
    return one("block", item, headers=headers)
