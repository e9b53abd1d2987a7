"""Execution dates and what they stand for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from weft.core.calendar import Dst
from weft.core.errors import Invalid
from weft.core.interval import Interval, parse_interval
from weft.core.walltime import parse_zone
from weft.triggers.cron import cron_calendar

ZULU = ZoneInfo("UTC")
NOW = datetime(2023, 10, 11, 12, 13, 14, tzinfo=UTC)


def interval(text: str, zone: str = "UTC", dst: Dst = Dst.ONCE) -> Interval:
    return parse_interval(text, ZoneInfo(zone), cron_calendar, dst=dst)


def utc(*parts: int) -> datetime:
    year, month, day, *clock = parts
    hour, minute, second = (*clock, 0, 0, 0)[:3]
    return datetime(year, month, day, hour, minute, second, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "current"),
    [
        ("@once", NOW),
        ("@always_on", NOW),
        ("@hourly", utc(2023, 10, 11, 12)),
        ("@daily", utc(2023, 10, 11)),
        ("@weekly", utc(2023, 10, 9)),
        ("@monthly", utc(2023, 10, 1)),
        ("*/10 * * * *", utc(2023, 10, 11, 12, 10)),
        ("@yearly", utc(2023, 1, 1)),
    ],
)
def test_the_execution_date_is_the_start_of_the_interval(text: str, current: datetime) -> None:
    assert interval(text).current(NOW) == current


@pytest.mark.parametrize("text", ["@hourly", "@daily", "@weekly", "@monthly", "0 0 1 * *"])
def test_an_interval_begins_at_the_very_moment_of_its_start(text: str) -> None:
    start = utc(2024, 1, 1)  # a Monday
    assert interval(text).current(start) == start
    assert interval(text).current(start - timedelta(microseconds=1)) != start


@pytest.mark.parametrize(
    ("text", "following"),
    [
        ("@once", None),
        ("@always_on", None),
        ("@hourly", utc(2023, 8, 19, 21)),
        ("@daily", utc(2023, 8, 20)),
        ("@weekly", utc(2023, 8, 21)),
        ("@monthly", utc(2023, 9, 1)),
        ("30 9 * 8 *", utc(2023, 8, 20, 9, 30)),
    ],
)
def test_the_next_execution_date(text: str, following: datetime | None) -> None:
    assert interval(text).following(utc(2023, 8, 19, 20, 10, 15)) == following


def test_midnight_is_that_of_the_zone() -> None:
    kolkata = interval("@daily", "Asia/Kolkata")
    assert kolkata.current(NOW) == utc(2023, 10, 10, 18, 30)
    assert interval("@hourly", "Asia/Kolkata").current(NOW) == utc(2023, 10, 11, 11, 30)
    late = utc(2023, 9, 30, 20)
    assert interval("@monthly", "Asia/Kolkata").current(late) == utc(2023, 9, 30, 18, 30)
    assert interval("@monthly").current(late) == utc(2023, 9, 1)


def test_a_midnight_that_does_not_exist_comes_an_hour_later_or_never() -> None:
    """In Beirut the clocks went from 2024-03-31 00:00 (22:00 UTC) to 01:00."""
    noon = utc(2024, 3, 30, 12)
    made_up = [utc(2024, 3, 30, 22), utc(2024, 3, 31, 21)]
    assert interval("@daily", "Asia/Beirut").next_times(noon, 2) == made_up
    assert interval("@daily", "Asia/Beirut", Dst.SKIP).next_times(noon, 1) == made_up[1:]


def test_a_day_that_does_not_exist_has_no_run_of_its_own() -> None:
    """Samoa skipped 2011-12-30 altogether."""
    times = interval("@daily", "Pacific/Apia").next_times(utc(2011, 12, 29), 3)
    days = [at.astimezone(ZoneInfo("Pacific/Apia")).day for at in times]
    assert days == [29, 31, 1]


def test_next_times_are_as_many_as_asked_for() -> None:
    assert interval("@daily").next_times(NOW, 3) == [utc(2023, 10, day) for day in (12, 13, 14)]
    assert interval("@daily").next_times(NOW, 0) == []
    assert interval("@once").next_times(NOW, 3) == []


def test_the_calendar_of_years_ends_quietly() -> None:
    end = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    for text in ("@hourly", "@daily", "@weekly", "@monthly", "0 0 * * *", "*/5 * * * *"):
        for zone in ("UTC", "Asia/Tokyo", "America/New_York"):
            assert interval(text, zone).next_times(end, 3) == []


@pytest.mark.parametrize(
    ("text", "end", "seconds", "previous"),
    [
        ("@hourly", utc(2023, 10, 1, 1), 3600, utc(2023, 9, 30, 23)),
        ("@daily", utc(2023, 10, 2), 86400, utc(2023, 9, 30)),
        ("@monthly", utc(2023, 11, 1), 31 * 86400, utc(2023, 8, 31)),
        ("*/10 * * * *", utc(2023, 10, 1, 0, 10), 600, utc(2023, 9, 30, 23, 50)),
    ],
)
def test_a_span_goes_from_one_fire_to_the_next(
    text: str, end: datetime, seconds: int, previous: datetime
) -> None:
    start = utc(2023, 10, 1)
    span = interval(text).span(start)
    assert (span.start, span.end, span.seconds, span.previous) == (start, end, seconds, previous)
    assert isinstance(span.seconds, int)


def test_a_week_has_its_seconds() -> None:
    span = interval("@weekly").span(utc(2023, 10, 9))
    assert (span.end, span.seconds) == (utc(2023, 10, 16), 604800)


def test_the_day_of_the_change_of_clocks_is_as_long_as_it_is() -> None:
    start = utc(2024, 3, 30, 23)
    span = interval("@daily", "Europe/Berlin").span(start)
    assert (span.end, span.seconds) == (utc(2024, 3, 31, 22), 23 * 3600)


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("@hourly", utc(2024, 1, 31, 11, 30)),
        ("@daily", utc(2024, 2, 1, 10, 30)),
        ("@weekly", utc(2024, 2, 7, 10, 30)),
        ("@monthly", utc(2024, 2, 29, 10, 30)),
        ("0 * * * *", utc(2024, 1, 31, 11)),
    ],
)
def test_a_run_by_hand_gets_a_whole_interval_from_its_own_start(text: str, end: datetime) -> None:
    assert interval(text).span(utc(2024, 1, 31, 10, 30)).end == end


@pytest.mark.parametrize("text", ["@once", "@always_on"])
def test_once_and_always_on_have_no_end(text: str) -> None:
    span = interval(text).span(NOW)
    assert (span.start, span.end, span.seconds, span.previous) == (NOW, None, None, None)


@pytest.mark.parametrize("text", ["random_str", "@fortnightly", "@Daily ago", "61 * * * *"])
def test_a_word_that_nobody_knows_is_an_invalid_cron_expression(text: str) -> None:
    with pytest.raises(Invalid, match="Cron expression is invalid"):
        interval(text)


def test_an_empty_interval_is_refused() -> None:
    with pytest.raises(Invalid, match="the interval is empty") as refusal:
        interval("  ")
    assert "@daily" in (refusal.value.hint or "")


@pytest.mark.parametrize("name", ["Europe/Atlantis", "", "../etc/passwd", "America", "/etc/passwd"])
def test_an_unknown_zone_is_named(name: str) -> None:
    with pytest.raises(Invalid, match="there is no time zone") as refusal:
        parse_zone(name)
    assert repr(name) in refusal.value.message
