"""/api/block_runs, and those of one pipeline run."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from weft.api.answer import one, paged
from weft.api.declare import PAGING, offer
from weft.api.deps import caller_of, context_of, number
from weft.api.query import Query
from weft.api.shapes.block_runs import embedded_with_trigger, listed
from weft.core.errors import Malformed
from weft.core.ids import BlockRunId, RunId
from weft.services import block_runs
from weft.services.block_runs import BlockRunPage
from weft.services.caller import Right

router = APIRouter()

_TAG = "block runs"
_ITEM = {
    "block_uuid": "load_titanic",
    "completed_at": "2026-11-23 06:40:49.769087+00:00",
    "created_at": "2026-11-23 06:40:49.575738+00:00",
    "id": 33,
    "pipeline_run_id": 23,
    "started_at": "2026-11-23 06:40:49.616197+00:00",
    "status": "completed",
    "updated_at": "2026-11-23 06:40:49.769087+00:00",
    "pipeline_schedule_id": 1,
    "pipeline_schedule_name": "late forest",
}
_LIST = {"block_runs": [_ITEM], "metadata": {"count": 1, "next": False}}


@router.get(
    "/api/pipeline_runs/{run_id}/block_runs",
    **offer(Right.READ, "List a run's block runs", tag=_TAG, example=_LIST, query=PAGING),
)
def list_of_run(request: Request, run_id: str) -> Response:
    """Answer the block runs of one run in the author's order."""
    query = Query(request)
    page = block_runs.of_run(
        context_of(request),
        caller_of(request),
        number(run_id, RunId, "pipeline run"),
        limit=query.size("_limit", 40),
        offset=query.size("_offset", 0),
    )
    return _answer(page)


@router.get(
    "/api/block_runs",
    **offer(
        Right.READ,
        f"List block runs of the newest {block_runs.RUNS_LOOKED_AT} runs, or of one",
        tag=_TAG,
        example=_LIST,
        query=(
            ("pipeline_run_id", "number", "Only those of this run."),
            ("pipeline_uuid", "text", "Only those of this pipeline."),
            ("order_by", "text", "`column` or `column desc`."),
            *PAGING,
        ),
    ),
)
def list_all(request: Request) -> Response:
    """Answer block runs, the last started first."""
    query = Query(request)
    run_id = query.whole("pipeline_run_id")
    orders = query.order("order_by")
    if len(orders) > 1:
        raise Malformed("Value is invalid for order_by.", hint="Name one column.")
    page = block_runs.find(
        context_of(request),
        caller_of(request),
        run_id=None if run_id is None else RunId(run_id),
        pipeline_uuid=query.text("pipeline_uuid"),
        order_by=orders[0] if orders else None,
        limit=query.size("_limit", 40),
        offset=query.size("_offset", 0),
    )
    return _answer(page)


@router.get(
    "/api/block_runs/{block_run_id}",
    **offer(
        Right.READ,
        "Show a block run",
        tag=_TAG,
        example={"block_run": {**_ITEM, "metrics": {}}, "metadata": None},
    ),
)
def get_block_run(request: Request, block_run_id: str) -> Response:
    """Answer one block run with its metrics; the error of a failed one is in them."""
    pair = block_runs.get(
        context_of(request),
        caller_of(request),
        number(block_run_id, BlockRunId, "block run"),
    )
    return one("block_run", embedded_with_trigger(pair.run, pair.block))


def _answer(page: BlockRunPage) -> Response:
    items = [listed(pair.run, pair.block) for pair in page.items]
    return paged("block_runs", items, total=page.total, more=page.next)
