"""One transaction, as the stores see it: questions, and writes put off.

A write waits until the next question or the commit, and travels with it: on
PostgreSQL a whole turn is three round trips, whatever it decided.

Events come last of all. A number from a sequence says when it was drawn, not when
it became visible: a reader that had seen 8 could miss a 7 committed later. So a
transaction draws its numbers while it holds one lock, taken right before the
commit and given back by it: then numbers rise in the order of commits, and whoever
resumes after the highest one seen has missed nothing. (The other way, to show only
what is older than every running transaction, would let any long transaction of
any other database of the server hold all events back.) Lock, events and COMMIT
are sent at once, so nobody waits for somebody's network. SQLite has one writer, so
there the question does not arise.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from sqlalchemy import Connection, Executable, bindparam, insert

from weft.core.ids import ProjectId, RunId
from weft.store import tables as t
from weft.store.prepared import Params, Prepared, Question, Row, Write

_EVENT = Prepared(
    insert(t.event)
    .values({c.name: bindparam(c.name, type_=c.type) for c in t.event.c if c.name != "seq"})
    .inline()
)


class Line(Protocol):
    """The way to one database, for one transaction."""

    connection: Connection

    def speak(self, writes: Sequence[Write], questions: Sequence[Question]) -> list[list[Row]]:
        """Carry out the writes, then answer the questions."""
        ...

    def commit(self, writes: Sequence[Write], events: Sequence[Write]) -> None:
        """Carry out the writes, then the events in commit order, and commit."""
        ...

    def number(self, writes: Sequence[Write], events: Sequence[Write]) -> None:
        """As `commit`, without the commit."""
        ...

    def rollback(self) -> None:
        """Undo everything."""
        ...

    def now(self, writes: Sequence[Write]) -> datetime:
        """Carry out the writes, then ask the database's clock."""
        ...

    def lock(self, writes: Sequence[Write], key: str) -> None:
        """Carry out the writes, then wait for a lock that lasts until the end."""
        ...


class Session:
    """What every store of one unit shares."""

    def __init__(self, line: Line, *, writable: bool) -> None:
        self._line = line
        self._writable = writable
        self._writes: list[Write] = []
        self._events: list[Params] = []
        self._now: datetime | None = None

    def now(self) -> datetime:
        """Return the database's time, asked once per transaction."""
        if self._now is None:
            self._now = self._line.now(self._taken())
        return self._now

    def ask(self, *questions: Question) -> list[list[Row]]:
        """Ask in one round trip; every earlier write is done before."""
        return self._line.speak(self._taken(), questions)

    def one(self, statement: Prepared, params: Params) -> Row | None:
        """Ask for a row that may not be there."""
        (rows,) = self.ask((statement, params))
        return rows[0] if rows else None

    def run(self, statement: Executable) -> list[Row]:
        """Ask a statement that was put together for this occasion."""
        self._line.speak(self._taken(), ())
        return [{**row} for row in self._line.connection.execute(statement).mappings()]

    def put(self, statement: Prepared, *rows: Params, exact: bool = False) -> None:
        """Write soon; with `exact` each must hit one row, or the transaction fails."""
        if not self._writable:
            raise RuntimeError("a write within a read-only unit")
        if rows:
            self._writes.append((statement, rows, exact))

    def note(
        self,
        project_id: ProjectId | int,
        *,
        actor: str,
        object_type: str,
        object_id: int,
        cue: str,
        before: str | None = None,
        after: str | None = None,
        reason: str = "",
        attempt: int | None = None,
        block_uuid: str | None = None,
        run_id: RunId | int | None = None,
    ) -> None:
        """Leave an event row, numbered when the transaction commits."""
        if not self._writable:
            raise RuntimeError("an event within a read-only unit")
        self._events.append(
            {
                "project_id": project_id,
                "actor": actor,
                "object_type": object_type,
                "object_id": object_id,
                "cue": cue,
                "before": before,
                "after": after,
                "reason": reason,
                "attempt": attempt,
                "block_uuid": block_uuid,
                "run_id": run_id,
                "at": self.now(),
            }
        )

    def number(self) -> None:
        """Number the events so far, for a reader within this very transaction."""
        if self._events:
            self._line.number(self._taken(), self._noted())

    def lock(self, key: str) -> None:
        """Hold `key` until the transaction ends."""
        self._line.lock(self._taken(), key)

    def commit(self) -> None:
        """Write what was put off, and commit."""
        self._line.commit(self._taken(), self._noted())

    def rollback(self) -> None:
        """Undo everything."""
        self._line.rollback()

    def _taken(self) -> list[Write]:
        taken, self._writes = self._writes, []
        return taken

    def _noted(self) -> list[Write]:
        noted, self._events = self._events, []
        return [(_EVENT, noted, False)] if noted else []
