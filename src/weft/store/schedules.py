"""Pipeline schedules, and what has fired of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import bindparam, delete, func, insert, literal, select, update

from weft.core.errors import Invalid, NotFound
from weft.core.ids import PipelineUuid, ProjectId, ScheduleId
from weft.core.records import PipelineSchedule, ScheduleCounts
from weft.core.states import RunStatus
from weft.ports.schedules import Fired, NewSchedule
from weft.store import rows
from weft.store import tables as t
from weft.store.prepared import Among, Prepared
from weft.store.session import Session

_schedule, _run, _event = t.pipeline_schedule.c, t.pipeline_run.c, t.event.c

_NEW = tuple(field.name for field in dataclasses.fields(NewSchedule))
_CHANGEABLE = frozenset(_NEW) - {"project_id"}

_ADD = Prepared(
    insert(t.pipeline_schedule)
    .values(
        **{name: bindparam(name, type_=_schedule[name].type) for name in _NEW},
        created_at=bindparam("now", type_=_schedule.created_at.type),
        updated_at=bindparam("now", type_=_schedule.created_at.type),
        fired_count=literal(0),
    )
    .returning(*rows.SCHEDULE_COLUMNS)
)
_BY_ID = Prepared(select(*rows.SCHEDULE_COLUMNS).where(_schedule.id == bindparam("wanted")))
_FIND = (
    select(*rows.SCHEDULE_COLUMNS)
    .where(_schedule.project_id == bindparam("project_id"))
    .order_by(_schedule.id)
)
_DELETE = Prepared(
    delete(t.pipeline_schedule)
    .where(_schedule.id == bindparam("wanted"))
    .returning(_schedule.project_id, _schedule.name)
)
_ACTIVE = Prepared(
    select(*rows.SCHEDULE_COLUMNS)
    .where(
        Among(_schedule.project_id, "projects"),
        _schedule.status == "active",
        _schedule.schedule_type == "time",
        _schedule.schedule_interval.is_not(None),
    )
    .order_by(_schedule.id)
)
_LAST_STATUS = (
    select(_run.status)
    .where(_run.schedule_id == _schedule.id)
    .order_by(_run.schedule_id.desc(), _run.id.desc())
    .limit(1)
    .scalar_subquery()
)
_FIRED = Prepared(
    select(
        _schedule.id, _schedule.fired_count, _schedule.fired_last, _LAST_STATUS.label("last")
    ).where(Among(_schedule.id, "ids"))
)
_COUNTS = Prepared(
    select(
        _schedule.id,
        _LAST_STATUS.label("last"),
        select(func.count())
        .select_from(t.pipeline_run)
        .where(_run.schedule_id == _schedule.id)
        .scalar_subquery()
        .label("runs"),
        select(func.count())
        .select_from(t.pipeline_run)
        .where(
            _run.status.in_(t.OPEN),
            _run.project_id == _schedule.project_id,
            _run.schedule_id == _schedule.id,
        )
        .scalar_subquery()
        .label("in_progress"),
    ).where(Among(_schedule.id, "ids"))
)
_REVISION = Prepared(
    select(func.max(_event.seq).label("seq")).select_from(t.event).where(t.SCHEDULE_EVENT)
)


class SqlSchedules:
    """Implements `ports.schedules.ScheduleStore`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, new: NewSchedule, actor: str) -> PipelineSchedule:
        values = {name: getattr(new, name) for name in _NEW}
        row = self._session.one(_ADD, {**values, "now": self._session.now()})
        if row is None:
            raise RuntimeError("an insert without a row")
        made = rows.schedule(row)
        self._note(made.project_id, made.id, "create", actor)
        return made

    def get(self, schedule_id: ScheduleId) -> PipelineSchedule:
        row = self._session.one(_BY_ID, {"wanted": schedule_id})
        if row is None:
            raise _unknown(schedule_id)
        return rows.schedule(row)

    def find(
        self,
        project_id: ProjectId,
        pipeline_uuid: PipelineUuid | None = None,
        *,
        with_hidden: bool = False,
    ) -> Sequence[PipelineSchedule]:
        query = _FIND.params(project_id=project_id)
        if pipeline_uuid is not None:
            query = query.where(_schedule.pipeline_uuid == pipeline_uuid)
        if not with_hidden:
            query = query.where(_schedule.hidden.is_(False))
        return [rows.schedule(row) for row in self._session.run(query)]

    def update(
        self, schedule_id: ScheduleId, changes: Mapping[str, object], actor: str
    ) -> PipelineSchedule:
        unknown = sorted(set(changes) - _CHANGEABLE)
        if unknown:
            raise Invalid(
                f"a schedule has no column {unknown[0]!r} that can be changed",
                hint=f"There is: {', '.join(sorted(_CHANGEABLE))}.",
            )
        statement = (
            update(t.pipeline_schedule)
            .where(_schedule.id == schedule_id)
            .values(**changes, updated_at=self._session.now())
            .returning(*rows.SCHEDULE_COLUMNS)
        )
        found = self._session.run(statement)
        if not found:
            raise _unknown(schedule_id)
        changed = rows.schedule(found[0])
        self._note(changed.project_id, changed.id, "update", actor, ", ".join(sorted(changes)))
        return changed

    def delete(self, schedule_id: ScheduleId, actor: str) -> None:
        row = self._session.one(_DELETE, {"wanted": schedule_id})
        if row is None:
            raise _unknown(schedule_id)
        self._note(row["project_id"], schedule_id, "delete", actor, row["name"])

    def active(self, projects: Collection[ProjectId]) -> Sequence[PipelineSchedule]:
        (found,) = self._session.ask((_ACTIVE, {"projects": projects}))
        return [rows.schedule(row) for row in found]

    def fired(self, schedules: Collection[ScheduleId]) -> Mapping[ScheduleId, Fired]:
        (found,) = self._session.ask((_FIRED, {"ids": schedules}))
        known = {
            row["id"]: Fired(row["fired_count"], row["fired_last"], _status(row["last"]))
            for row in found
        }
        return {wanted: known.get(wanted, Fired(0, None, None)) for wanted in schedules}

    def counts(self, schedules: Collection[ScheduleId]) -> Mapping[ScheduleId, ScheduleCounts]:
        (found,) = self._session.ask((_COUNTS, {"ids": schedules}))
        return {
            row["id"]: ScheduleCounts(_status(row["last"]), row["runs"], row["in_progress"])
            for row in found
            if row["runs"]
        }

    def revision(self) -> int:
        self._session.number()
        row = self._session.one(_REVISION, {})
        return (row["seq"] if row else None) or 0

    def _note(
        self, project_id: ProjectId, schedule_id: int, cue: str, actor: str, reason: str = ""
    ) -> None:
        self._session.note(
            project_id,
            actor=actor,
            object_type="pipeline_schedule",
            object_id=schedule_id,
            cue=cue,
            reason=reason,
        )


def _status(text: str | None) -> RunStatus | None:
    return None if text is None else RunStatus(text)


def _unknown(schedule_id: int) -> NotFound:
    return NotFound(
        f"there is no pipeline schedule {schedule_id}",
        hint="`weft schedules list` and GET /api/pipeline_schedules show which there are.",
    )
