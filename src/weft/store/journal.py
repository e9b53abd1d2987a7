"""Events and the outbox."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta

from sqlalchemy import bindparam, delete, insert, or_, select, update

from weft.core.ids import ProjectId, RunId
from weft.core.json import JsonMap
from weft.core.records import Announcement, LoggedEvent
from weft.store import rows
from weft.store import tables as t
from weft.store.prepared import Among, Prepared
from weft.store.session import Session

_event, _outbox = t.event.c, t.outbox.c

_SINCE = (
    select(t.event)
    .where(_event.seq > bindparam("after"))
    .order_by(_event.seq)
    .limit(bindparam("most"))
)
_OF_ALL = Prepared(_SINCE)
_OF_RUN = Prepared(_SINCE.where(_event.run_id == bindparam("run")))
LEAVE = Prepared(
    insert(t.outbox)
    .values(
        project_id=bindparam("project_id"),
        topic=bindparam("topic"),
        payload=bindparam("payload"),
        created_at=bindparam("created_at"),
        deliveries=0,
    )
    .inline()
)
"""Leave an announcement; `save` does it too."""
_FREE = (
    select(_outbox.id)
    .where(
        or_(
            _outbox.held_until.is_(None),
            _outbox.held_until <= bindparam("now", type_=_outbox.held_until.type),
        )
    )
    .order_by(_outbox.id)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
    .cte("free")
    .prefix_with("MATERIALIZED", dialect="postgresql")
)
_TAKE = Prepared(
    update(t.outbox)
    .where(_outbox.id.in_(select(_FREE.c.id)))
    .values(held_until=bindparam("until"), deliveries=_outbox.deliveries + 1)
    .returning(*t.outbox.c)
)
_HELD = Prepared(
    select(_outbox.held_until)
    .where(_outbox.held_until.is_not(None))
    .order_by(_outbox.held_until)
    .limit(1)
)
_DONE = Prepared(delete(t.outbox).where(Among(_outbox.id, "ids")))


class SqlEvents:
    """Implements `ports.journal.EventStore`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def since(
        self, seq: int, *, run_id: RunId | None = None, limit: int = 1000
    ) -> Sequence[LoggedEvent]:
        self._session.number()
        params = {"after": seq, "most": limit}
        if run_id is None:
            (found,) = self._session.ask((_OF_ALL, params))
        else:
            (found,) = self._session.ask((_OF_RUN, {**params, "run": run_id}))
        return [rows.event(row) for row in found]

    def add(
        self,
        project_id: ProjectId,
        *,
        actor: str,
        object_type: str,
        object_id: int,
        cue: str,
        reason: str = "",
    ) -> None:
        self._session.note(
            project_id,
            actor=actor,
            object_type=object_type,
            object_id=object_id,
            cue=cue,
            reason=reason,
        )


class SqlOutbox:
    """Implements `ports.journal.OutboxStore`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def take(self, limit: int, hold: timedelta) -> Sequence[Announcement]:
        now = self._session.now()
        (taken,) = self._session.ask((_TAKE, {"now": now, "until": now + hold, "most": limit}))
        return [rows.announcement(row) for row in sorted(taken, key=lambda row: row["id"])]

    def free_in(self) -> timedelta | None:
        now = self._session.now()
        first = self._session.one(_HELD, {})
        return None if first is None else max(timedelta(0), first["held_until"] - now)

    def done(self, ids: Collection[int]) -> None:
        if ids:
            self._session.put(_DONE, {"ids": list(ids)})

    def add(self, project_id: ProjectId, topic: str, payload: JsonMap) -> None:
        self._session.put(
            LEAVE,
            {
                "project_id": project_id,
                "topic": topic,
                "payload": payload,
                "created_at": self._session.now(),
            },
        )
