"""Where a database is: what a URL says, checked before anything is opened."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from weft.core.errors import Invalid, MissingExtra

DEFAULT_SCHEMA = "weft"
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}")


@dataclass(frozen=True, slots=True)
class Address:
    """A database's address: `file` is set for SQLite, `schema` for PostgreSQL."""

    url: URL
    file: Path | None
    schema: str | None

    def __str__(self) -> str:
        return self.url.render_as_string(hide_password=True)


def parse(url: str) -> Address:
    """Read `sqlite:////abs/path` or `postgresql://...[?weft_schema=name]`.

    Raises `Invalid` for any other URL, `MissingExtra` without psycopg.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise Invalid(
            "the database URL cannot be read",
            hint="Write sqlite:////absolute/path/weft.db or postgresql://user@host/database.",
        ) from None
    match parsed.get_backend_name():
        case "sqlite":
            return _sqlite(parsed)
        case "postgresql" | "postgres":
            return _postgres(parsed)
        case other:
            raise Invalid(
                f"a database of kind {other!r} is not supported",
                hint="Use SQLite (sqlite:////path) or PostgreSQL (postgresql://...).",
            )


def _sqlite(url: URL) -> Address:
    if not url.database or url.database == ":memory:":
        raise Invalid(
            "SQLite needs a file", hint="Write sqlite:////absolute/path/weft.db (four slashes)."
        )
    return Address(URL.create("sqlite", database=url.database), Path(url.database), None)


def _postgres(url: URL) -> Address:
    if find_spec("psycopg") is None:
        raise MissingExtra(
            "PostgreSQL needs the package psycopg", hint="pip install 'weft[postgres]'"
        )
    schema = url.query.get("weft_schema", DEFAULT_SCHEMA)
    if not isinstance(schema, str) or not _SCHEMA.fullmatch(schema):
        raise Invalid(
            f"{schema!r} cannot be the name of a schema",
            hint="Use small letters, digits and underscores.",
        )
    bare = url.difference_update_query(["weft_schema"])
    return Address(bare.set(drivername="postgresql+psycopg"), None, schema)
