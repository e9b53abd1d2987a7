"""Projects, and pipelines as they were when runs were made of them."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from uuid import uuid4

import msgspec
from sqlalchemy import Text, bindparam, insert, select, update
from sqlalchemy.dialects import postgresql

from weft.core.errors import NotFound
from weft.core.ids import ProjectId, VersionId
from weft.core.records import PipelineVersion, Project
from weft.core.spec import LoadedPipeline, PipelineSpec
from weft.store import tables as t
from weft.store.prepared import Among, Prepared, Row
from weft.store.session import Session

_project, _version, _code = t.project.c, t.pipeline_version.c, t.block_code.c

_BY_UUID = Prepared(select(t.project).where(_project.uuid == bindparam("known")))
_BY_PATH = Prepared(
    select(t.project).where(_project.path == bindparam("at")).order_by(_project.id.desc()).limit(1)
)
_KEEP = Prepared(
    insert(t.project)
    .values({name: bindparam(name) for name in ("uuid", "declared", "path", "created_at")})
    .returning(*t.project.c)
)
_CHANGE = Prepared(
    update(t.project)
    .where(_project.id == bindparam("known"))
    .values(uuid=bindparam("uuid"), declared=bindparam("declared"), path=bindparam("path"))
)
_PINNED = Prepared(
    select(_version.id).where(
        _version.project_id == bindparam("project_id"),
        _version.pipeline_uuid == bindparam("pipeline_uuid"),
        _version.content_hash == bindparam("content_hash"),
    )
)
_PIN = Prepared(
    postgresql.insert(t.pipeline_version)
    .values(
        {c.name: bindparam(c.name, type_=c.type) for c in t.pipeline_version.c if c.name != "id"}
    )
    .on_conflict_do_nothing()
    .returning(_version.id)
)
_KEEP_CODE = Prepared(
    postgresql.insert(t.block_code)
    .values(hash=bindparam("hash"), code=bindparam("code"))
    .on_conflict_do_nothing()
)
_VERSION = Prepared(select(t.pipeline_version).where(_version.id == bindparam("wanted")))
_TEXTS = Prepared(select(t.block_code).where(Among(_code.hash, "hashes", of=Text)))


class SqlCatalog:
    """Implements `ports.catalog.CatalogStore`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def project(self, *, path: str, uuid: str | None) -> Project:
        self._session.lock("projects")
        row = self._known(path, uuid)
        if row is None:
            row = self._session.one(
                _KEEP,
                {
                    "uuid": uuid or uuid4().hex,
                    "declared": uuid is not None,
                    "path": path,
                    "created_at": self._session.now(),
                },
            )
            if row is None:
                raise RuntimeError("an insert without a row")
        changed = {
            "uuid": uuid or row["uuid"],
            "declared": row["declared"] or uuid is not None,
            "path": path,
        }
        if any(row[key] != value for key, value in changed.items()):
            self._session.put(_CHANGE, {"known": row["id"], **changed})
        return Project(row["id"], uuid or row["uuid"], path, row["created_at"])

    def find(self, *, path: str, uuid: str | None) -> Project | None:
        row = self._known(path, uuid)
        if row is None:
            return None
        return Project(row["id"], row["uuid"], row["path"], row["created_at"])

    def _known(self, path: str, uuid: str | None) -> Row | None:
        at_path = self._session.one(_BY_PATH, {"at": path})
        if uuid is None:
            return at_path
        row = self._session.one(_BY_UUID, {"known": uuid})
        if row is None and at_path is not None and not at_path["declared"]:
            # Until now its files named no uuid, so it is the same project.
            return at_path
        return row

    def pin(self, project_id: ProjectId, loaded: LoadedPipeline) -> VersionId:
        spec = msgspec.json.encode(loaded.spec)
        key = {
            "project_id": project_id,
            "pipeline_uuid": loaded.spec.uuid,
            "content_hash": hashlib.sha256(spec).hexdigest(),
        }
        row = self._session.one(_PINNED, key)
        if row is None:
            # Version and code are kept in one transaction: who has one has the other.
            codes = [{"hash": hash_, "code": code} for hash_, code in sorted(loaded.code.items())]
            self._session.put(_KEEP_CODE, *codes)
            kept = {**key, "spec": spec.decode(), "created_at": self._session.now()}
            row = self._session.one(_PIN, kept) or self._session.one(_PINNED, key)
        if row is None:
            raise RuntimeError("a version that is neither new nor there")
        return VersionId(row["id"])

    def version(self, version_id: VersionId) -> PipelineVersion:
        row = self._session.one(_VERSION, {"wanted": version_id})
        if row is None:
            raise NotFound(f"there is no pipeline version {version_id}")
        return _read(row)

    def code(self, hashes: Collection[str]) -> Mapping[str, str]:
        (rows,) = self._session.ask((_TEXTS, {"hashes": list(hashes)}))
        return {row["hash"]: row["code"] for row in rows}


def _read(row: Row) -> PipelineVersion:
    spec = msgspec.json.decode(row["spec"], type=PipelineSpec)
    return PipelineVersion(**{**row, "spec": spec})
