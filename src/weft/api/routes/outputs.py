"""GET /api/block_runs/:id/outputs: what a block run left behind."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from weft.api.answer import many
from weft.api.declare import offer
from weft.api.deps import caller_of, context_of, name, number
from weft.api.query import Query
from weft.api.shapes.outputs import from_preview
from weft.core.ids import BlockRunId, BlockUuid, PipelineUuid
from weft.services import outputs
from weft.services.caller import Right
from weft.services.outputs import SAMPLE_ROWS, Seen

router = APIRouter()

_TAG = "outputs"
_ROWS = ("sample_count", "number", f"Rows of each table ({SAMPLE_ROWS}).")
_EXAMPLE = {
    "outputs": [
        {
            "outputs": None,
            "sample_data": {"columns": ["a", "b"], "rows": [[1, 2], [3, 4]]},
            "shape": [2, 2],
            "text_data": None,
            "type": "table",
            "variable_uuid": "output_0",
        }
    ],
    "metadata": {},
}


@router.get(
    "/api/block_runs/{block_run_id}/outputs",
    **offer(
        Right.READ, "Look at a block run's outputs", tag=_TAG, example=_EXAMPLE, query=(_ROWS,)
    ),
)
def list_outputs(request: Request, block_run_id: str) -> Response:
    """Answer the first rows of each output, without reading the rest."""
    seen = outputs.of_block_run(
        context_of(request),
        caller_of(request),
        number(block_run_id, BlockRunId, "block run"),
        rows=Query(request).size("sample_count", SAMPLE_ROWS),
    )
    return _answer(seen)


@router.get(
    "/api/pipelines/{pipeline_uuid}/block_outputs/{block_uuid:path}",
    **offer(
        Right.READ,
        "Look at a block's newest outputs",
        tag=_TAG,
        example=_EXAMPLE,
        query=(_ROWS, ("partition", "text", "Of this execution partition; else of any.")),
    ),
)
def list_newest_outputs(request: Request, pipeline_uuid: str, block_uuid: str) -> Response:
    """Answer what a block left behind last, whichever run it was."""
    query = Query(request)
    seen = outputs.of_block(
        context_of(request),
        caller_of(request),
        PipelineUuid(name(pipeline_uuid)),
        BlockUuid(name(block_uuid)),
        partition=query.text("partition"),
        rows=query.size("sample_count", SAMPLE_ROWS),
    )
    return _answer(seen)


def _answer(seen: tuple[Seen, ...]) -> Response:
    items = [from_preview(one.artifact.output, one.preview, one.gone) for one in seen]
    return many("outputs", items)
