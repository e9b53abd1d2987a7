"""Which runs a schedule owes now, and when to ask again: a pure function.

    due(schedule, cron, now=..., count=..., ...) -> Due(fires, next_at, ...)

The rules are those of Mage's scheduler, with a time zone and a policy for what was
missed (`schedule_settings`). Each fire carries a key that is the same for whoever
computes it, so that two engines make one run of it. Landing times are not known here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from weft.core.calendar import CronFactory
from weft.core.errors import Invalid
from weft.core.interval import Interval, Kind, parse_interval
from weft.core.records import PipelineSchedule
from weft.core.schedule_settings import Missed, ScheduleSettings, parse_settings
from weft.core.states import RUN_OPEN, RunStatus

MOST_MISSED = 100
"""How many runs `missed: all` makes in one go, at most."""

ALWAYS_ON_PACE = timedelta(seconds=10)
"""Least time between two fires of `@always_on`: a run that ends at once must not
become a loop that burns the processor. It is the period of Mage's scheduler."""

_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Fire:
    """One run to be made; `key` is unique among the fires of its schedule."""

    execution_date: datetime
    key: str


@dataclass(frozen=True, slots=True)
class Due:
    """The answer: runs to be made, oldest first, and when to ask again.

    `next_at` lies after `now`; None means that only a change of the schedule, or the
    end of one of its runs, can make it due. `left_out` is the newest execution date
    that the cap of `missed: all` gave up. `notes` tell what is odd but harmless.
    """

    fires: tuple[Fire, ...] = ()
    next_at: datetime | None = None
    left_out: datetime | None = None
    settings: ScheduleSettings | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Past:
    """What a schedule has fired so far (see `ports.schedules.Fired`)."""

    count: int
    last: datetime | None
    status: RunStatus | None


def due(
    schedule: PipelineSchedule,
    cron: CronFactory,
    *,
    now: datetime,
    count: int,
    last_execution_date: datetime | None,
    last_status: RunStatus | None,
    most: int = MOST_MISSED,
) -> Due:
    """Return the runs that `schedule` owes at `now`, given what it has fired.

    `count` and `last_execution_date` speak of the runs made here, `last_status` of
    the newest run whoever made it. Nothing is due of a schedule that is not active,
    not of type time, or has no interval.

    * `@once`: one run, at or after `start_time`, if it has no run at all.
    * `@always_on`: at or after `start_time`, whenever its newest run has ended.
    * Others: the current execution date, unless it lies before `start_time` (so the
      first run is the first boundary at or after it), was fired already, or lies
      before `last_enabled_at` without `create_initial_pipeline_run`; and what
      `settings.weft.missed` adds.

    Raises `Invalid`, naming the schedule and the value that makes no sense.
    """
    if schedule.status != "active" or schedule.schedule_type != "time":
        return Due()
    if schedule.schedule_interval is None:
        return Due()
    settings, interval = parse_schedule(schedule, cron)
    past = _Past(count, last_execution_date, last_status)
    early = schedule.start_time is not None and now < schedule.start_time
    fires: tuple[Fire, ...] = ()
    left_out: datetime | None = None
    next_at: datetime | None
    if interval.kind in (Kind.ONCE, Kind.ALWAYS_ON):
        next_at = schedule.start_time if early else _pace(interval.kind, past, now)
        if next_at is None:
            fires = _unbounded(interval.kind, past, now)
        elif interval.kind is Kind.ONCE and past.status is not None:
            next_at = None
    else:
        dates, left_out = _owed(schedule, settings, interval, past, now=now, most=most)
        fires = tuple(Fire(date, fire_key(date)) for date in dates)
        next_at = _next(schedule, settings, interval, past, now)
    return Due(fires, next_at, left_out, settings, _notes(settings, left_out, most))


def parse_schedule(
    schedule: PipelineSchedule, cron: CronFactory
) -> tuple[ScheduleSettings, Interval]:
    """Return the settings and the interval of a schedule that has one.

    Raises `Invalid`, naming the schedule and the value that makes no sense.
    """
    try:
        settings = parse_settings(schedule.settings)
        text = schedule.schedule_interval or ""
        return settings, parse_interval(text, settings.zone, cron, dst=settings.dst)
    except Invalid as error:
        raise Invalid(
            f"trigger {schedule.name!r} ({schedule.id}) of pipeline {schedule.pipeline_uuid!r}: "
            f"{error.message}",
            hint=error.hint,
        ) from error


