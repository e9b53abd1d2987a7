"""What is made of the attributes of a trigger before they are stored."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.core.errors import Invalid
from weft.services.schedule_input import ScheduleInput, checked, parse_moment
from weft.triggers.cron import cron_calendar

OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m)))
MOMENTS = st.datetimes(
    # hypothesis takes its bounds without a zone
    min_value=datetime(1, 1, 2),  # noqa: DTZ001
    max_value=datetime(9999, 12, 30),  # noqa: DTZ001
    timezones=OFFSETS,
)


@given(MOMENTS, st.sampled_from([" ", "T"]))
def test_a_time_keeps_its_moment_and_becomes_utc(at: datetime, separator: str) -> None:
    read = parse_moment("start_time", at.isoformat(sep=separator))
    assert read == at
    assert read.tzinfo is UTC


def test_a_time_without_an_offset_is_utc() -> None:
    read = parse_moment("start_time", "2026-03-06 04:53:00")
    assert read == datetime(2026, 3, 6, 4, 53, tzinfo=UTC)
    assert parse_moment("start_time", "2026-03-06") == datetime(2026, 3, 6, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "soon", "2026-13-01", "0001-01-01T00:00:00+10:00"])
def test_what_is_no_time_is_named_with_its_field(text: str) -> None:
    with pytest.raises(Invalid, match="start_time") as refused:
        parse_moment("start_time", text)
    assert refused.value.hint


@pytest.mark.parametrize("empty", [None, ""])
def test_an_empty_name_or_token_counts_as_not_given(empty: str | None) -> None:
    given = ScheduleInput(name=empty, token=empty, description=empty)
    assert checked(given, cron_calendar) == {"description": empty}


def test_a_cron_with_seconds_is_taken() -> None:
    given = ScheduleInput(schedule_interval="0 5 * * * 30")
    assert checked(given, cron_calendar) == given
