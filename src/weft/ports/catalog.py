"""Projects and pipeline versions: what a run was made of, kept once per content."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from weft.core.ids import ProjectId, VersionId
from weft.core.records import PipelineVersion, Project
from weft.core.spec import LoadedPipeline


class CatalogStore(Protocol):
    """Projects, versions and the code of blocks."""

    def project(self, *, path: str, uuid: str | None) -> Project:
        """Return the project at `path`, keeping it first if it is new.

        A project is known by its uuid when it has one, else by its path; a known
        one that has moved keeps its id and gets the new path.
        """
        ...

    def find(self, *, path: str, uuid: str | None) -> Project | None:
        """Return what `project` would, as it is kept now; None if that project is new."""
        ...

    def pin(self, project_id: ProjectId, loaded: LoadedPipeline) -> VersionId:
        """Keep this version of a pipeline and the code of its blocks, unless kept already."""
        ...

    def version(self, version_id: VersionId) -> PipelineVersion:
        """Return a version. Raises `NotFound`."""
        ...

    def code(self, hashes: Collection[str]) -> Mapping[str, str]:
        """Return the text of block code by its hash; unknown hashes are absent."""
        ...
