"""Datetimes as the API writes them, everywhere alike."""

from __future__ import annotations

from datetime import UTC, date, datetime


def stamp(at: datetime | None) -> str | None:
    """Return `YYYY-MM-DD HH:MM:SS.ffffff+00:00`; a naive time is taken for UTC."""
    if at is None:
        return None
    utc = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    return utc.isoformat(sep=" ", timespec="microseconds")


def stamp_seconds(at: float) -> str | None:
    """Return the same for seconds since 1970; None for 0, which means unknown."""
    return stamp(datetime.fromtimestamp(at, UTC)) if at else None


def stamp_written(value: object) -> str | None:
    """Return a time as somebody wrote it into YAML: parsed by it, or still text."""
    match value:
        case None:
            return None
        case datetime():
            return stamp(value)
        case date():
            return stamp(datetime(value.year, value.month, value.day, tzinfo=UTC))
        case _:
            return str(value)
