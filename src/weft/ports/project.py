"""The files of a project: the truth for pipelines and blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from weft.core.errors import BrokenPipeline
from weft.core.ids import PipelineUuid
from weft.core.json import Json, JsonMap
from weft.core.retry import RetryPolicy
from weft.core.spec import LoadedPipeline


@dataclass(frozen=True, slots=True)
class ProjectSettings:
    """What the project's own `metadata.yaml` says; `config` is all of it."""

    uuid: str | None = None
    variables_dir: str | None = None
    remote_variables_dir: str | None = None
    concurrency: int = 20
    """`queue_config.concurrency`: block runs of the project live at once."""
    retry: RetryPolicy = RetryPolicy()
    config: JsonMap = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A pipeline whose files make no sense, and why; others are not concerned."""

    uuid: PipelineUuid
    error: BrokenPipeline


class ProjectFiles(Protocol):
    """A project on disk. Reads are cached by what the file system tells of the files."""

    @property
    def path(self) -> Path:
        """The project's folder, absolute."""
        ...

    def settings(self) -> ProjectSettings:
        """Return the project's settings. Raises `Invalid` with file and line."""
        ...

    def names(self) -> Sequence[PipelineUuid]:
        """Return the pipelines there are, sorted: folders with a `metadata.yaml`."""
        ...

    def load(self, uuid: PipelineUuid) -> LoadedPipeline:
        """Return a pipeline with its code.

        Raises `NotFound` (naming close names), or `BrokenPipeline` with file and line.
        """
        ...

    def scan(self) -> Sequence[LoadedPipeline | Quarantined]:
        """Return every pipeline, the broken ones quarantined, in order of name."""
        ...

    def create(
        self, name: str, *, pipeline_type: str = "python", description: str | None = None
    ) -> PipelineUuid:
        """Make an empty pipeline; its uuid is the slug of `name`. Raises `Conflict`."""
        ...

    def edit(self, uuid: PipelineUuid, changes: Mapping[str, Json], *, etag: str | None) -> str:
        """Set top-level keys of a pipeline's YAML, keeping all else; return the new etag.

        Atomic. Raises `StaleFile` when `etag` is not the file's.
        """
        ...

    def write_block(self, path: str, content: str, *, etag: str | None) -> str:
        """Replace a block's file, atomically; return its new etag.

        `path` is relative to the project and must stay inside it (`Denied`).
        """
        ...
