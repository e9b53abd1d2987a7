"""Make a database ready: new ones at a stroke, older ones step by step.

A fresh database is made from the tables as they are now and stamped with the newest
version, so that nobody waits for Alembic at a normal start; a test holds that both
ways lead to the same database. The version lies in a table of our own.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib import import_module
from pathlib import Path

from sqlalchemy import (
    Column,
    Connection,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    inspect,
)
from sqlalchemy.schema import CreateSchema

from weft.core.errors import Conflict, Where
from weft.store.address import Address, parse
from weft.store.engine import connect_postgres, connect_sqlite
from weft.store.faults import translate
from weft.store.tables import VERSION_TABLE, metadata

VERSIONS = ("0001",)
"""Every version there has been, oldest first; the last one is that of this code."""

_version = Table(
    VERSION_TABLE,
    MetaData(),
    Column("version_num", String(32), nullable=False),
    # As Alembic would name it.
    PrimaryKeyConstraint("version_num", name=f"{VERSION_TABLE}_pkc"),
)


def prepare(url: str, *, upgrade: bool) -> str:
    """Make the database at `url` fit for this code, and return its version.

    One that is empty is filled. One of an older version is upgraded if `upgrade` says
    so: on SQLite after copying the file beside itself (`weft.db.0001.bak`). Two that
    do it at once wait for each other. Raises `Conflict` when the database is older and
    may not be upgraded, or newer, or not ours; `Unavailable` when it cannot be reached.
    """
    address = parse(url)
    if address.file is not None:
        address.file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _alone(address) as connection:
            found = _found(connection, address)
            if found is None:
                _create(connection)
                found = VERSIONS[-1]
            elif _is_older(found, address):
                _allowed(found, address, upgrade=upgrade)
                if address.file is not None:
                    _copy(address.file, found)
                # Alembic takes longer to import than everything else here together.
                import_module("weft.store.migrations.run").upgrade(connection, address.schema)
                found = VERSIONS[-1]
    except Exception as error:
        told = translate(error)
        if told is None:
            raise
        if address.file is not None:
            told.where = Where(str(address.file))
        raise told from error
    return found


@contextmanager
def _alone(address: Address) -> Iterator[Connection]:
    """Begin a transaction in which nobody else can be doing the same."""
    if address.file is not None:
        engine = connect_sqlite(address)
        begin = ["BEGIN IMMEDIATE"]
    else:
        engine = connect_postgres(address)
        begin = [
            "BEGIN",
            f"SELECT pg_advisory_xact_lock(hashtext('weft prepares {address.schema}'))",
        ]
    try:
        with engine.connect() as connection:
            for statement in begin:
                connection.exec_driver_sql(statement)
            if address.schema is not None:
                connection.execute(CreateSchema(address.schema, if_not_exists=True))
            yield connection
            connection.exec_driver_sql("COMMIT")
    finally:
        engine.dispose()


def _found(connection: Connection, address: Address) -> str | None:
    """Return the version of the database, or None of an empty one."""
    names = inspect(connection).get_table_names(schema=address.schema)
    if VERSION_TABLE in names:
        found: str | None = connection.execute(_version.select()).scalar()
        if found is not None:
            return found
    if names:
        raise Conflict(
            f"the database {address} holds tables, but none that says which Weft made them",
            hint="Name another file, or another schema (?weft_schema=...).",
        )
    return None


def _create(connection: Connection) -> None:
    metadata.create_all(connection, checkfirst=False)
    _version.create(connection)
    connection.execute(_version.insert().values(version_num=VERSIONS[-1]))


def _is_older(found: str, address: Address) -> bool:
    if found not in VERSIONS:
        raise Conflict(
            f"the database {address} is of version {found!r}, which this Weft does not know",
            hint="It was used by a newer Weft: install that one, or name another database.",
        )
    return found != VERSIONS[-1]


def _allowed(found: str, address: Address, *, upgrade: bool) -> None:
    if not upgrade:
        raise Conflict(
            f"the database {address} is of version {found}, older than this Weft",
            hint="Run `weft db upgrade`.",
        )


def _copy(file: Path, version: str) -> None:
    """Keep the database as it was; nobody else writes to it now, as we hold its lock."""
    kept = file.with_name(f"{file.name}.{version}.bak")
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(kept)) as copy:
        # Not a copy of the file: what was written last lies in the log beside it.
        source.backup(copy)
