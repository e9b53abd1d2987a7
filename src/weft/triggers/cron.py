"""Cron expressions, read by cronsim, in the dialect that Mage's projects are written in.

Five fields (minute, hour, day of month, month, day of week) and an optional sixth
for seconds, at the end. `?` is `*` in either field of the day. If both of those are
restricted, a day that satisfies one of them is enough; only a bare `*` or `?` is no
restriction. `L` is the last day of a month, `L5` its last Friday, `5#3` the third
one. A range may wrap (`22-2`, `SAT-SUN`). `@weekly` means Monday, as it does
everywhere in Weft. Random, hashed and nearest-weekday fields are not known.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from weft.core.calendar import CronCalendar, Dst
from weft.core.errors import Invalid
from weft.core.walltime import ZonedCalendar

_ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 1",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_RANGE = re.compile(r"([0-9A-Z]{1,4})-([0-9A-Z]{1,4})(?:/([0-9]{1,4}))?")
_LAST = re.compile(r"L([0-7])")
_HINT = (
    "Five fields: minute, hour, day of month, month, day of week; a sixth, at the end, is seconds."
)
_FIVE, _SIX, _SEVEN = 5, 6, 7
_SOME_DAY = datetime(2000, 1, 1)  # noqa: DTZ001 - only to let cronsim read an expression


@dataclass(frozen=True, slots=True)
class _Field:
    """One field's smallest value, how many there are, and the names of some."""

    low: int
    count: int
    names: tuple[str, ...] = ()

    def value(self, text: str) -> int | None:
        if text in self.names:
            return self.names.index(text) + self.low
        return int(text) if text.isdecimal() else None


_MINUTE, _HOUR, _DAY = _Field(0, 60), _Field(0, 24), _Field(1, 31)
_MONTH, _WEEKDAY = _Field(1, 12, _MONTHS), _Field(0, 7, _DAYS)
_SECOND = _MINUTE


def cron_calendar(text: str, zone: ZoneInfo, dst: Dst = Dst.ONCE) -> CronCalendar:
    """Return the calendar of a cron expression; a `core.calendar.CronFactory`.

    Raises `Invalid` ("Cron expression is invalid: ...").
    """
    fields = _translate(text)
    expression = " ".join(fields)
    try:
        CronSim(expression, _SOME_DAY)
    except (CronSimError, ValueError) as error:
        reason = str(error).replace("Bad ", "bad ")
        raise Invalid(f"Cron expression is invalid: {text!r} ({reason})", hint=_HINT) from None
    minute, hour = fields[-5], fields[-4]
    running = minute.startswith("*") or hour.startswith("*")
    return ZonedCalendar(_CronTimes(expression), zone, dst=dst, running=running)


@dataclass(frozen=True, slots=True)
class _CronTimes:
    """The wall times of an expression that cronsim understands."""

    expression: str

    def after(self, wall: datetime) -> Iterator[datetime]:
        yield from CronSim(self.expression, wall)

    def before(self, wall: datetime) -> Iterator[datetime]:
        yield from CronSim(self.expression, wall, reverse=True)


def _translate(text: str) -> list[str]:
    """Return the five fields, or seconds and the five, as cronsim wants them."""
    fields = _ALIASES.get(text.strip().lower(), text).upper().split()
    if len(fields) == _SEVEN:
        raise Invalid(
            f"Cron expression is invalid: {text!r} (a seventh field, for years, is not supported)",
            hint="Leave the year out and switch the trigger off when its time is over.",
        )
    if len(fields) not in (_FIVE, _SIX):
        raise Invalid(
            f"Cron expression is invalid: {text!r} ({len(fields)} fields instead of five)",
            hint=_HINT,
        )
    minute, hour, day, month, weekday, *second = fields
    return [
        *(_field(one, _SECOND) for one in second),
        _field(minute, _MINUTE),
        _field(hour, _HOUR),
        _day_field(day, _DAY),
        _field(month, _MONTH),
        _day_field(_LAST.sub(r"\1L", weekday), _WEEKDAY),
    ]


def _field(text: str, field: _Field) -> str:
    return ",".join(_unwrapped(term, field) for term in text.split(","))


def _day_field(text: str, field: _Field) -> str:
    """Spell out stars that stand for a restriction, lest cronsim take them for none."""
    if text in ("*", "?"):
        return "*"
    everything = f"{field.low}-{field.low + field.count - 1}"
    terms = (re.sub(r"^\*", everything, term) for term in text.split(","))
    return ",".join(_unwrapped(term, field) for term in terms)


def _unwrapped(term: str, field: _Field) -> str:
    """Return a range that wraps as a list of its values; anything else as it is."""
    match = _RANGE.fullmatch(term)
    if match is None:
        return term
    start, end = field.value(match[1]), field.value(match[2])
    top = field.low + field.count
    if start is None or end is None or start <= end or start > top or end < field.low:
        return term
    step = int(match[3] or 1)
    length = (end - start) % field.count + 1
    if not step:
        return term
    values = ((start - field.low + i) % field.count + field.low for i in range(0, length, step))
    return ",".join(str(value) for value in values)
