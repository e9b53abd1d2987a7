"""The text of a pipeline's `metadata.yaml` to a checked spec, without its code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from weft.core.errors import BrokenPipeline
from weft.core.graph import Graph
from weft.core.ids import BlockUuid, PipelineUuid
from weft.core.retry import RetryPolicy
from weft.core.spec import BlockSpec, Limits, PipelineSpec
from weft.project.document import Source
from weft.project.section import Section

PIPELINE_TYPES = frozenset(
    {"python", "pyspark", "streaming", "integration", "databricks", "execution_framework"}
)
BLOCK_TYPES = frozenset(
    {
        "callback", "chart", "conditional", "custom", "data_exporter", "data_loader", "dbt",
        "dynamic_child", "extension", "global_data_product", "group", "hook", "markdown",
        "pipeline", "scratchpad", "sensor", "transformer",
    }
)  # fmt: skip
EXTENSIONS: Mapping[str, str] = {
    "python": ".py",
    "sql": ".sql",
    "r": ".r",
    "yaml": ".yaml",
    "markdown": ".md",
}
"""Suffix of a block's file by its language."""

_ATTACHED = ("conditionals", "callbacks", "widgets")
_RETRY_KEYS = ("retries", "delay", "max_delay", "exponential_backoff")
_LIMIT_KEYS = (
    "block_run_limit",
    "pipeline_run_limit",
    "pipeline_run_limit_all_triggers",
    "on_pipeline_run_limit_reached",
)
MAX_NAME = 200
"""Longest name of a pipeline, or of a part of a block's uuid, in bytes."""


@dataclass(frozen=True, slots=True)
class BlockCode:
    """Where the text of a block is: inline, in a file, or nowhere. `path` is as written."""

    language: str
    inline: str | None = None
    path: str | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """A spec whose blocks have no code yet, and where each block's code is."""

    spec: PipelineSpec
    code: Mapping[BlockUuid, BlockCode]


def read_pipeline(source: Source, uuid: PipelineUuid, *, retry: RetryPolicy) -> Draft:
    """Return the pipeline that a text declares; `retry` is the project's policy.

    Raises `BrokenPipeline` with line and column. What is odd but harmless becomes a
    note of `source`.
    """
    document = source.parse()
    if document is None:
        raise source.fault("the file is empty", hint="Restore it, or remove the folder.")
    if not isinstance(document, dict):
        raise source.fault(
            "the file must hold a mapping", hint="Its keys are `type`, `blocks` and so on."
        )
    top = Section(source, document)
    entries = top.sections("blocks")
    _refuse_duplicates([*entries, *(e for key in _ATTACHED for e in top.sections(key))])
    top.section("extensions")
    executor = top.text("executor_type")
    retry = merged_retry(retry, top.section("retry_config"))
    known = frozenset(entry.data["uuid"] for entry in entries)
    blocks = tuple(_block(entry, known, retry=retry, executor=executor) for entry in entries)
    _refuse_cycles(entries, blocks)
    spec = PipelineSpec(
        uuid=uuid,
        name=top.label("name") or uuid,
        type=top.choice("type", PIPELINE_TYPES) or "python",
        description=top.label("description"),
        tags=top.labels("tags"),
        blocks=blocks,
        variables=top.section("variables").data,
        limits=_limits(top.section("concurrency_config")),
        executor_type=executor,
        config={key: value for key, value in document.items() if key != "blocks"},
    )
    return Draft(spec, _code(entries, spec))


def merged_retry(base: RetryPolicy, section: Section) -> RetryPolicy:
    """Return `base` with the keys that a `retry_config` gives."""
    section.unknown(_RETRY_KEYS)
    retries, delay = section.count("retries"), section.seconds("delay")
    longest, exponential = section.seconds("max_delay"), section.flag("exponential_backoff")
    return RetryPolicy(
        retries=base.retries if retries is None else retries,
        delay=base.delay if delay is None else delay,
        max_delay=base.max_delay if longest is None else longest,
        exponential_backoff=base.exponential_backoff if exponential is None else exponential,
    )


def _block(
    entry: Section, known: frozenset[str], *, retry: RetryPolicy, executor: str | None
) -> BlockSpec:
    uuid = BlockUuid(entry.data["uuid"])
    own = entry.text("executor_type")
    return BlockSpec(
        uuid=uuid,
        type=entry.data["type"],
        name=entry.label("name") or uuid,
        language=entry.choice("language", EXTENSIONS.keys()) or "python",
        upstream=_upstream(entry, known),
        configuration=entry.section("configuration").data,
        retry=merged_retry(retry, entry.section("retry_config")),
        timeout=entry.seconds("timeout") or None,
        executor_type=own if own and own != "local_python" else executor or "local_python",
        executor_config=entry.section("executor_config").data,
        entry=entry.data,
    )


