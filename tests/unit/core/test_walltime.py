"""Wall times that exist twice, once or never."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from weft.core.calendar import Dst
from weft.core.walltime import ZonedCalendar, moment, moments

BERLIN = ZoneInfo("Europe/Berlin")
FIRST, SECOND = datetime(2024, 10, 27, 0, 30, tzinfo=UTC), datetime(2024, 10, 27, 1, 30, tzinfo=UTC)
REPEATED = FIRST.astimezone(BERLIN).replace(tzinfo=None, fold=0)
MISSING = REPEATED.replace(month=3, day=31)
END_OF_GAP = datetime(2024, 3, 31, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Only:
    """A single wall time, and no other ever."""

    shown: datetime

    def after(self, wall: datetime) -> Iterator[datetime]:
        return iter([self.shown] if self.shown > wall else [])

    def before(self, wall: datetime) -> Iterator[datetime]:
        return iter([self.shown] if self.shown < wall else [])


def test_a_wall_time_comes_true_twice_once_or_never() -> None:
    assert moments(REPEATED, BERLIN) == (FIRST, SECOND)
    assert moments(REPEATED.replace(hour=4), BERLIN) == (FIRST.replace(hour=3),)
    assert moments(MISSING, BERLIN) == ()
    assert moments(MISSING, ZoneInfo("UTC")) == (MISSING.replace(tzinfo=UTC),)


def test_the_one_moment_that_counts() -> None:
    assert moment(REPEATED, BERLIN, Dst.ONCE) == FIRST
    assert moment(REPEATED, BERLIN, Dst.SKIP) == FIRST
    assert moment(MISSING, BERLIN, Dst.ONCE) == END_OF_GAP
    assert moment(MISSING, BERLIN, Dst.SKIP) is None


def test_the_last_wall_time_of_all_still_comes_true_twice() -> None:
    calendar = ZonedCalendar(Only(REPEATED), BERLIN, running=True)
    early, late = FIRST.replace(day=1), FIRST.replace(day=28)
    assert list(calendar.after(early)) == [FIRST, SECOND]
    assert list(calendar.before(late)) == [SECOND, FIRST]
    assert list(calendar.after(FIRST)) == [SECOND]
    assert list(calendar.before(SECOND)) == [FIRST]
