"""Accepted outputs: a block run says which attempt counts, and nothing else is seen."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby

from sqlalchemy import and_, bindparam, select

from weft.core.ids import BlockRunId, BlockUuid, PipelineUuid, ProjectId, RunId
from weft.core.records import Artifact
from weft.store import rows
from weft.store import tables as t
from weft.store.prepared import Prepared
from weft.store.session import Session

_artifact, _block = t.artifact.c, t.block_run.c

_ACCEPTED = select(t.artifact).join_from(
    t.block_run,
    t.artifact,
    and_(_artifact.block_run_id == _block.id, _artifact.attempt == _block.accepted),
)
_OF_RUN = Prepared(
    _ACCEPTED.where(_block.run_id == bindparam("run")).order_by(_block.id, _artifact.id)
)
_OF_BLOCK_RUN = Prepared(_ACCEPTED.where(_block.id == bindparam("block_run")))
_NEWEST = (
    select(_artifact.block_run_id)
    .join_from(
        t.artifact,
        t.block_run,
        and_(_artifact.block_run_id == _block.id, _artifact.attempt == _block.accepted),
    )
    .where(
        _artifact.project_id == bindparam("project_id"),
        _artifact.pipeline_uuid == bindparam("pipeline_uuid"),
        _artifact.block_uuid == bindparam("block_uuid"),
    )
    .order_by(_artifact.id.desc())
    .limit(1)
)
_NEWEST_OF_ANY = Prepared(_NEWEST)
_NEWEST_OF_PARTITION = Prepared(_NEWEST.where(_artifact.partition == bindparam("partition")))


class SqlArtifacts:
    """Implements `ports.journal.ArtifactStore`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def of_run(self, run_id: RunId) -> Mapping[BlockUuid, tuple[Artifact, ...]]:
        (found,) = self._session.ask((_OF_RUN, {"run": run_id}))
        return {
            BlockUuid(uuid): rows.artifacts(list(group))
            for uuid, group in groupby(found, key=lambda row: row["block_uuid"])
        }

    def of_block_run(self, block_run_id: BlockRunId) -> tuple[Artifact, ...]:
        (found,) = self._session.ask((_OF_BLOCK_RUN, {"block_run": block_run_id}))
        return rows.artifacts(found)

    def newest(
        self,
        project_id: ProjectId,
        pipeline_uuid: PipelineUuid,
        partition: str | None,
        block_uuid: BlockUuid,
    ) -> tuple[Artifact, ...]:
        params = {
            "project_id": project_id,
            "pipeline_uuid": pipeline_uuid,
            "block_uuid": block_uuid,
        }
        if partition is None:
            row = self._session.one(_NEWEST_OF_ANY, params)
        else:
            row = self._session.one(_NEWEST_OF_PARTITION, {**params, "partition": partition})
        return () if row is None else self.of_block_run(row["block_run_id"])
