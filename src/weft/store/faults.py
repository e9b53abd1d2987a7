"""What drivers raise, in the words of our own errors."""

from __future__ import annotations

import sqlite3
from typing import Any

from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from weft.core.errors import Conflict, Unavailable, WeftError

_SQLITE_HINTS = {
    sqlite3.SQLITE_BUSY: "Another process writes to the file. Try again.",
    sqlite3.SQLITE_LOCKED: "Another process writes to the file. Try again.",
    sqlite3.SQLITE_READONLY: "Check the permissions of the file and its folder.",
    sqlite3.SQLITE_IOERR: "Check the disk that holds the file; it must be a local one.",
    sqlite3.SQLITE_CORRUPT: "Check the disk, and restore the file from a copy.",
    sqlite3.SQLITE_FULL: "Make room on the disk that holds the file.",
    sqlite3.SQLITE_CANTOPEN: "Check that the folder exists and may be written to.",
    sqlite3.SQLITE_PROTOCOL: "Another process writes to the file. Try again.",
    sqlite3.SQLITE_NOTADB: "The file is not a Weft database: name another one.",
}
_AGAIN = frozenset({"40001", "40P01", "55P03", "57014"})
"""PostgreSQL ended this one transaction for the sake of another."""
_PRIMARY = 0xFF


def translate(error: BaseException) -> WeftError | None:
    """Return our error for a driver's, or None when it is not one (a mistake of ours)."""
    if isinstance(error, PoolTimeout):
        return Unavailable(
            "every connection to the database is busy", hint="Try again in a moment."
        )
    original: Any = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(original, sqlite3.Error):
        return _sqlite(original)
    if hasattr(original, "sqlstate"):
        return _postgres(original)
    if isinstance(error, InterfaceError):
        return Unavailable(f"the database did not answer: {error}", hint="Try again.")
    return None


def is_disconnect(error: BaseException) -> bool:
    """Whether every connection of the pool must be presumed dead."""
    original: Any = error.orig if isinstance(error, DBAPIError) else error
    if not hasattr(original, "sqlstate"):
        return False
    return _is_lost(original)


def _sqlite(error: sqlite3.Error) -> WeftError | None:
    code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY
    if code == sqlite3.SQLITE_CONSTRAINT:
        return Conflict(f"the database refuses it: {error}", hint="Read again what it refers to.")
    if code in _SQLITE_HINTS:
        return Unavailable(f"the database did not answer: {error}", hint=_SQLITE_HINTS[code])
    if "no such table" in str(error):
        return Unavailable(f"the database is not prepared: {error}", hint="Run `weft db upgrade`.")
    return None


def _postgres(error: Any) -> WeftError | None:
    state: str = error.sqlstate or ""
    said = str(error).strip().splitlines()
    message = said[0] if said else type(error).__name__
    if _is_lost(error):
        return Unavailable(
            f"the database did not answer: {message}",
            hint="Check that PostgreSQL runs and can be reached; the same call may work again.",
        )
    if state in _AGAIN:
        return Unavailable(f"the database gave way to another: {message}", hint="Try again.")
    if state.startswith("53"):
        return Unavailable(f"the database is short of something: {message}", hint="Try again.")
    if state.startswith("23"):
        return Conflict(f"the database refuses it: {message}", hint="Read again what it refers to.")
    if state in {"42P01", "3F000"}:
        return Unavailable(
            f"the database is not prepared: {message}", hint="Run `weft db upgrade`."
        )
    return None


def _is_lost(error: Any) -> bool:
    """No state at all means that the server said nothing: the line itself is down."""
    state: str | None = error.sqlstate
    name = type(error).__name__
    if state is None:
        return name in {"OperationalError", "ConnectionTimeout", "InterfaceError", "InternalError"}
    return state.startswith(("08", "57P")) or state == "25P03"
