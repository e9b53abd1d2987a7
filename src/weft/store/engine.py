"""The database as a `Store`: connections, transactions, and what goes wrong with them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import SQLAlchemyError

from weft.core.errors import Unavailable
from weft.ports.unit import Store, Unit
from weft.store.address import Address, parse
from weft.store.clock import HostClock
from weft.store.faults import is_disconnect, translate
from weft.store.lines import PostgresLine, SqliteLine
from weft.store.session import Line, Session
from weft.store.unit import SqlUnit

BUSY_SECONDS = 10.0
"""How long a writer waits for another one before it gives up."""


def open_store(url: str, *, sqlite_full_sync: bool = False) -> Store:
    """Return the database at `url`, which `migrate.prepare` has made ready.

    `url` is `sqlite:////abs/path` or `postgresql://...`; `?weft_schema=name` chooses
    another schema than `weft`. With `sqlite_full_sync` a power cut loses nothing
    that was committed, at the price of a flush per commit. Nothing is opened yet.
    Raises `Invalid` for a URL of another kind, `MissingExtra` without psycopg.
    """
    address = parse(url)
    if address.file is not None:
        return SqliteStore(address, full_sync=sqlite_full_sync)
    return PostgresStore(address)


class SqliteStore:
    """One file. One writer at a time in this process; readers never wait for it."""

    def __init__(self, address: Address, *, full_sync: bool) -> None:
        self._writer = connect_sqlite(address, full_sync=full_sync, pool=1)
        self._readers = connect_sqlite(address, full_sync=full_sync, pool=8, read_only=True)
        self._turn = threading.Lock()
        self._clock = HostClock()

    @contextmanager
    def write(self) -> Iterator[Unit]:
        """Begin a transaction; wait for the writer before this one."""
        if not self._turn.acquire(timeout=BUSY_SECONDS):
            raise Unavailable("another write takes too long", hint="Try again in a moment.")
        try:
            with _unit(self._writer, self._line, writable=True) as unit:
                yield unit
        finally:
            self._turn.release()

    def read(self) -> AbstractContextManager[Unit]:
        """Begin a transaction with one consistent view."""
        return _unit(self._readers, self._line, writable=False)

    def close(self) -> None:
        """Give every connection back."""
        self._readers.dispose()
        self._writer.dispose()

    def _line(self, connection: Connection, *, writable: bool) -> Line:
        return SqliteLine(connection, self._clock, writable=writable)


class PostgresStore:
    """One schema of one database."""

    def __init__(self, address: Address) -> None:
        self._engine = connect_postgres(address)
        self._schema = address.schema or ""

    def write(self) -> AbstractContextManager[Unit]:
        """Begin a transaction."""
        return _unit(self._engine, self._line, writable=True)

    def read(self) -> AbstractContextManager[Unit]:
        """Begin a transaction with one consistent view."""
        return _unit(self._engine, self._line, writable=False)

    def close(self) -> None:
        """Give every connection back."""
        self._engine.dispose()

    def _line(self, connection: Connection, *, writable: bool) -> Line:
        return PostgresLine(connection, self._schema, writable=writable)


def connect_sqlite(
    address: Address, *, full_sync: bool = False, pool: int = 1, read_only: bool = False
) -> Engine:
    """Return a pool for one file; transactions begin and end only when told to."""
    engine = create_engine(
        address.url,
        paramstyle="named",
        pool_size=pool,
        max_overflow=0 if not read_only else 24,
        pool_timeout=BUSY_SECONDS,
        connect_args={"timeout": BUSY_SECONDS, "isolation_level": None},
    )
    pragmas = (
        "PRAGMA journal_mode=WAL",
        f"PRAGMA synchronous={'FULL' if full_sync else 'NORMAL'}",
        "PRAGMA foreign_keys=ON",
        f"PRAGMA query_only={'ON' if read_only else 'OFF'}",
    )

    def prepare(raw: Any, _record: object) -> None:
        for pragma in pragmas:
            raw.execute(pragma)

    event.listen(engine, "connect", prepare)
    return engine


def connect_postgres(address: Address) -> Engine:
    """Return a pool for one database; transactions begin and end only when told to."""
    return create_engine(
        address.url,
        isolation_level="AUTOCOMMIT",
        pool_size=5,
        max_overflow=15,
        pool_timeout=BUSY_SECONDS,
        pool_use_lifo=True,
        connect_args={"connect_timeout": int(BUSY_SECONDS), "fallback_application_name": "weft"},
        execution_options={"schema_translate_map": {None: address.schema}},
    )


@contextmanager
def _unit(engine: Engine, line: Any, *, writable: bool) -> Iterator[Unit]:
    """Run one transaction, and tell what went wrong in our own words."""
    connection: Connection | None = None
    session: Session | None = None
    try:
        connection = engine.connect()
        session = Session(line(connection, writable=writable), writable=writable)
        yield SqlUnit(session)
        if writable:
            session.commit()
        else:
            session.rollback()
    except BaseException as error:
        _abandon(engine, connection, session, error)
        told = translate(error)
        if told is None:
            raise
        raise told from error
    finally:
        if connection is not None:
            connection.close()


def _abandon(
    engine: Engine, connection: Connection | None, session: Session | None, error: BaseException
) -> None:
    """Undo what can be undone; a broken line is thrown away with all its fellows."""
    if connection is None:
        return
    lost = is_disconnect(error)
    if not lost and session is not None:
        try:
            session.rollback()
        except Exception as another:  # the line is thrown away instead
            lost = translate(another) is not None
            if not lost and not isinstance(another, SQLAlchemyError):
                connection.invalidate()
                raise
    if lost:
        connection.invalidate()
        engine.dispose()
