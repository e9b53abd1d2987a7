"""The block object: as its entry in the pipeline says, with what was asked for."""

from __future__ import annotations

from collections.abc import Mapping

from weft.core.json import Json, JsonMap
from weft.core.spec import BlockSpec, PipelineSpec

_NOT_EXECUTED = "not_executed"


def base(spec: PipelineSpec, block: BlockSpec) -> dict[str, Json]:
    """Return the keys that every block has."""
    entry = block.entry
    downstream = [other.uuid for other in spec.blocks if block.uuid in other.upstream]
    return {
        "all_upstream_blocks_executed": _upstream_executed(spec, block),
        "color": entry.get("color"),
        "configuration": dict(block.configuration),
        "downstream_blocks": downstream,
        "executor_config": entry.get("executor_config"),
        "executor_type": block.executor_type,
        "has_callback": entry.get("has_callback"),
        "name": block.name or block.uuid,
        "language": block.language,
        "retry_config": entry.get("retry_config"),
        "status": entry.get("status", _NOT_EXECUTED),
        "timeout": block.timeout,
        "type": block.type,
        "upstream_blocks": list(block.upstream),
        "uuid": block.uuid,
    }


def outside_graph(entry: JsonMap) -> dict[str, Json]:
    """Return a callback, conditional or widget: entries that are no part of the graph."""
    return {
        "all_upstream_blocks_executed": True,
        "color": entry.get("color"),
        "configuration": entry.get("configuration") or {},
        "downstream_blocks": list(entry.get("downstream_blocks") or ()),
        "executor_config": entry.get("executor_config"),
        "executor_type": entry.get("executor_type") or "local_python",
        "has_callback": entry.get("has_callback"),
        "name": entry.get("name") or entry.get("uuid"),
        "language": entry.get("language") or "python",
        "retry_config": entry.get("retry_config"),
        "status": entry.get("status", _NOT_EXECUTED),
        "timeout": entry.get("timeout"),
        "type": entry.get("type"),
        "upstream_blocks": list(entry.get("upstream_blocks") or ()),
        "uuid": entry.get("uuid"),
    }


def within_pipeline(
    spec: PipelineSpec,
    block: BlockSpec,
    *,
    code: Mapping[str, str] | None,
    outputs: list[dict[str, Json]] | None,
    metadata: bool,
) -> dict[str, Json]:
    """Return a block as a pipeline's detail holds it; None leaves a key out."""
    entry = block.entry
    item = {
        **base(spec, block),
        "callback_blocks": list(entry.get("callback_blocks") or ()),
        "conditional_blocks": list(entry.get("conditional_blocks") or ()),
    }
    if code is not None:
        content = code.get(block.code_hash)
        item["content"] = content
        if content is None:
            item["error"] = missing(block)
    if outputs is not None:
        item["outputs"] = outputs
    if metadata:
        item["metadata"] = entry.get("metadata") or {}
    item["tags"] = list(entry.get("tags") or ())
    return item


def detail(
    spec: PipelineSpec,
    block: BlockSpec,
    *,
    content: str | None,
    outputs: list[dict[str, Json]] | None,
) -> dict[str, Json]:
    """Return a block with its code, and with its outputs unless they are None."""
    item = {**base(spec, block), "content": content}
    if outputs is not None:
        item["outputs"] = outputs
    if content is None:
        item["error"] = missing(block)
    return item


def missing(block: BlockSpec) -> dict[str, Json]:
    """Return what stands in place of code that is not there."""
    return {
        "error": "No such file or directory",
        "message": f"The code of block {block.uuid!r} is missing: {block.path or 'no path'}.",
    }


def _upstream_executed(spec: PipelineSpec, block: BlockSpec) -> bool:
    parents = [spec.block(uuid) for uuid in block.upstream]
    return all(parent is None or parent.entry.get("status") == "executed" for parent in parents)
