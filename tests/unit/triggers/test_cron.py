"""The cron dialect: recorded answers, refusals, changes of the clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from weft.core.calendar import Dst
from weft.core.errors import Invalid
from weft.triggers.cron import cron_calendar

NOW = datetime(2024, 2, 27, 12, 13, 14, tzinfo=UTC)
ZULU = ZoneInfo("UTC")
BERLIN = ZoneInfo("Europe/Berlin")
RECORDED = [
    tuple(cell.strip() for cell in line.split("|"))
    for line in Path(__file__).with_name("cron_answers.txt").read_text().splitlines()
    if not line.startswith("#")
]


def text(times: list[datetime]) -> str:
    return " ".join(at.strftime("%Y-%m-%dT%H:%M:%S") for at in times)


def berlin(times: list[datetime]) -> list[str]:
    return [at.astimezone(BERLIN).strftime("%d %H:%M%z") for at in times]


@pytest.mark.parametrize(("expression", "before", "after"), RECORDED)
def test_an_expression_fires_when_croniter_says(expression: str, before: str, after: str) -> None:
    calendar = cron_calendar(expression, ZULU)
    assert text(list(islice(calendar.before(NOW), 2))) == before
    assert text(list(islice(calendar.after(NOW), 4))) == after


def test_the_recorded_answers_are_there() -> None:
    assert len(RECORDED) >= 60


def test_weekly_means_monday() -> None:
    assert text(list(islice(cron_calendar("@weekly", ZULU).after(NOW), 1))) == (
        "2024-03-04T00:00:00"
    )


def test_times_of_fire_are_aware_and_in_utc() -> None:
    for zone in (ZULU, BERLIN):
        calendar = cron_calendar("0 9 * * *", zone)
        assert next(calendar.after(NOW)).tzinfo is UTC
        assert next(calendar.before(NOW)).tzinfo is UTC


def test_a_fire_is_strictly_after_and_strictly_before() -> None:
    calendar = cron_calendar("* * * * *", ZULU)
    minute = NOW.replace(second=0)
    tick = timedelta(microseconds=1)
    assert next(calendar.after(minute)) == minute + timedelta(minutes=1)
    assert next(calendar.after(minute - tick)) == minute
    assert next(calendar.before(minute)) == minute - timedelta(minutes=1)
    assert next(calendar.before(minute + tick)) == minute


@pytest.mark.parametrize(
    "expression",
    [
        "random_str",
        "",
        "* * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * 32 * *",
        "* * * 13 *",
        "* * * * 8",
        "*/0 * * * *",
        "0-59/0 * * * *",
        "50-10/0 * * * *",
        "? 0 * * *",
        "H * * * *",
        "0 0 W * *",
        "0 0 31 2 *",
        "0 0 * * FOO",
        "* * * * * 60",
        "-5 * * * *",
        "1- * * * *",
        "@reboot",
        "@fortnightly",
        "9" * 5000 + " * * * *",
    ],
)
def test_a_bad_expression_is_refused_in_words(expression: str) -> None:
    with pytest.raises(Invalid, match="Cron expression is invalid") as refusal:
        cron_calendar(expression, ZULU)
    assert refusal.value.hint


def test_a_year_is_refused_with_the_way_out() -> None:
    with pytest.raises(Invalid, match="a seventh field, for years") as refusal:
        cron_calendar("0 0 1 1 * 0 2025", ZULU)
    assert "year" in (refusal.value.hint or "")


@given(st.lists(st.text("0123456789*/,-#L?WSUNMON@ ", max_size=7), min_size=4, max_size=7))
@settings(max_examples=400)
def test_any_text_is_understood_or_refused(fields: list[str]) -> None:
    expression = " ".join(fields)
    try:
        calendar = cron_calendar(expression, ZULU)
    except Invalid as refusal:
        assert "Cron expression is invalid" in refusal.message  # noqa: PT017 - either is fine
        return
    times = list(islice(calendar.after(NOW), 3))
    assert all(a < b for a, b in pairwise([NOW, *times]))


def test_a_missing_time_fires_when_the_gap_ends() -> None:
    before = datetime(2024, 3, 30, 23, tzinfo=UTC)
    calendar = cron_calendar("30 2 * * *", BERLIN)
    assert berlin(list(islice(calendar.after(before), 2))) == ["31 03:00+0200", "01 02:30+0200"]


def test_several_missing_times_fire_once_together() -> None:
    before = datetime(2024, 3, 30, 23, tzinfo=UTC)
    calendar = cron_calendar("0,30,45 2,3 * * *", BERLIN)
    assert berlin(list(islice(calendar.after(before), 4))) == [
        "31 03:00+0200",
        "31 03:30+0200",
        "31 03:45+0200",
        "01 02:00+0200",
    ]


def test_a_missing_time_can_be_skipped() -> None:
    before = datetime(2024, 3, 30, 23, tzinfo=UTC)
    calendar = cron_calendar("30 2 * * *", BERLIN, Dst.SKIP)
    assert berlin(list(islice(calendar.after(before), 1))) == ["01 02:30+0200"]


@pytest.mark.parametrize("dst", Dst)
def test_a_repeated_time_fires_at_its_first_occurrence_only(dst: Dst) -> None:
    before = datetime(2024, 10, 26, 12, tzinfo=UTC)
    calendar = cron_calendar("30 2 * * *", BERLIN, dst)
    assert berlin(list(islice(calendar.after(before), 2))) == ["27 02:30+0200", "28 02:30+0100"]
    between = datetime(2024, 10, 27, 1, 10, tzinfo=UTC)
    assert berlin(list(islice(calendar.after(between), 1))) == ["28 02:30+0100"]
    assert berlin(list(islice(calendar.before(between), 1))) == ["27 02:30+0200"]


def test_what_runs_through_the_day_follows_the_time_that_passes() -> None:
    calendar = cron_calendar("*/30 * * * *", BERLIN)
    spring, autumn = datetime(2024, 3, 31, 0, tzinfo=UTC), datetime(2024, 10, 27, 0, tzinfo=UTC)
    for begin in (spring, autumn):
        times = list(islice(calendar.after(begin), 8))
        assert times == [begin + timedelta(minutes=30 * i) for i in range(1, 9)]
        assert list(islice(calendar.before(times[-1]), 8)) == [*times[-2::-1], begin]


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Asia/Beirut", "UTC"])
@pytest.mark.parametrize(
    "expression",
    ["30 2 * * *", "0 0 * * *", "15 1 * * 0", "0 */3 * * *", "5 * * * *"],
)
def test_a_year_of_fires_is_that_of_cronsim(expression: str, zone: str) -> None:
    begin = datetime(2024, 1, 1, tzinfo=ZoneInfo(zone))
    end = datetime(2025, 1, 1, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    expected: list[datetime] = []
    for at in CronSim(expression, begin):
        moment = at.astimezone(UTC)
        if moment >= end:
            break
        expected.append(moment)
    ours = cron_calendar(expression, ZoneInfo(zone)).after(begin.astimezone(UTC))
    assert list(islice(ours, len(expected))) == expected
