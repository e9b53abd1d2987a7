"""Block runs: of one run, or of all."""

from __future__ import annotations

from dataclasses import dataclass

from weft.core.errors import Invalid, NotFound
from weft.core.ids import BlockRunId, RunId
from weft.core.records import PipelineRun, RunWithBlocks, StoredBlockRun
from weft.ports.runs import RunFilter
from weft.ports.unit import Unit
from weft.services.caller import Caller, Right, require
from weft.services.context import Context
from weft.services.runs import run_here

SORTABLE = (
    "block_uuid",
    "completed_at",
    "created_at",
    "id",
    "pipeline_run_id",
    "started_at",
    "status",
    "updated_at",
)

RUNS_LOOKED_AT = 500
"""Without a run to look at, the list covers the block runs of this many newest runs."""

_DEFAULT_ORDER = (("started_at", True), ("created_at", True), ("completed_at", True))


@dataclass(frozen=True, slots=True)
class BlockRunOfRun:
    """A block run together with the run that it belongs to."""

    run: PipelineRun
    block: StoredBlockRun


@dataclass(frozen=True, slots=True)
class BlockRunPage:
    """One page of block runs."""

    items: tuple[BlockRunOfRun, ...]
    total: int
    next: bool


def of_run(
    context: Context, caller: Caller, run_id: RunId, *, limit: int, offset: int
) -> BlockRunPage:
    """Return the block runs of one run in the author's order. Raises `NotFound`."""
    require(caller, Right.READ)
    with context.store.read() as unit:
        stored = run_here(context, unit, run_id)
    return _page([_pair(stored, block) for block in stored.blocks], limit=limit, offset=offset)


def find(
    context: Context,
    caller: Caller,
    *,
    run_id: RunId | None = None,
    pipeline_uuid: str | None = None,
    order_by: tuple[str, bool] | None = None,
    limit: int,
    offset: int,
) -> BlockRunPage:
    """Return block runs of the newest runs, the last started first unless told otherwise."""
    require(caller, Right.READ)
    if order_by is not None and order_by[0] not in SORTABLE:
        raise Invalid(
            f"block runs cannot be ordered by {order_by[0]!r}",
            hint=f"Use one of {list(SORTABLE)}.",
        )
    with context.store.read() as unit:
        if run_id is not None:
            chosen: tuple[RunWithBlocks, ...] = (run_here(context, unit, run_id),)
            if pipeline_uuid not in {None, chosen[0].run.pipeline_uuid}:
                chosen = ()
        else:
            chosen = _newest_runs(context, unit, pipeline_uuid)
    pairs = [_pair(stored, block) for stored in chosen for block in stored.blocks]
    pairs.sort(key=lambda pair: pair.block.id, reverse=True)
    for column, descending in reversed((order_by,) if order_by else _DEFAULT_ORDER):
        _sort(pairs, column, descending=descending)
    return _page(pairs, limit=limit, offset=offset)


def get(context: Context, caller: Caller, block_run_id: BlockRunId) -> BlockRunOfRun:
    """Return one block run. Raises `NotFound`."""
    require(caller, Right.READ)
    with context.store.read() as unit:
        return block_run_here(context, unit, block_run_id)


def block_run_here(context: Context, unit: Unit, block_run_id: BlockRunId) -> BlockRunOfRun:
    """Return a block run, unless it belongs to another project of the same database."""
    run, _ = unit.runs.block_run(block_run_id)
    if run.project_id != context.project.id:
        raise NotFound(
            f"there is no block run {block_run_id}",
            hint="A pipeline run names its block runs: GET /api/pipeline_runs/<id>.",
        )
    stored = unit.runs.get(run.id)
    block = next(block for block in stored.blocks if block.id == block_run_id)
    return BlockRunOfRun(stored.run, block)


def _newest_runs(
    context: Context, unit: Unit, pipeline_uuid: str | None
) -> tuple[RunWithBlocks, ...]:
    wanted = RunFilter(
        context.project.id,
        pipeline_uuids=None if pipeline_uuid is None else (pipeline_uuid,),
        order_by=(("id", True),),
        limit=RUNS_LOOKED_AT,
    )
    return unit.runs.find(wanted).items


def _pair(stored: RunWithBlocks, block: StoredBlockRun) -> BlockRunOfRun:
    return BlockRunOfRun(stored.run, block)


def _sort(pairs: list[BlockRunOfRun], column: str, *, descending: bool) -> None:
    attribute = "run_id" if column == "pipeline_run_id" else column
    with_value = [p for p in pairs if getattr(p.block, attribute) is not None]
    without = [p for p in pairs if getattr(p.block, attribute) is None]
    with_value.sort(key=lambda pair: getattr(pair.block, attribute), reverse=descending)
    pairs[:] = [*with_value, *without]


def _page(pairs: list[BlockRunOfRun], *, limit: int, offset: int) -> BlockRunPage:
    end = offset + limit
    return BlockRunPage(tuple(pairs[offset:end]), len(pairs), limit > 0 and end < len(pairs))
