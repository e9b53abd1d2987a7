"""The project folder behind the port `ProjectFiles`."""

from __future__ import annotations

import difflib
import os
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

from weft.core.errors import BrokenPipeline, Conflict, Denied, Invalid, NotFound, StaleFile, Where
from weft.core.ids import PipelineUuid
from weft.core.json import Json
from weft.core.retry import RetryPolicy
from weft.core.slug import slug
from weft.core.spec import BlockSpec, LoadedPipeline
from weft.ports.clock import Clock
from weft.ports.project import ProjectSettings, Quarantined
from weft.project.atomic import locked, make_folder, replace_file
from weft.project.document import Source
from weft.project.reader import (
    EXTENSIONS,
    MAX_NAME,
    PIPELINE_TYPES,
    BlockCode,
    Draft,
    read_pipeline,
)
from weft.project.settings import filled_in, read_settings
from weft.project.snapshots import Snapshot, Snapshots
from weft.project.writer import edited, new_pipeline

_METADATA = "metadata.yaml"
_PIPELINES = "pipelines"
_BLOCK_SUFFIXES = frozenset(EXTENSIONS.values()) | {".yml", ".R"}


@dataclass(frozen=True, slots=True)
class _Kept:
    """A pipeline that was read, and the files it was read from."""

    pipeline: LoadedPipeline
    seen: Mapping[str, Snapshot | None]


@dataclass(slots=True)
class _Reading:
    """One reading of a pipeline: remembers each file it looked at."""

    snapshots: Snapshots
    seen: dict[str, Snapshot | None] = field(default_factory=dict)

    def read(self, path: str) -> Snapshot | None:
        self.seen[path] = self.snapshots.read(path)
        return self.seen[path]


