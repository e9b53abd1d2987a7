"""How one transaction is spoken with each database."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from weft.core.errors import LostLease, Unavailable
from weft.store.clock import HostClock
from weft.store.prepared import Question, Row, Write

_EVENTS = "events"


class SqliteLine:
    """A transaction on SQLite: calls are cheap, and the first takes the write lock."""

    def __init__(self, connection: Connection, clock: HostClock, *, writable: bool) -> None:
        self.connection = connection
        self._clock = clock
        raw: Any = connection.connection.driver_connection
        raw.execute("BEGIN IMMEDIATE" if writable else "BEGIN")
        self._raw = raw

    def speak(self, writes: Sequence[Write], questions: Sequence[Question]) -> list[list[Row]]:
        """Carry out the writes, then answer the questions."""
        dialect = self.connection.dialect
        for statement, rows, exact in writes:
            compiled = statement.on(dialect, None)
            cursor = self._raw.executemany(compiled.text, [compiled.bound(row) for row in rows])
            _check(exact, cursor.rowcount, len(rows))
        answers = []
        for statement, params in questions:
            compiled = statement.on(dialect, None)
            answers.append(compiled.rows(self._raw.execute(compiled.text, compiled.bound(params))))
        return answers

    def commit(self, writes: Sequence[Write], events: Sequence[Write]) -> None:
        """Write and commit; the one writer numbers events in commit order by itself."""
        self.speak([*writes, *events], ())
        self._raw.execute("COMMIT")

    def number(self, writes: Sequence[Write], events: Sequence[Write]) -> None:
        """Write the events now."""
        self.speak([*writes, *events], ())

    def rollback(self) -> None:
        """Undo everything."""
        if self._raw.in_transaction:
            self._raw.execute("ROLLBACK")

    def now(self, writes: Sequence[Write]) -> datetime:
        """Ask the clock of this host."""
        self.speak(writes, ())
        return self._clock.now()

    def lock(self, writes: Sequence[Write], key: str) -> None:  # noqa: ARG002
        """Nothing to do: whoever writes holds the one write lock."""
        self.speak(writes, ())


class PostgresLine:
    """A transaction on PostgreSQL: every call is one round trip, BEGIN rides along."""

    def __init__(self, connection: Connection, schema: str, *, writable: bool) -> None:
        self.connection = connection
        self._schema = schema
        self._raw: Any = connection.connection.driver_connection
        self._begin: str | None = (
            "BEGIN ISOLATION LEVEL READ COMMITTED"
            if writable
            else "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
        )
        self._writable = writable
        self._clock: Any = None

    def speak(self, writes: Sequence[Write], questions: Sequence[Question]) -> list[list[Row]]:
        """Carry out the writes, then answer the questions, in one round trip."""
        if not (writes or questions or self._begin):
            return []
        dialect = self.connection.dialect
        checks = []
        answers = []
        with self._raw.pipeline():
            self._started()
            for statement, rows, exact in writes:
                compiled = statement.on(dialect, self._schema)
                cursor = self._raw.cursor()
                cursor.executemany(compiled.text, [compiled.bound(row) for row in rows])
                checks.append((exact, cursor, len(rows)))
            for statement, params in questions:
                compiled = statement.on(dialect, self._schema)
                cursor = self._raw.cursor()
                cursor.execute(compiled.text, compiled.bound(params))
                answers.append((compiled, cursor))
        for exact, cursor, wanted in checks:
            _check(exact, cursor.rowcount, wanted)
        return [compiled.rows(cursor) for compiled, cursor in answers]

    def commit(self, writes: Sequence[Write], events: Sequence[Write]) -> None:
        """Write, number the events under their lock, and commit, in one round trip."""
        if self._writable and any(exact for _, _, exact in writes):
            # What must hit its row is looked at before the commit, not after it.
            self.speak(writes, ())
            writes = ()
        if self._begin and not (writes or events):
            return
        with self._raw.pipeline():
            self._queue(writes, events)
            end = self._raw.cursor()
            end.execute("COMMIT")
        if end.statusmessage != "COMMIT":
            raise Unavailable(
                "the database undid the transaction, because a statement in it had failed",
                hint="Try again.",
            )

    def number(self, writes: Sequence[Write], events: Sequence[Write]) -> None:
        """Write the events now; their lock is held until the end."""
        with self._raw.pipeline():
            self._queue(writes, events)

    def rollback(self) -> None:
        """Undo everything."""
        if not self._raw.closed:
            self._raw.rollback()

    def now(self, writes: Sequence[Write]) -> datetime:
        """Ask the clock of the server, which was done along with BEGIN."""
        self.speak(writes, ())
        at: datetime = self._clock.fetchone()[0]
        return at.astimezone(UTC)

    def lock(self, writes: Sequence[Write], key: str) -> None:
        """Wait for an advisory lock of this transaction."""
        with self._raw.pipeline():
            self._queue(writes, ())
            self._hold(key)

    def _started(self) -> None:
        if self._begin:
            self._raw.execute(self._begin)
            self._clock = self._raw.execute("SELECT clock_timestamp()")
            self._begin = None

    def _queue(self, writes: Sequence[Write], events: Sequence[Write]) -> None:
        self._started()
        for batch in (writes, events):
            if batch is events and events:
                self._hold(_EVENTS)
            for statement, rows, _ in batch:
                compiled = statement.on(self.connection.dialect, self._schema)
                values = [compiled.bound(row) for row in rows]
                self._raw.cursor().executemany(compiled.text, values)

    def _hold(self, key: str) -> None:
        digest = hashlib.blake2b(f"{self._schema}\0{key}".encode(), digest_size=8).digest()
        number = int.from_bytes(digest, signed=True)
        self._raw.execute("SELECT pg_advisory_xact_lock(%s)", (number,))


def _check(exact: bool, hit: int, wanted: int) -> None:  # noqa: FBT001
    """A row that was looked at under its lock cannot have changed; if it did, stop."""
    if exact and hit != wanted:
        raise LostLease(
            f"{wanted - hit} of {wanted} rows changed while they were held",
            hint="Take the run up again; nothing was written.",
        )