def _upstream(entry: Section, known: frozenset[str]) -> tuple[BlockUuid, ...]:
    upstream: list[BlockUuid] = []
    for place, name in enumerate(entry.names("upstream_blocks")):
        if name in known:
            upstream.append(BlockUuid(name))
        else:
            entry.note(f"unknown upstream block {name!r} is ignored", "upstream_blocks", place)
    return tuple(upstream)


def _limits(section: Section) -> Limits:
    section.unknown(_LIMIT_KEYS)
    reached = section.choice("on_pipeline_run_limit_reached", ("wait", "skip"))
    return Limits(
        block_run_limit=section.count("block_run_limit"),
        pipeline_run_limit=section.count("pipeline_run_limit"),
        pipeline_run_limit_all_triggers=section.count("pipeline_run_limit_all_triggers"),
        on_pipeline_run_limit_reached=reached or "wait",
    )


def _refuse_duplicates(entries: Iterable[Section]) -> None:
    first: dict[str, Section] = {}
    for entry in entries:
        uuid = entry.text("uuid")
        if not uuid:
            raise entry.fault("a block needs a uuid", "uuid", hint="Give it its file's name.")
        if why := _unfit(uuid):
            raise entry.fault(f"the uuid {uuid[:60]!r} {why}", "uuid", hint="Rename the block.")
        if entry.choice("type", BLOCK_TYPES) is None:
            raise entry.fault(
                f"block {uuid!r} needs a type", hint="Add for example `type: transformer`."
            )
        if uuid in first:
            other = first[uuid].source.where((*first[uuid].keys, "uuid")).line
            raise entry.fault(
                f"two blocks are named {uuid!r}; the other is in line {other}",
                "uuid",
                hint="Rename one of them.",
            )
        first[uuid] = entry


def _unfit(uuid: str) -> str | None:
    """Say why a uuid cannot name files and folders, or None."""
    if not uuid.isprintable():
        return "holds characters that cannot be printed"
    if any(part in {"", ".", ".."} for part in uuid.split("/")):
        return "must be a path without empty parts, `.` and `..`"
    if any(len(part.encode()) > MAX_NAME for part in uuid.split("/")):
        return f"is longer than {MAX_NAME} bytes"
    return None


def _refuse_cycles(entries: Sequence[Section], blocks: Sequence[BlockSpec]) -> None:
    try:
        Graph.of((block.uuid, block.upstream) for block in blocks)
    except BrokenPipeline as error:
        upstream = {block.uuid: block.upstream for block in blocks}
        for entry, block in zip(entries, blocks, strict=True):
            if _reaches_itself(block.uuid, upstream):
                raise entry.fault(error.message, "upstream_blocks", hint=error.hint) from None
        raise


def _reaches_itself(block: BlockUuid, upstream: Mapping[BlockUuid, Sequence[BlockUuid]]) -> bool:
    seen: set[BlockUuid] = set()
    todo = list(upstream[block])
    while todo:
        other = todo.pop()
        if other == block:
            return True
        if other not in seen:
            seen.add(other)
            todo.extend(upstream[other])
    return False


def _code(entries: Sequence[Section], spec: PipelineSpec) -> Mapping[BlockUuid, BlockCode]:
    sections = {block.uuid: entry for entry, block in zip(entries, spec.blocks, strict=True)}
    blocks = {block.uuid: block for block in spec.blocks}
    code: dict[BlockUuid, BlockCode] = {}
    for block in spec.blocks:
        original = _original(block, blocks, sections)
        code[block.uuid] = (
            _code_of(original, sections[original.uuid]) if original else BlockCode(block.language)
        )
    return code


def _original(
    block: BlockSpec,
    blocks: Mapping[BlockUuid, BlockSpec],
    sections: Mapping[BlockUuid, Section],
) -> BlockSpec | None:
    """Follow `replicated_block` to the block whose file it shares."""
    seen = {block.uuid}
    while name := sections[block.uuid].text("replicated_block"):
        found = blocks.get(BlockUuid(name))
        if found is None or found.uuid in seen:
            sections[block.uuid].note(
                f"block {block.uuid!r} replicates {name!r}, which has no code of its own here",
                "replicated_block",
            )
            return None
        seen.add(found.uuid)
        block = found
    return block


def _code_of(block: BlockSpec, entry: Section) -> BlockCode:
    if inline := entry.text("content"):
        return BlockCode(block.language, inline=inline)
    if block.type == "global_data_product":
        return BlockCode(block.language)
    configuration = entry.section("configuration")
    path = configuration.section("file_source").text("path") or configuration.text("file_path")
    return BlockCode(block.language, path=path or block_path(block))


def block_path(block: BlockSpec) -> str:
    """Return where a block's file is by the folder rule, relative to the project."""
    folder = block.type if block.type == "custom" else f"{block.type}s"
    return f"{folder}/{block.uuid}{EXTENSIONS[block.language]}"