class ProjectFolder:
    """A project on a local disk, in the layout of Mage. Safe to share between threads.

    `environment` fills in `env_var(...)` in the project's settings; `clock` dates new
    pipelines. A reading that is still good costs one stat per file.
    """

    def __init__(
        self,
        path: Path,
        *,
        environment: Mapping[str, str] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._path = path.resolve()
        self._environment = dict(environment or {})
        self._clock = clock
        self._snapshots = Snapshots(self._path)
        self._kept: dict[PipelineUuid, _Kept] = {}
        self._settings: tuple[str, ProjectSettings] | None = None

    @property
    def path(self) -> Path:
        return self._path

    def settings(self) -> ProjectSettings:
        try:
            return self._read_settings(_Reading(self._snapshots))
        except BrokenPipeline as error:
            raise Invalid(error.message, hint=error.hint, where=error.where) from None

    def names(self) -> Sequence[PipelineUuid]:
        try:
            with os.scandir(self._path / _PIPELINES) as entries:
                return sorted(PipelineUuid(e.name) for e in entries if _is_pipeline(e))
        except (FileNotFoundError, NotADirectoryError):
            return ()

    def load(self, uuid: PipelineUuid) -> LoadedPipeline:
        kept = self._kept.get(uuid)
        if kept and all(self._unchanged(path, was) for path, was in kept.seen.items()):
            return kept.pipeline
        reading = _Reading(self._snapshots)
        pipeline = self._load(uuid, reading)
        self._kept[uuid] = _Kept(pipeline, reading.seen)
        return pipeline

    def scan(self) -> Sequence[LoadedPipeline | Quarantined]:
        found: list[LoadedPipeline | Quarantined] = []
        for uuid in self.names():
            try:
                found.append(self.load(uuid))
            except BrokenPipeline as error:
                found.append(Quarantined(uuid, error))
            except NotFound:
                continue  # removed since it was listed
        return found

    def create(
        self, name: str, *, pipeline_type: str = "python", description: str | None = None
    ) -> PipelineUuid:
        uuid = PipelineUuid(slug(name))
        if not uuid.strip("_") or len(uuid.encode()) > MAX_NAME:
            raise Invalid(
                f"{name[:60]!r} cannot name a pipeline",
                hint=f"Use letters and digits, at most {MAX_NAME} bytes.",
            )
        if pipeline_type not in PIPELINE_TYPES:
            raise Invalid(
                f"unknown pipeline type {pipeline_type!r}",
                hint=f"One of {', '.join(sorted(PIPELINE_TYPES))}.",
            )
        folder = f"{_PIPELINES}/{uuid}"
        if self._snapshots.inside(folder) is None:
            raise Denied(f"{folder} lies outside the project")
        text = new_pipeline(
            name,
            uuid=uuid,
            pipeline_type=pipeline_type,
            description=description,
            created_at=self._clock.now() if self._clock else None,
        )
        try:
            make_folder(self._path / folder, {"__init__.py": b"", _METADATA: text.encode()})
        except FileExistsError:
            raise Conflict(
                f"pipeline {uuid!r} already exists",
                hint="Choose another name.",
                where=Where(folder),
            ) from None
        return uuid

    def edit(self, uuid: PipelineUuid, changes: Mapping[str, Json], *, etag: str | None) -> str:
        path = self._metadata(uuid)
        with locked(self._path / path):
            snapshot = self._present(uuid, path)
            _refuse_stale(path, snapshot.digest, etag)
            text = edited(Source(path, snapshot.text), changes)
            read_pipeline(Source(path, text), uuid, retry=RetryPolicy())
            if text != snapshot.text:
                self._replace(path, text)
        return sha256(text.encode()).hexdigest()

    def write_block(self, path: str, content: str, *, etag: str | None) -> str:
        path = self._writable(path)
        try:
            data = content.encode()
        except UnicodeEncodeError:
            raise Invalid("the text holds half a character (a lone surrogate)") from None
        folder = (self._path / path).parent
        if not folder.exists():
            _refuse_stale(path, None, etag)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "__init__.py").touch()
        with locked(self._path / path):
            snapshot = self._snapshots.read(path)
            _refuse_stale(path, snapshot.digest if snapshot else None, etag)
            if snapshot is None or snapshot.text != content:
                self._replace(path, content)
        return sha256(data).hexdigest()

    def _load(self, uuid: PipelineUuid, reading: _Reading) -> LoadedPipeline:
        path = self._metadata(uuid)
        snapshot = reading.read(path)
        if snapshot is None:
            raise self._not_found(uuid)
        source = Source(path, snapshot.text)
        draft = read_pipeline(source, uuid, retry=self._retry(source, reading))
        blocks, code = self._with_code(draft, source, reading)
        return LoadedPipeline(
            spec=replace(draft.spec, blocks=blocks),
            code=code,
            etag=snapshot.digest,
            updated_at=snapshot.mtime_ns / 1e9,
            notes=tuple(source.notes),
        )

    def _with_code(
        self, draft: Draft, source: Source, reading: _Reading
    ) -> tuple[tuple[BlockSpec, ...], Mapping[str, str]]:
        blocks: list[BlockSpec] = []
        texts: dict[str, str] = {}
        for place, block in enumerate(draft.spec.blocks):
            code = draft.code[block.uuid]
            if code.path is not None and self._snapshots.inside(self._relative(code.path)) is None:
                raise source.fault(
                    f"the file of block {block.uuid!r}, {code.path}, lies outside the project",
                    ("blocks", place),
                    hint="Move it into the project, or copy what the link points to.",
                )
            path, text, digest = self._text(code, reading)
            if text is not None:
                texts[digest] = text
            elif path and block.runs:
                source.notes.append(
                    f"block {block.uuid!r} has no file: {path} does not exist, its runs will fail"
                )
            blocks.append(replace(block, language=code.language, path=path, code_hash=digest))
        return tuple(blocks), texts

    def _text(self, code: BlockCode, reading: _Reading) -> tuple[str, str | None, str]:
        """Return path, text and hash; no text and no hash when there is no file."""
        if code.inline is not None:
            return "", code.inline, sha256(code.inline.encode()).hexdigest()
        if code.path is None:
            return "", None, ""
        path = self._relative(code.path)
        snapshot = reading.read(path)
        first, _, rest = path.partition("/")
        if snapshot is None and rest and first == self._path.name:
            # In projects of a platform, paths begin with the name of the project.
            snapshot = reading.read(rest)
            path = rest if snapshot else path
        return (path, snapshot.text, snapshot.digest) if snapshot else (path, None, "")

    def _relative(self, path: str) -> str:
        """Return a path as its author wrote it, relative to the project."""
        if path.startswith("/"):
            path = os.path.relpath(path, self._path)
        return posixpath.normpath(path)

    def _retry(self, source: Source, reading: _Reading) -> RetryPolicy:
        try:
            return self._read_settings(reading).retry
        except BrokenPipeline as error:
            source.notes.append(f"the project's retry_config is ignored: {error}")
            return RetryPolicy()

    def _read_settings(self, reading: _Reading) -> ProjectSettings:
        snapshot = reading.read(_METADATA)
        if snapshot is None:
            raise BrokenPipeline(
                f"{self._path} is not a project: it has no {_METADATA}",
                hint=f"Make one with `weft init {self._path}`, or name another folder.",
                where=Where(_METADATA),
            )
        kept = self._settings
        if kept and kept[0] == snapshot.digest:
            return kept[1]
        text = filled_in(snapshot.text, self._environment)
        settings = read_settings(Source(_METADATA, text))
        self._settings = (snapshot.digest, settings)
        return settings

    def _unchanged(self, path: str, was: Snapshot | None) -> bool:
        try:
            now = self._snapshots.read(path)
        except BrokenPipeline:
            return False
        return now is was or (
            now is not None
            and was is not None
            and (now.digest, now.mtime_ns) == (was.digest, was.mtime_ns)
        )

    def _metadata(self, uuid: PipelineUuid) -> str:
        if not uuid or "/" in uuid or "\0" in uuid or uuid in {".", ".."}:
            raise self._not_found(uuid)
        return f"{_PIPELINES}/{uuid}/{_METADATA}"

    def _present(self, uuid: PipelineUuid, path: str) -> Snapshot:
        self._snapshots.forget(path)
        snapshot = self._snapshots.read(path)
        if snapshot is None:
            raise self._not_found(uuid)
        return snapshot

    def _not_found(self, uuid: PipelineUuid) -> NotFound:
        close = difflib.get_close_matches(uuid, self.names())
        return NotFound(
            f"there is no pipeline {uuid[:60]!r}",
            hint=f"Did you mean {' or '.join(close)}?" if close else "`weft pipelines` lists them.",
        )

    def _writable(self, path: str) -> str:
        """Return a block's path with links resolved, or raise `Denied`."""
        real = None if path.startswith("/") else self._snapshots.inside(path)
        parts = real.split("/") if real else []
        if not parts or any(part.startswith(".") for part in (*parts, *path.split("/"))):
            raise Denied(
                f"{path[:60]!r} is no place for a block",
                hint="Give a path inside the project, without hidden folders.",
            )
        if parts[0] == _PIPELINES or posixpath.splitext(parts[-1])[1] not in _BLOCK_SUFFIXES:
            raise Denied(
                f"{path[:60]!r} is not a block's file",
                hint=f"Blocks end in {', '.join(sorted(_BLOCK_SUFFIXES))}.",
            )
        if len(parts) == 1:
            raise Denied(f"{path[:60]!r} is in no folder", hint="Blocks are in folders by type.")
        return "/".join(parts)

    def _replace(self, path: str, text: str) -> None:
        replace_file(self._path / path, text.encode())
        self._snapshots.forget(path)


def _refuse_stale(path: str, digest: str | None, etag: str | None) -> None:
    if etag is not None and digest != etag:
        raise StaleFile(
            f"{path} changed since it was read; nothing was written",
            hint="Read it again, and repeat your change on what it says now.",
            where=Where(path),
        )


def _is_pipeline(entry: os.DirEntry[str]) -> bool:
    return entry.name.isprintable() and Path(entry.path, _METADATA).is_file()
