"""Blocks of a pipeline, and their code."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from weft.core.errors import Conflict, NotFound
from weft.core.ids import BlockUuid, PipelineUuid, RunId
from weft.core.records import Artifact
from weft.core.spec import BlockSpec, LoadedPipeline, PipelineSpec
from weft.services.caller import Caller, Right, require
from weft.services.context import Context
from weft.services.runs import run_here


@dataclass(frozen=True, slots=True)
class BlockView:
    """A block within its pipeline; `content` and `etag` are None when its file is missing."""

    spec: PipelineSpec
    block: BlockSpec
    content: str | None = None
    etag: str | None = None
    outputs: tuple[Artifact, ...] = ()


@dataclass(frozen=True, slots=True)
class BlockPage:
    """One page of a pipeline's blocks."""

    spec: PipelineSpec
    items: tuple[BlockSpec, ...]
    total: int
    next: bool


def list_blocks(
    context: Context,
    caller: Caller,
    pipeline_uuid: PipelineUuid,
    *,
    only: Collection[str] = (),
    limit: int = 0,
    offset: int = 0,
) -> BlockPage:
    """Return blocks in the author's order; a limit of 0 means all of them."""
    require(caller, Right.READ)
    spec = context.files.load(pipeline_uuid).spec
    return _page(spec, [b for b in spec.blocks if not only or b.uuid in only], limit, offset)


def of_run(
    context: Context, caller: Caller, run_id: RunId, *, limit: int = 0, offset: int = 0
) -> BlockPage:
    """Return the blocks of the version that a run pinned. Raises `NotFound`."""
    require(caller, Right.READ)
    with context.store.read() as unit:
        spec = unit.catalog.version(run_here(context, unit, run_id).run.version_id).spec
    return _page(spec, list(spec.running_blocks), limit, offset)


def get_block(
    context: Context,
    caller: Caller,
    pipeline_uuid: PipelineUuid,
    block_uuid: BlockUuid,
    *,
    with_outputs: bool = True,
) -> BlockView:
    """Return a block with its code and newest outputs. Raises `NotFound`."""
    require(caller, Right.READ)
    loaded = context.files.load(pipeline_uuid)
    block = _block(loaded, block_uuid)
    outputs: tuple[Artifact, ...] = ()
    if with_outputs:
        with context.store.read() as unit:
            outputs = unit.artifacts.newest(context.project.id, pipeline_uuid, None, block_uuid)
    return _view(loaded, block, outputs)


def write_content(
    context: Context,
    caller: Caller,
    pipeline_uuid: PipelineUuid,
    block_uuid: BlockUuid,
    content: str,
    *,
    etag: str | None,
) -> BlockView:
    """Replace a block's file. Raises `StaleFile` when `etag` is not the file's."""
    require(caller, Right.EDIT)
    block = _block(context.files.load(pipeline_uuid), block_uuid)
    if not block.path:
        raise Conflict(
            f"block {block_uuid!r} has no file of its own",
            hint="Its code stands in the pipeline's metadata.yaml; change it there.",
        )
    context.files.write_block(block.path, content, etag=etag)
    with context.store.write() as unit:
        unit.events.add(
            context.project.id,
            actor=caller.name,
            object_type="project",
            object_id=context.project.id,
            cue="write_block",
            reason=block.path,
        )
    loaded = context.files.load(pipeline_uuid)
    return _view(loaded, _block(loaded, block_uuid), ())


def _view(loaded: LoadedPipeline, block: BlockSpec, outputs: tuple[Artifact, ...]) -> BlockView:
    content = loaded.code.get(block.code_hash) if block.code_hash else None
    return BlockView(loaded.spec, block, content, block.code_hash or None, outputs)


def _block(loaded: LoadedPipeline, block_uuid: BlockUuid) -> BlockSpec:
    block = loaded.spec.block(block_uuid)
    if block is None:
        known = ", ".join(b.uuid for b in loaded.spec.blocks)
        raise NotFound(
            f"pipeline {loaded.spec.uuid!r} has no block {block_uuid!r}",
            hint=f"It has: {known or 'none'}.",
        )
    return block


def _page(spec: PipelineSpec, blocks: list[BlockSpec], limit: int, offset: int) -> BlockPage:
    end = offset + limit if limit > 0 else len(blocks)
    return BlockPage(spec, tuple(blocks[offset:end]), len(blocks), end < len(blocks))
