"""How often a schedule fires: `@once @hourly @daily @weekly @monthly @always_on`, or cron.

An execution date is the *start* of an interval: the daily run made at 00:00:10 on
the 5th is that of the 5th, 00:00. Weeks begin on Monday. With a time zone, midnight
is that of the zone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from itertools import islice
from typing import assert_never
from zoneinfo import ZoneInfo

from weft.core.calendar import CronCalendar, CronFactory, Dst
from weft.core.errors import Invalid
from weft.core.walltime import ZonedCalendar, moment, wall

_TICK = timedelta(microseconds=1)


class Kind(StrEnum):
    """The kinds of interval, by the word that Mage's files use."""

    ONCE = "@once"
    HOURLY = "@hourly"
    DAILY = "@daily"
    WEEKLY = "@weekly"
    MONTHLY = "@monthly"
    ALWAYS_ON = "@always_on"
    CRON = "cron"


@dataclass(frozen=True, slots=True)
class Span:
    """What an execution date stands for; all of it None where there is no end."""

    start: datetime
    end: datetime | None = None
    seconds: float | None = None
    previous: datetime | None = None


@dataclass(frozen=True, slots=True)
class Interval:
    """A parsed interval in one time zone; `calendar` is None for once and always on."""

    text: str
    kind: Kind
    zone: ZoneInfo
    dst: Dst = Dst.ONCE
    calendar: CronCalendar | None = None

    def current(self, now: datetime) -> datetime | None:
        """Return the execution date at `now` (UTC): the last fire time not after it.

        For once and always on that is `now`. None if there was none yet. At the very
        moment of a fire it is that moment, for cron too.
        """
        return now if self.calendar is None else next(self.calendar.before(now + _TICK), None)

    def following(self, at: datetime) -> datetime | None:
        """Return the first execution date after `at`, or None if there is none."""
        return None if self.calendar is None else next(self.calendar.after(at), None)

    def next_times(self, now: datetime, n: int) -> list[datetime]:
        """Return up to `n` execution dates after `now`, ascending."""
        return [] if self.calendar is None else list(islice(self.calendar.after(now), n))

    def backwards(self, now: datetime) -> Iterator[datetime]:
        """Yield the execution dates up to and including `now`, newest first."""
        return iter(()) if self.calendar is None else self.calendar.before(now + _TICK)

    def span(self, execution_date: datetime) -> Span:
        """Return start, end, length and previous start of a run with this execution date.

        From one fire to the next; from an execution date that is none (somebody asked
        for the run by hand), one hour, day, week or month on, by the clock of the zone.
        The previous start lies equally long before the start.
        """
        end = self._end(execution_date)
        if end is None:
            return Span(execution_date)
        length = end - execution_date
        seconds = length.total_seconds()
        return Span(
            execution_date,
            end,
            int(seconds) if seconds.is_integer() else seconds,
            execution_date - length,
        )

    def _end(self, start: datetime) -> datetime | None:
        if self.kind is Kind.CRON or self.following(start - _TICK) == start:
            return self.following(start)
        shown = wall(start, self.zone)
        match self.kind:
            case Kind.ONCE | Kind.ALWAYS_ON:
                return None
            case Kind.HOURLY:
                return start + timedelta(hours=1)
            case Kind.DAILY:
                return moment(shown + timedelta(days=1), self.zone)
            case Kind.WEEKLY:
                return moment(shown + timedelta(days=7), self.zone)
            case Kind.MONTHLY:
                return moment(_a_month_on(shown), self.zone)
            case _:
                assert_never(self.kind)


@lru_cache(maxsize=4096)
def parse_interval(
    text: str, zone: ZoneInfo, cron: CronFactory, *, dst: Dst = Dst.ONCE
) -> Interval:
    """Return the interval that `text` names. Raises `Invalid`.

    `cron` makes the calendar of whatever is not one of the words of `Kind`.
    """
    word = text.strip()
    if not word:
        raise Invalid("the interval is empty", hint=_HINT)
    kind = _WORDS.get(word, Kind.CRON)
    match kind:
        case Kind.ONCE | Kind.ALWAYS_ON:
            return Interval(word, kind, zone, dst)
        case Kind.CRON:
            return Interval(word, kind, zone, dst, cron(word, zone, dst))
        case Kind.HOURLY | Kind.DAILY | Kind.WEEKLY | Kind.MONTHLY:
            running = kind is Kind.HOURLY
            return Interval(
                word, kind, zone, dst, ZonedCalendar(_Starts(kind), zone, dst=dst, running=running)
            )
        case _:
            assert_never(kind)


_WORDS = {kind.value: kind for kind in Kind if kind is not Kind.CRON}
_HINT = f"Use {', '.join(_WORDS)} or a cron expression."


@dataclass(frozen=True, slots=True)
class _Starts:
    """The wall times at which hours, days, weeks or months start."""

    kind: Kind

    def after(self, wall: datetime) -> Iterator[datetime]:
        start = self._floor(wall)
        while True:
            start = self._floor(start + _LONGEST[self.kind])
            yield start

    def before(self, wall: datetime) -> Iterator[datetime]:
        start = self._floor(wall - _TICK)
        while True:
            yield start
            start = self._floor(start - _TICK)

    def _floor(self, wall: datetime) -> datetime:
        hour = wall.replace(minute=0, second=0, microsecond=0)
        if self.kind is Kind.HOURLY:
            return hour
        day = hour.replace(hour=0)
        if self.kind is Kind.WEEKLY:
            return day - timedelta(days=day.weekday())
        return day.replace(day=1) if self.kind is Kind.MONTHLY else day


_LONGEST = {
    Kind.HOURLY: timedelta(hours=1),
    Kind.DAILY: timedelta(days=1),
    Kind.WEEKLY: timedelta(days=7),
    Kind.MONTHLY: timedelta(days=32),
}
"""Added to the start of an interval, it ends within the next one."""


def _a_month_on(wall: datetime) -> datetime:
    """Return the same day and time of the next month, or its last day if it is shorter."""
    first = wall.replace(day=1)
    target = first + timedelta(days=32)
    target = target.replace(day=1)
    length = ((target + timedelta(days=32)).replace(day=1) - target).days
    return target.replace(day=min(wall.day, length))
