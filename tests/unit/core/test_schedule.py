"""When a schedule is due: Mage's rules by example, then Weft's own settings."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import process_time
from typing import Any

import pytest

from weft.core.errors import Invalid
from weft.core.ids import PipelineUuid, ProjectId, ScheduleId
from weft.core.records import PipelineSchedule
from weft.core.schedule import ALWAYS_ON_PACE, Due, due, upcoming
from weft.core.schedule_settings import Missed, Overlap, parse_settings
from weft.core.states import RunStatus
from weft.triggers.cron import cron_calendar

NOW = datetime(2023, 10, 11, 12, 13, 14, tzinfo=UTC)
NEW_YEAR = datetime(2024, 1, 1, tzinfo=UTC)  # a Monday
NAMED = ("@hourly", "@daily", "@weekly", "@monthly")


def schedule(interval: str | None, **changes: Any) -> PipelineSchedule:
    plain = PipelineSchedule(
        id=ScheduleId(7),
        project_id=ProjectId(1),
        pipeline_uuid=PipelineUuid("titanic"),
        name="late forest",
        token="t",
        schedule_type="time",
        status="active",
        created_at=NOW,
        updated_at=NOW,
        schedule_interval=interval,
    )
    return replace(plain, **changes)


def ask(
    asked: PipelineSchedule,
    now: datetime = NOW,
    last: datetime | None = None,
    status: RunStatus | None = None,
    **more: Any,
) -> Due:
    fired = last is not None
    return due(
        asked,
        cron_calendar,
        now=now,
        count=int(fired),
        last_execution_date=last,
        last_status=status or (RunStatus.COMPLETED if fired else None),
        **more,
    )


def dates(answer: Due) -> list[datetime]:
    return [fire.execution_date for fire in answer.fires]


@pytest.mark.parametrize(
    "silent",
    [
        schedule("@hourly", status="inactive"),
        schedule(None),
        schedule("@hourly", schedule_type="api"),
        schedule("@hourly", schedule_type="event"),
        schedule("@hourly", schedule_type=None),
    ],
)
def test_what_is_not_an_active_time_schedule_is_never_due(silent: PipelineSchedule) -> None:
    assert ask(silent) == Due()


@pytest.mark.parametrize("interval", [*NAMED, "@once", "@always_on", "* * * * *"])
def test_nothing_is_due_before_the_start(interval: str) -> None:
    answer = ask(schedule(interval, start_time=NOW + timedelta(seconds=1)))
    assert answer.fires == ()
    assert answer.next_at is not None
    assert answer.next_at > NOW


def test_once_is_due_at_or_after_its_start_and_then_never_again() -> None:
    asked = schedule("@once", start_time=NOW)
    assert ask(asked, NOW - timedelta(seconds=1)).next_at == NOW
    [fire] = ask(asked, NOW).fires
    assert (fire.execution_date, fire.key) == (NOW, "once")
    assert ask(asked, NOW).next_at is None
    assert ask(asked, NOW + timedelta(days=1), last=NOW) == ask(asked, NOW, last=NOW)
    assert ask(asked, NOW, last=NOW).fires == ()
    assert ask(asked, NOW - timedelta(days=1), last=NOW).next_at is None


def test_once_is_not_due_when_somebody_made_its_run_by_hand() -> None:
    assert ask(schedule("@once"), status=RunStatus.INITIAL).fires == ()


def test_always_on_is_due_whenever_its_newest_run_has_ended() -> None:
    asked = schedule("@always_on")
    [first] = ask(asked).fires
    assert (first.execution_date, first.key) == (NOW, "always:first")
    earlier = NOW - timedelta(hours=1)
    for status in RunStatus:
        answer = ask(asked, last=earlier, status=status)
        if status in (RunStatus.INITIAL, RunStatus.RUNNING):
            assert answer.fires == ()
        else:
            assert [f.key for f in answer.fires] == [f"always:{earlier.isoformat()}"]
        assert answer.next_at is None


def test_always_on_does_not_spin_when_its_runs_end_at_once() -> None:
    asked = schedule("@always_on")
    answer = ask(asked, NOW + timedelta(seconds=1), last=NOW)
    assert answer.fires == ()
    assert answer.next_at == NOW + ALWAYS_ON_PACE
    assert len(ask(asked, NOW + ALWAYS_ON_PACE, last=NOW).fires) == 1


def test_always_on_goes_on_with_rising_dates_when_the_clock_is_set_back() -> None:
    ahead = NOW + timedelta(hours=1)
    [fire] = ask(schedule("@always_on"), last=ahead).fires
    assert fire.execution_date > ahead


@pytest.mark.parametrize("interval", NAMED)
def test_an_interval_that_began_before_the_start_is_left_out(interval: str) -> None:
    now = NEW_YEAR + timedelta(minutes=3, seconds=14)
    start = NEW_YEAR + timedelta(minutes=3, seconds=13)
    answer = ask(schedule(interval, start_time=start), now)
    assert answer.fires == ()
    assert answer.next_at is not None
    assert answer.next_at >= start


@pytest.mark.parametrize("interval", NAMED)
def test_a_start_on_the_boundary_itself_counts(interval: str) -> None:
    assert dates(ask(schedule(interval, start_time=NEW_YEAR), NEW_YEAR)) == [NEW_YEAR]


@pytest.mark.parametrize("interval", NAMED)
def test_each_interval_is_fired_once(interval: str) -> None:
    now = NEW_YEAR + timedelta(minutes=3)
    asked = schedule(interval, start_time=NEW_YEAR - timedelta(days=31))
    assert dates(ask(asked, now)) == [NEW_YEAR]
    assert ask(asked, now, last=NEW_YEAR).fires == ()
    following = ask(asked, now).next_at
    assert dates(ask(asked, now, last=following)) == [NEW_YEAR]


@pytest.mark.parametrize("interval", NAMED)
def test_an_interval_that_began_before_switching_on_waits_for_the_next(interval: str) -> None:
    now = datetime(2024, 1, 1, 0, 59, 14, tzinfo=UTC)
    earlier = datetime(2023, 12, 31, 15, 59, 59, tzinfo=UTC)
    later = datetime(2024, 2, 1, tzinfo=UTC)
    assert dates(ask(schedule(interval, last_enabled_at=earlier), now)) == [NEW_YEAR]
    waiting = ask(schedule(interval, last_enabled_at=later), now)
    assert waiting.fires == ()
    assert waiting.next_at is not None
    assert waiting.next_at >= later


@pytest.mark.parametrize("interval", NAMED)
@pytest.mark.parametrize("missed", Missed)
def test_an_initial_run_may_be_asked_for(interval: str, missed: Missed) -> None:
    asked = schedule(
        interval,
        last_enabled_at=NOW + timedelta(days=40),
        settings={"create_initial_pipeline_run": True, "weft": {"missed": missed.value}},
    )
    assert len(ask(asked).fires) == 1


def test_an_interval_changed_just_now_is_not_due_at_once() -> None:
    now = datetime(2025, 1, 1, 0, 0, 0, 1, tzinfo=UTC)
    changed = schedule("@hourly", last_enabled_at=now)
    assert ask(changed, now).fires == ()


def test_a_cron_expression_is_due_at_the_moment_it_names() -> None:
    asked = schedule("*/10 * * * *")
    at = NOW.replace(minute=20, second=0)
    assert ask(asked, NOW, last=NOW.replace(minute=10, second=0)).next_at == at
    [fire] = ask(asked, at, last=NOW.replace(minute=10, second=0)).fires
    assert (fire.execution_date, fire.key) == (at, "2023-10-11T12:20:00+00:00")


def test_two_who_ask_at_different_moments_get_the_same_key() -> None:
    asked = schedule("@daily")
    assert ask(asked, NOW).fires == ask(asked, NOW + timedelta(hours=2)).fires


def test_midnight_is_that_of_the_time_zone() -> None:
    asked = schedule("@daily", settings={"weft": {"timezone": "America/New_York"}})
    answer = ask(asked)
    assert dates(answer) == [datetime(2023, 10, 11, 4, tzinfo=UTC)]
    assert answer.next_at == datetime(2023, 10, 12, 4, tzinfo=UTC)
    assert answer.fires[0].key == "2023-10-11T04:00:00+00:00"


def missed(policy: str, **changes: Any) -> PipelineSchedule:
    return schedule("@hourly", settings={"weft": {"missed": policy}}, **changes)


LAST = datetime(2023, 10, 11, 8, tzinfo=UTC)
HOURS = [datetime(2023, 10, 11, hour, tzinfo=UTC) for hour in (9, 10, 11, 12)]


def test_after_three_hours_away_only_the_current_hour_is_run() -> None:
    assert dates(ask(schedule("@hourly"), last=LAST)) == HOURS[-1:]
    assert dates(ask(missed("skip"), last=LAST)) == HOURS[-1:]
    assert dates(ask(missed("latest"), last=LAST)) == HOURS[-1:]


def test_all_that_was_missed_can_be_run_oldest_first() -> None:
    answer = ask(missed("all"), last=LAST)
    assert dates(answer) == HOURS
    assert len({fire.key for fire in answer.fires}) == 4
    assert answer.left_out is None


def test_the_time_switched_off_is_missed_too_for_latest_and_all() -> None:
    on = NOW - timedelta(minutes=1)
    assert dates(ask(missed("skip", last_enabled_at=on), last=LAST)) == []
    assert dates(ask(missed("latest", last_enabled_at=on), last=LAST)) == HOURS[-1:]
    assert dates(ask(missed("all", last_enabled_at=on), last=LAST)) == HOURS


@pytest.mark.parametrize("policy", ["latest", "all"])
def test_a_first_run_is_not_a_missed_one(policy: str) -> None:
    on = NOW - timedelta(minutes=1)
    waiting = ask(missed(policy, last_enabled_at=on))
    assert waiting.fires == ()
    assert waiting.next_at == NOW.replace(hour=13, minute=0, second=0)


def test_all_begins_where_a_schedule_that_never_fired_was_switched_on() -> None:
    on = HOURS[1] - timedelta(minutes=30)
    assert dates(ask(missed("all", last_enabled_at=on))) == HOURS[1:]
    assert dates(ask(missed("all"))) == HOURS[-1:]
    initial = {"create_initial_pipeline_run": True, "weft": {"missed": "all"}}
    assert dates(ask(schedule("@hourly", last_enabled_at=on, settings=initial))) == HOURS


def test_all_does_not_reach_behind_the_start() -> None:
    assert dates(ask(missed("all", start_time=HOURS[2]), last=LAST)) == HOURS[2:]


def test_all_is_capped_and_says_what_it_gives_up() -> None:
    answer = ask(missed("all"), last=LAST, most=3)
    assert dates(answer) == HOURS[1:]
    assert answer.left_out == HOURS[0]
    assert any("2023-10-11T09:00:00" in note for note in answer.notes)


def test_a_year_away_from_a_schedule_of_every_second_is_soon_told() -> None:
    asked = schedule("* * * * * *", settings={"weft": {"missed": "all"}})
    begun = process_time()
    answer = ask(asked, last=NOW - timedelta(days=365))
    assert len(answer.fires) == 100
    assert process_time() - begun < 1


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"weft": {"timezone": "Europe/Atlantis"}}, "Europe/Atlantis"),
        ({"weft": {"timezone": 7}}, "timezone is 7"),
        ({"weft": {"dst": "twice"}}, "twice"),
        ({"weft": {"missed": "some"}}, "some"),
        ({"weft": {"overlap": "panic"}}, "panic"),
        ({"weft": {"missed": ["all"]}}, "all"),
        ({"weft": "UTC"}, "settings.weft is 'UTC'"),
        (["weft"], "settings is"),
        ({"pipeline_run_limit": "many"}, "many"),
        ({"pipeline_run_limit": True}, "True"),
        ({"pipeline_run_limit": -1}, "-1"),
    ],
)
def test_a_setting_that_makes_no_sense_names_schedule_and_value(settings: Any, named: str) -> None:
    with pytest.raises(Invalid) as refusal:
        ask(schedule("@daily", settings=settings))
    assert "'late forest' (7)" in refusal.value.message
    assert named in refusal.value.message
    assert refusal.value.hint


def test_a_bad_cron_expression_names_its_schedule() -> None:
    with pytest.raises(Invalid, match="Cron expression is invalid") as refusal:
        ask(schedule("random_str"))
    assert "'late forest' (7)" in refusal.value.message


def test_unknown_keys_are_noted_and_ignored() -> None:
    asked = schedule("@daily", settings={"colour": 1, "weft": {"tone": 2}, "timeout": 9})
    answer = ask(asked)
    assert len(answer.fires) == 1
    assert [note.split(" ")[0] for note in answer.notes] == [
        "settings.colour",
        "settings.weft.tone",
    ]


def test_a_switch_that_is_no_switch_counts_as_python_counts_and_is_noted() -> None:
    read = parse_settings({"create_initial_pipeline_run": 1, "skip_if_previous_running": ""})
    assert read.create_initial
    assert read.overlap is Overlap.ALLOW
    assert len(read.notes) == 2


def test_overlap_says_what_becomes_of_a_run_beside_an_open_one() -> None:
    assert parse_settings(None).overlap is Overlap.ALLOW
    assert parse_settings({"skip_if_previous_running": True}).overlap is Overlap.SKIP
    both = {"skip_if_previous_running": True, "weft": {"overlap": "allow"}}
    assert parse_settings(both).overlap is Overlap.ALLOW
    waiting = parse_settings({"pipeline_run_limit": 5, "weft": {"overlap": "wait"}})
    assert (waiting.overlap, waiting.run_limit) == (Overlap.WAIT, 1)
    assert parse_settings({"pipeline_run_limit": 5}).run_limit == 5


def test_upcoming_times_begin_at_the_start() -> None:
    start = datetime(2023, 12, 24, tzinfo=UTC)
    times = upcoming(schedule("@daily", start_time=start), cron_calendar, now=NOW, n=2)
    assert times == [start, start + timedelta(days=1)]
    assert upcoming(schedule(None), cron_calendar, now=NOW, n=2) == []
    assert upcoming(schedule("@once"), cron_calendar, now=NOW, n=2) == []
