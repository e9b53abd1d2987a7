"""What people may say of a trigger, and whether it makes sense."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypedDict

from weft.core.calendar import CronFactory
from weft.core.errors import Invalid
from weft.core.interval import parse_interval
from weft.core.schedule_settings import parse_settings
from weft.core.walltime import parse_zone

TYPES = ("api", "event", "time")
STATUSES = ("active", "inactive")
TOKEN_SHORTEST = 16


class ScheduleInput(TypedDict, total=False):
    """The attributes of a trigger that were given; types have been checked."""

    name: str | None
    description: str | None
    schedule_type: str | None
    schedule_interval: str | None
    start_time: str | None
    status: str
    variables: dict[str, Any] | None
    settings: dict[str, Any] | None
    sla: int | None
    repo_path: str | None
    token: str | None
    last_enabled_at: str | None
    global_data_product_uuid: str | None


KNOWN = frozenset(ScheduleInput.__annotations__)


def checked(given: ScheduleInput, cron: CronFactory) -> dict[str, Any]:
    """Return the columns to be written. Raises `Invalid` naming field and value.

    An empty name or token means that one is to be generated or kept.
    """
    columns: dict[str, Any] = {**given}
    for key in ("name", "token"):
        if columns.get(key, "") in {None, ""}:
            columns.pop(key, None)
    _check_choice(columns, "schedule_type", (*TYPES, None))
    _check_choice(columns, "status", STATUSES)
    for key in ("start_time", "last_enabled_at"):
        if columns.get(key) is not None:
            columns[key] = parse_moment(key, columns[key])
    if "name" in columns and not str(columns["name"]).strip():
        raise Invalid("name: a name needs a character that can be seen")
    if "token" in columns and len(columns["token"]) < TOKEN_SHORTEST:
        raise Invalid(
            f"token: a token of fewer than {TOKEN_SHORTEST} characters can be guessed",
            hint="Leave it out, and one is generated.",
        )
    if columns.get("sla") is not None and columns["sla"] < 0:
        raise Invalid("sla: a time in seconds is not negative")
    parse_settings(columns.get("settings"))
    _check_interval(columns, cron)
    return columns


def parse_moment(field: str, text: str) -> datetime:
    """Return a time from ISO 8601, with a space or `T`; without an offset it is UTC.

    Raises `Invalid` naming the field.
    """
    try:
        at = datetime.fromisoformat(text.strip())
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Invalid(
            f"{field}: {text[:80]!r} is no date and time",
            hint="Write 2026-03-06 04:53:00 (UTC), or with an offset 2026-03-06T04:53:00+01:00.",
        ) from None


def _check_choice(columns: dict[str, Any], key: str, allowed: tuple[str | None, ...]) -> None:
    if key in columns and columns[key] not in allowed:
        words = ", ".join("null" if one is None else one for one in allowed)
        raise Invalid(f"{key}: {columns[key]!r} is not known", hint=f"Use one of: {words}.")


def _check_interval(columns: dict[str, Any], cron: CronFactory) -> None:
    if columns.get("schedule_interval") is None:
        return
    try:
        parse_interval(columns["schedule_interval"], parse_zone("UTC"), cron)
    except Invalid as error:
        raise Invalid(
            f"Cron expression is invalid. schedule_interval: {error.message}", hint=error.hint
        ) from None
