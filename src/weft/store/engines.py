"""Engines and their leases, on the database's clock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import bindparam, literal, select, update
from sqlalchemy.dialects import postgresql

from weft.core.ids import EngineId
from weft.ports.engines import EngineRow
from weft.ports.runs import EngineRef
from weft.store import tables as t
from weft.store.prepared import Prepared
from weft.store.session import Session

_engine = t.engine.c

_FRESH = {
    "lease_until": bindparam("lease_until", type_=_engine.lease_until.type),
    "host": bindparam("host"),
    "pid": bindparam("pid"),
    "data_dir": bindparam("data_dir"),
}
_ENLIST = Prepared(
    postgresql.insert(t.engine)
    .values(id=bindparam("id"), incarnation=literal(1), **_FRESH)
    .on_conflict_do_update(
        index_elements=[_engine.id], set_={**_FRESH, "incarnation": _engine.incarnation + 1}
    )
    .returning(_engine.incarnation)
)
_RENEW = Prepared(
    update(t.engine)
    .where(_engine.id == bindparam("me"), _engine.incarnation == bindparam("mine"))
    .values(lease_until=bindparam("lease_until"))
    .returning(_engine.id)
)
_ALL = Prepared(select(t.engine).order_by(_engine.id))


class SqlEngines:
    """Implements `ports.engines.EngineStore`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def enlist(
        self, engine: EngineId, ttl: timedelta, *, host: str, pid: int, data_dir: str
    ) -> EngineRef:
        until = self._session.now() + ttl
        facts = {"lease_until": until, "host": host, "pid": pid, "data_dir": data_dir}
        row = self._session.one(_ENLIST, {"id": engine, **facts})
        if row is None:
            raise RuntimeError("an upsert without a row")
        return EngineRef(engine, row["incarnation"])

    def renew(self, me: EngineRef, ttl: timedelta) -> bool:
        params = {"me": me.id, "mine": me.incarnation, "lease_until": self._session.now() + ttl}
        return self._session.one(_RENEW, params) is not None

    def retire(self, me: EngineRef) -> None:
        self.renew(me, timedelta(0))

    def all(self) -> Sequence[EngineRow]:
        (rows,) = self._session.ask((_ALL, {}))
        now = self._session.now()
        return [
            EngineRow(
                EngineRef(row["id"], row["incarnation"]),
                row["lease_until"],
                row["host"],
                row["pid"],
                live=row["lease_until"] > now,
                data_dir=row["data_dir"],
            )
            for row in rows
        ]
