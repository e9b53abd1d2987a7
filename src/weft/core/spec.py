"""What an author declares: the pipeline as its files say, checked and frozen.

A `PipelineSpec` is what a run pins (see `PipelineVersion`): it holds all that the
engine needs, and for each block the hash of its code, so that a run goes on with
the code it began with whatever happens to the files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from weft.core.errors import Invalid
from weft.core.graph import Graph
from weft.core.ids import BlockUuid, PipelineUuid
from weft.core.json import JsonMap
from weft.core.retry import RetryPolicy

NEVER_RUN = frozenset({"chart", "markdown", "scratchpad"})
"""Block types that have no block run (`mage-semantics` 2.1)."""

UNRUNNABLE = frozenset({"integration", "streaming"})
"""Pipeline types that are read and shown, but whose runs are refused."""

NO_OUTPUT = frozenset({"sensor"})
"""Block types whose return value is not stored; downstream gets an empty list."""


@dataclass(frozen=True, slots=True)
class BlockSpec:
    """One block of a pipeline.

    `code` is the text that runs (from the file, or `content` of the entry) and is
    None when the file is missing; `code_hash` is its SHA-256 in hex. `path` is the
    file's path relative to the project, for tracebacks. `timeout` is in seconds.
    """

    uuid: BlockUuid
    type: str
    name: str = ""
    language: str = "python"
    upstream: tuple[BlockUuid, ...] = ()
    configuration: JsonMap = field(default_factory=dict)
    retry: RetryPolicy = RetryPolicy()
    timeout: float | None = None
    executor_type: str = "local_python"
    executor_config: JsonMap = field(default_factory=dict)
    path: str = ""
    code_hash: str = ""
    entry: JsonMap = field(default_factory=dict)
    """The block's entry in the YAML as it stands, unknown keys included."""

    @property
    def runs(self) -> bool:
        """Whether the block gets a block run."""
        return self.type not in NEVER_RUN


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a pipeline may be live at once (Mage's `concurrency_config`).

    None means unlimited. `block_run_limit` counts per run, `pipeline_run_limit`
    per trigger, `pipeline_run_limit_all_triggers` per pipeline.
    """

    block_run_limit: int | None = None
    pipeline_run_limit: int | None = None
    pipeline_run_limit_all_triggers: int | None = None
    on_pipeline_run_limit_reached: str = "wait"


@dataclass(frozen=True, slots=True)
class PipelineSpec:
    """A pipeline as its `metadata.yaml` says."""

    uuid: PipelineUuid
    name: str = ""
    type: str = "python"
    description: str | None = None
    tags: tuple[str, ...] = ()
    blocks: tuple[BlockSpec, ...] = ()
    variables: JsonMap = field(default_factory=dict)
    limits: Limits = Limits()
    executor_type: str | None = None
    config: JsonMap = field(default_factory=dict)
    """The whole document as it stands, unknown keys included, without `blocks`."""

    @property
    def running_blocks(self) -> tuple[BlockSpec, ...]:
        """The blocks that get a block run, in the author's order."""
        return tuple(block for block in self.blocks if block.runs)

    def check_runs(self) -> None:
        """Raise `Invalid` for a type of pipeline that nothing here can run."""
        if self.type in UNRUNNABLE:
            raise Invalid(
                f"pipeline {self.uuid!r} is of type {self.type!r}, which Weft cannot run",
                hint="Weft runs batch pipelines (`type: python`); keep running this one in Mage.",
            )

    def block(self, uuid: str) -> BlockSpec | None:
        """Return a block by name, or None."""
        return next((block for block in self.blocks if block.uuid == uuid), None)

    def graph(self) -> Graph:
        """Return the graph of the blocks that run.

        An upstream that never runs (a markdown note, say) or that does not exist
        is dropped, as Mage drops it.
        """
        running = {block.uuid for block in self.running_blocks}
        return Graph.of(
            (block.uuid, tuple(up for up in block.upstream if up in running))
            for block in self.running_blocks
        )

    def retries(self) -> Mapping[BlockUuid, RetryPolicy]:
        """Return each running block's retry policy."""
        return {block.uuid: block.retry for block in self.running_blocks}


@dataclass(frozen=True, slots=True)
class LoadedPipeline:
    """A spec together with the text of its blocks and the state of its file."""

    spec: PipelineSpec
    code: Mapping[str, str]
    """Text of each block by `code_hash`."""
    etag: str = ""
    """Changes whenever `metadata.yaml` changes."""
    updated_at: float = 0.0
    """Modification time of `metadata.yaml`, in seconds since 1970."""
    notes: tuple[str, ...] = ()
    """What was odd but harmless: unknown upstreams, missing files."""
