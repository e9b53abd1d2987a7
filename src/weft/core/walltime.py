"""From the clock on the wall to moments in UTC, across every change of the clocks.

A wall time exists once, twice (clocks go back) or not at all (clocks go forward).
The rules are those of `calendar.Dst`; nothing else in Weft knows of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from weft.core.calendar import Dst, WallTimes
from weft.core.errors import Invalid

_SECOND = timedelta(seconds=1)


@lru_cache(maxsize=1024)
def parse_zone(name: str) -> ZoneInfo:
    """Return the IANA time zone `name`. Raises `Invalid` naming it."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Invalid(
            f"there is no time zone {name!r}",
            hint="Use an IANA name such as UTC, Europe/Berlin or America/New_York.",
        ) from None


def wall(at: datetime, zone: ZoneInfo) -> datetime:
    """Return what the clocks of `zone` show at `at`, naive."""
    return at.astimezone(zone).replace(tzinfo=None, fold=0)


def moments(shown: datetime, zone: ZoneInfo) -> tuple[datetime, ...]:
    """Return the moments (UTC, ascending) at which the clocks show `shown`: 0, 1 or 2."""
    first = shown.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if zone.key == "UTC":
        return (first,)
    if wall(first, zone) != shown:
        return ()
    second = shown.replace(tzinfo=zone, fold=1).astimezone(UTC)
    return (first,) if first == second else (first, second)


def moment(shown: datetime, zone: ZoneInfo, dst: Dst = Dst.ONCE) -> datetime | None:
    """Return the one moment at which `shown` counts; None if it is missing and skipped."""
    found = moments(shown, zone)
    if found:
        return found[0]
    return None if dst is Dst.SKIP else _end_of_gap(shown, zone)


def _end_of_gap(shown: datetime, zone: ZoneInfo) -> datetime:
    """Return the moment at which the clocks jumped over `shown`."""
    # Read with the offset from after the change it lies before it, and the other way round.
    low = shown.replace(tzinfo=zone, fold=1).astimezone(UTC)
    high = shown.replace(tzinfo=zone, fold=0).astimezone(UTC)
    while high - low > _SECOND:
        middle = low + timedelta(seconds=(high - low) // _SECOND // 2)
        if wall(middle, zone) < shown:
            low = middle
        else:
            high = middle
    # Clocks change at whole seconds; the search ends within one of it.
    return high.replace(microsecond=0)


@dataclass(frozen=True, slots=True)
class ZonedCalendar:
    """The moments at which wall times come true in a zone: a `CronCalendar`.

    With `running` the times run through the day and follow the time that really
    passes; otherwise each names a point of the day, and `dst` rules it.
    Both directions end where the calendar of years does.
    """

    times: WallTimes
    zone: ZoneInfo
    dst: Dst = Dst.ONCE
    running: bool = False

    def after(self, at: datetime) -> Iterator[datetime]:
        try:
            yield from (self._running_after(at) if self.running else self._points_after(at))
        except OverflowError:
            return

    def before(self, at: datetime) -> Iterator[datetime]:
        try:
            yield from (self._running_before(at) if self.running else self._points_before(at))
        except OverflowError:
            return

    def _points_after(self, at: datetime) -> Iterator[datetime]:
        last = at
        for shown in self.times.after(wall(at, self.zone)):
            found = moment(shown, self.zone, self.dst)
            # Several missing times come true at one moment: that is one fire.
            if found is not None and found > last:
                yield found
                last = found

    def _points_before(self, at: datetime) -> Iterator[datetime]:
        last = at
        for shown in self.times.before(wall(at, self.zone) + _repeated(at, self.zone, fold=1)):
            found = moment(shown, self.zone, self.dst)
            if found is not None and found < last:
                yield found
                last = found

    def _running_after(self, at: datetime) -> Iterator[datetime]:
        again: deque[datetime] = deque()
        for shown in self.times.after(wall(at, self.zone) - _repeated(at, self.zone, fold=0)):
            found = moments(shown, self.zone)
            if not found:
                continue
            while again and again[0] < found[0]:
                yield again.popleft()
            if found[0] > at:
                yield found[0]
            again.extend(second for second in found[1:] if second > at)
        yield from again

    def _running_before(self, at: datetime) -> Iterator[datetime]:
        earlier: deque[datetime] = deque()
        for shown in self.times.before(wall(at, self.zone) + _repeated(at, self.zone, fold=1)):
            found = moments(shown, self.zone)
            if not found:
                continue
            while earlier and earlier[0] > found[-1]:
                yield earlier.popleft()
            if found[-1] < at:
                yield found[-1]
            earlier.extend(first for first in found[:-1] if first < at)
        yield from earlier


def _repeated(at: datetime, zone: ZoneInfo, *, fold: int) -> timedelta:
    """Return by how much the clocks go back around `at`, if it is in that occurrence."""
    local = at.astimezone(zone)
    if zone.key == "UTC" or local.fold != fold:
        return timedelta()
    before, after = local.replace(fold=0).utcoffset(), local.replace(fold=1).utcoffset()
    return max((before or timedelta()) - (after or timedelta()), timedelta())
