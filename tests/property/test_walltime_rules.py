"""Intervals and cron in many zones, against going through every minute of the clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weft.core.calendar import Dst
from weft.core.interval import Interval, parse_interval
from weft.triggers.cron import cron_calendar

MINUTE = timedelta(minutes=1)
DAYS = 4

CHANGES = {
    "Europe/Berlin": (2024, 3, 31),
    "Europe/London": (2024, 10, 27),
    "Europe/Lisbon": (2024, 3, 31),
    "Europe/Dublin": (2024, 10, 27),
    "America/New_York": (2024, 11, 3),
    "America/Los_Angeles": (2024, 3, 10),
    "America/St_Johns": (2024, 3, 10),
    "America/Sao_Paulo": (2018, 11, 4),  # the gap is at midnight
    "America/Havana": (2024, 3, 10),  # so it is here
    "America/Santiago": (2024, 9, 8),  # and here
    "America/Asuncion": (2024, 3, 24),  # midnight comes twice
    "America/Caracas": (2016, 5, 1),  # half an hour forward for good
    "Asia/Beirut": (2024, 3, 31),
    "Asia/Tehran": (2022, 3, 22),
    "Asia/Amman": (2021, 10, 29),
    "Asia/Kolkata": (2024, 2, 1),  # no change, but half an hour off
    "Asia/Kathmandu": (2024, 2, 1),
    "Asia/Pyongyang": (2018, 5, 5),  # half an hour, shortly before midnight
    "Africa/Cairo": (2024, 4, 26),
    "Africa/Casablanca": (2024, 3, 10),
    "Australia/Lord_Howe": (2024, 4, 7),  # clocks go back by half an hour
    "Australia/Sydney": (2024, 10, 6),
    "Pacific/Auckland": (2024, 9, 29),
    "Pacific/Chatham": (2024, 4, 7),
    "Pacific/Apia": (2011, 12, 30),  # a day that does not exist
    "Antarctica/Troll": (2024, 3, 31),  # two hours at once
    "UTC": (2024, 2, 28),
}

Matches = Callable[[datetime], bool]
POINTS: dict[str, Matches] = {
    "@daily": lambda w: (w.hour, w.minute) == (0, 0),
    "@weekly": lambda w: (w.weekday(), w.hour, w.minute) == (0, 0, 0),
    "@monthly": lambda w: (w.day, w.hour, w.minute) == (1, 0, 0),
    "30 2 * * *": lambda w: (w.hour, w.minute) == (2, 30),
    "0,30,45 0-3 * * *": lambda w: w.hour in range(4) and w.minute in (0, 30, 45),
    "15 1 * * SAT,SUN": lambda w: w.weekday() in (5, 6) and (w.hour, w.minute) == (1, 15),
    "45 23 1,15 * MON": lambda w: (
        (w.day in (1, 15) or w.weekday() == 0) and (w.hour, w.minute) == (23, 45)
    ),
}
RUNNING: dict[str, Matches] = {
    "@hourly": lambda w: w.minute == 0,
    "*/10 * * * *": lambda w: w.minute % 10 == 0,
    "5 */2 * * *": lambda w: w.hour % 2 == 0 and w.minute == 5,
    "* 1-2 * * *": lambda w: w.hour in (1, 2),
}


@lru_cache(maxsize=1)
def clock(name: str) -> list[tuple[datetime, datetime]]:
    """Every minute around the change: what it is in UTC, and what the clock shows."""
    zone = ZoneInfo(name)
    begin = datetime(*CHANGES[name], tzinfo=UTC) - timedelta(days=DAYS)
    minutes = (begin + MINUTE * i for i in range(2 * DAYS * 24 * 60))
    return [(at, at.astimezone(zone).replace(tzinfo=None, fold=0)) for at in minutes]


def points(name: str, matches: Matches, dst: Dst) -> list[datetime]:
    """Each matching time of the wall once: when first shown, else when jumped over."""
    shown: set[datetime] = set()
    fires: set[datetime] = set()
    newest = clock(name)[0][1] - MINUTE
    for at, wall in clock(name):
        jumped = newest + MINUTE
        while jumped < wall:
            if dst is Dst.ONCE and matches(jumped):
                fires.add(at)
            jumped += MINUTE
        if wall not in shown and matches(wall):
            fires.add(at)
        shown.add(wall)
        newest = max(newest, wall)
    return sorted(fires)


def running(name: str, matches: Matches) -> list[datetime]:
    return [at for at, wall in clock(name) if matches(wall)]


def interval(text: str, name: str, dst: Dst) -> Interval:
    return parse_interval(text, ZoneInfo(name), cron_calendar, dst=dst)


def within(name: str, found: Interval) -> list[datetime]:
    begin, end = clock(name)[0][0], clock(name)[-1][0]
    calendar = found.calendar
    assert calendar is not None
    fires: list[datetime] = []
    for at in calendar.after(begin - timedelta(microseconds=1)):
        if at > end:
            break
        fires.append(at)
    return fires


@pytest.mark.parametrize("dst", Dst)
@pytest.mark.parametrize("name", CHANGES)
def test_every_fire_is_where_the_clock_on_the_wall_says(name: str, dst: Dst) -> None:
    for text, matches in POINTS.items():
        assert within(name, interval(text, name, dst)) == points(name, matches, dst), text
    for text, matches in RUNNING.items():
        assert within(name, interval(text, name, dst)) == running(name, matches), text


@given(
    st.sampled_from(sorted(CHANGES)),
    st.sampled_from([*POINTS, *RUNNING]),
    st.sampled_from(Dst),
    st.integers(0, 2 * DAYS * 24 * 3600 * 1_000_000),
)
@settings(max_examples=300)
def test_from_any_moment_both_directions_agree(name: str, text: str, dst: Dst, offset: int) -> None:
    begin = datetime(*CHANGES[name], tzinfo=UTC) - timedelta(days=DAYS)
    now = begin + timedelta(microseconds=offset)
    found = interval(text, name, dst)
    calendar = found.calendar
    assert calendar is not None
    ahead = list(islice(calendar.after(now), 12))
    assert ahead == sorted(set(ahead))
    assert ahead[0] > now
    for earlier, later in zip([None, *ahead], ahead, strict=False):
        current = found.current(later - timedelta(microseconds=1))
        assert current is not None
        assert current == (earlier or next(calendar.before(later)))
        assert found.current(later) == later
    behind = list(islice(calendar.before(ahead[-1]), 12))
    assert behind[:11] == ahead[-2::-1]
    assert behind[11] <= now
    assert next(calendar.after(behind[11])) == ahead[0]
