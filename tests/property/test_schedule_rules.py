"""What holds of every schedule at every moment."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from weft.core.ids import PipelineUuid, ProjectId, ScheduleId
from weft.core.records import PipelineSchedule
from weft.core.schedule import Due, due
from weft.core.states import RunStatus
from weft.triggers.cron import cron_calendar

BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Beirut", "Australia/Lord_Howe"]
INTERVALS = [
    "@hourly",
    "@daily",
    "@weekly",
    "@monthly",
    "*/20 * * * *",
    "30 2 * * *",
    "0 0 1 * MON",
    "*/30 * * * * 15",
]
moments = st.integers(0, 366 * 24 * 3600).map(lambda s: BEGIN + timedelta(seconds=s))
waits = st.integers(1, 50 * 24 * 3600).map(lambda s: timedelta(seconds=s))


@st.composite
def schedules(
    draw: st.DrawFn, intervals: list[str], policies: list[str] | None = None
) -> PipelineSchedule:
    ours = {
        "timezone": draw(st.sampled_from(ZONES)),
        "dst": draw(st.sampled_from(["once", "skip"])),
        "missed": draw(st.sampled_from(policies or ["skip", "latest", "all"])),
    }
    values: dict[str, Any] = {"create_initial_pipeline_run": draw(st.booleans()), "weft": ours}
    return PipelineSchedule(
        id=ScheduleId(1),
        project_id=ProjectId(1),
        pipeline_uuid=PipelineUuid("p"),
        name="n",
        token="t",
        schedule_type="time",
        status="active",
        created_at=BEGIN,
        updated_at=BEGIN,
        schedule_interval=draw(st.sampled_from(intervals)),
        start_time=draw(st.none() | moments),
        last_enabled_at=draw(st.none() | moments),
        settings=values,
    )


class Planner:
    """Fires what is due, as the engine does, and remembers it."""

    def __init__(self, schedule: PipelineSchedule) -> None:
        self.schedule = schedule
        self.dates: list[datetime] = []
        self.keys: list[str] = []
        self.last_status: RunStatus | None = None

    def turn(self, now: datetime) -> Due:
        answer = self.ask(now)
        for fire in answer.fires:
            self.dates.append(fire.execution_date)
            self.keys.append(fire.key)
            self.last_status = RunStatus.COMPLETED
        return answer

    def ask(self, now: datetime) -> Due:
        return due(
            self.schedule,
            cron_calendar,
            now=now,
            count=len(self.dates),
            last_execution_date=max(self.dates, default=None),
            last_status=self.last_status,
        )


@given(schedules(INTERVALS), moments, st.lists(waits, max_size=8))
@settings(max_examples=200, deadline=None)
def test_no_date_is_fired_twice_and_dates_rise(
    schedule: PipelineSchedule, now: datetime, waited: list[timedelta]
) -> None:
    planner = Planner(schedule)
    for wait in [*waited, timedelta()]:
        answer = planner.turn(now)
        assert all(fire.execution_date <= now for fire in answer.fires)
        assert answer.next_at is not None
        assert answer.next_at > now
        assert planner.ask(now).fires == ()
        now += wait
    assert planner.dates == sorted(set(planner.dates))
    assert len(set(planner.keys)) == len(planner.keys)


@given(schedules(INTERVALS), moments)
@settings(max_examples=200, deadline=None)
def test_at_the_announced_moment_something_is_due_and_not_before(
    schedule: PipelineSchedule, now: datetime
) -> None:
    planner = Planner(schedule)
    for _ in range(4):
        answer = planner.turn(now)
        assert answer.next_at is not None
        just_before = answer.next_at - timedelta(microseconds=1)
        assert just_before == now or planner.ask(just_before).fires == ()
        now = answer.next_at
        assert [fire.execution_date for fire in planner.ask(now).fires] == [now]


@given(schedules(INTERVALS, ["skip", "latest"]), moments, st.lists(waits, max_size=8))
@settings(max_examples=200, deadline=None)
def test_skip_and_latest_never_owe_more_than_one_run(
    schedule: PipelineSchedule, now: datetime, waited: list[timedelta]
) -> None:
    planner = Planner(schedule)
    for wait in waited:
        assert len(planner.turn(now).fires) <= 1
        now += wait


@given(schedules(INTERVALS, ["all"]), moments, st.lists(waits, min_size=1, max_size=8))
@settings(max_examples=100, deadline=None)
def test_all_leaves_no_gap_but_what_it_says(
    schedule: PipelineSchedule, now: datetime, waited: list[timedelta]
) -> None:
    """Asked rarely or at every moment announced, the same dates are fired."""
    # Without a time of switching on, or with one that is yet to come, nobody can tell
    # where the past of a new schedule begins.
    known = replace(schedule, last_enabled_at=min(schedule.last_enabled_at or BEGIN, now))
    rare, often = Planner(known), Planner(known)
    rare.turn(now)
    steps = often.turn(now)
    for wait in waited:
        now += min(wait, timedelta(hours=20))
        answer = rare.turn(now)
        assert len(answer.fires) <= 100
        while steps.next_at is not None and steps.next_at <= now:
            steps = often.turn(steps.next_at)
        if answer.left_out is None:
            assert rare.dates == often.dates
        else:
            assert rare.dates[-100:] == often.dates[-100:]
            assert answer.left_out == often.dates[-101]
            rare.dates = list(often.dates)


@given(schedules(["@once"]), moments, st.lists(waits, min_size=1, max_size=6))
@settings(deadline=None)
def test_once_is_once(schedule: PipelineSchedule, now: datetime, waited: list[timedelta]) -> None:
    planner = Planner(schedule)
    for wait in waited:
        answer = planner.turn(now)
        assert answer.next_at is None or now < answer.next_at == schedule.start_time
        now += wait
    late = max(now, schedule.start_time or now)
    planner.turn(late)
    assert planner.keys == ["once"]
    assert planner.ask(late + timedelta(days=9999)) == planner.ask(late)


@given(schedules(["@always_on"]), moments, st.lists(waits, max_size=6))
@settings(deadline=None)
def test_always_on_has_a_key_for_each_of_its_runs(
    schedule: PipelineSchedule, now: datetime, waited: list[timedelta]
) -> None:
    planner = Planner(schedule)
    for wait in waited:
        answer = planner.turn(now)
        assert bool(answer.fires) == (answer.next_at is None)
        now += wait
    assert len(set(planner.keys)) == len(planner.keys)
    assert planner.dates == sorted(set(planner.dates))
