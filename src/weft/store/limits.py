"""Occupancy of limits: counted from live rows, through indexes that hold only those."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import bindparam, func, select

from weft.core.ids import PipelineUuid, ProjectId, ScheduleId
from weft.store import tables as t
from weft.store.prepared import Among, Prepared
from weft.store.session import Session

_run, _block = t.pipeline_run.c, t.block_run.c

_LIVE = Prepared(
    select(func.count().label("n"))
    .select_from(t.block_run)
    .where(_block.status.in_(t.LIVE), Among(_block.project_id, "projects"))
)
_RUNNING = (
    select(func.count().label("n"))
    .select_from(t.pipeline_run)
    .where(
        _run.status.in_(t.RUNNING),
        _run.project_id == bindparam("project_id"),
        _run.pipeline_uuid == bindparam("pipeline_uuid"),
    )
)
_OF_PIPELINE = Prepared(_RUNNING)
_OF_SCHEDULE = Prepared(_RUNNING.where(_run.schedule_id == bindparam("schedule_id")))


class SqlLimits:
    """Implements `ports.runs.LimitStore`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def lock(self, key: str) -> None:
        self._session.lock(key)

    def live_blocks(self, projects: Collection[ProjectId]) -> int:
        row = self._session.one(_LIVE, {"projects": projects})
        return row["n"] if row else 0

    def running_runs(
        self,
        project_id: ProjectId,
        pipeline_uuid: PipelineUuid,
        schedule_id: ScheduleId | None = None,
    ) -> int:
        params = {"project_id": project_id, "pipeline_uuid": pipeline_uuid}
        if schedule_id is None:
            row = self._session.one(_OF_PIPELINE, params)
        else:
            row = self._session.one(_OF_SCHEDULE, {**params, "schedule_id": schedule_id})
        return row["n"] if row else 0