def upcoming(
    schedule: PipelineSchedule, cron: CronFactory, *, now: datetime, n: int
) -> list[datetime]:
    """Return the next `n` execution dates after `now`, not before `start_time`.

    Empty for once and always on. Raises `Invalid` as `due` does.
    """
    if schedule.schedule_interval is None:
        return []
    _, interval = parse_schedule(schedule, cron)
    begin = now if schedule.start_time is None else max(now, schedule.start_time - _TICK)
    return interval.next_times(begin, n)


def fire_key(execution_date: datetime) -> str:
    """Return the key of the run with this execution date: its time in UTC."""
    return execution_date.astimezone(UTC).isoformat()


def _pace(kind: Kind, past: _Past, now: datetime) -> datetime | None:
    """Return when `@always_on` may fire again, if that is not yet."""
    if kind is not Kind.ALWAYS_ON or past.last is None or past.status in RUN_OPEN:
        return None
    # A last run in the future means that the clock was set back: do not wait for it.
    again = past.last + ALWAYS_ON_PACE
    return again if past.last <= now < again else None


def _unbounded(kind: Kind, past: _Past, now: datetime) -> tuple[Fire, ...]:
    """Return the fire of `@once` or `@always_on` at `now`, if it owes one."""
    if kind is Kind.ONCE:
        return () if past.count or past.status is not None else (Fire(now, "once"),)
    if past.status in RUN_OPEN:
        return ()
    if past.last is None:
        return (Fire(now, "always:first"),)
    # Named after the run before it, a fire is unique as long as these dates rise.
    return (Fire(max(now, past.last + _TICK), f"always:{fire_key(past.last)}"),)


def _owed(
    schedule: PipelineSchedule,
    settings: ScheduleSettings,
    interval: Interval,
    past: _Past,
    *,
    now: datetime,
    most: int,
) -> tuple[list[datetime], datetime | None]:
    """Return the execution dates to fire, ascending, and the newest one given up."""
    current = interval.current(now)
    if current is None or not _allowed(schedule, settings, past, current):
        return [], None
    if settings.missed is not Missed.ALL:
        return [current], None
    since = past.last
    if since is None:
        # Never fired: what is missed began with the schedule's being switched on.
        enabled = min(schedule.last_enabled_at or current, current)
        since = (interval.current(enabled) if settings.create_initial else enabled) or enabled
        since -= _TICK
    if schedule.start_time is not None:
        since = max(since, schedule.start_time - _TICK)
    dates: list[datetime] = []
    for date in interval.backwards(now):
        if date <= since:
            break
        if len(dates) == most:
            return dates[::-1], date
        dates.append(date)
    return dates[::-1], None


def _allowed(
    schedule: PipelineSchedule, settings: ScheduleSettings, past: _Past, date: datetime
) -> bool:
    """Whether the current execution date is to be fired."""
    if schedule.start_time is not None and date < schedule.start_time:
        return False
    enabled = _enabled(schedule, settings, past)
    if enabled is not None and date < enabled:
        return False
    if past.last is None:
        return True
    # With `skip` an older date may still be owed, say after a change of the interval.
    return date != past.last if settings.missed is Missed.SKIP else date > past.last


def _enabled(
    schedule: PipelineSchedule, settings: ScheduleSettings, past: _Past
) -> datetime | None:
    """Return the time before which intervals do not count, if there is one."""
    forgiven = settings.missed is not Missed.SKIP and past.last is not None
    return None if settings.create_initial or forgiven else schedule.last_enabled_at


def _next(
    schedule: PipelineSchedule,
    settings: ScheduleSettings,
    interval: Interval,
    past: _Past,
    now: datetime,
) -> datetime | None:
    """Return the first moment after `now` at which an execution date will be owed."""
    bounds = (schedule.start_time, _enabled(schedule, settings, past))
    begin = max([now, *(bound - _TICK for bound in bounds if bound is not None)])
    if past.last is not None and settings.missed is not Missed.SKIP:
        begin = max(begin, past.last)
    following = interval.following(begin)
    return interval.following(following) if following and following == past.last else following


def _notes(settings: ScheduleSettings, left_out: datetime | None, most: int) -> tuple[str, ...]:
    if left_out is None:
        return settings.notes
    cut = f"missed execution dates up to {fire_key(left_out)} are given up: the newest {most} run"
    return (*settings.notes, cut)
