"""The variables of a run: who wins, what Weft adds, and where a run's outputs lie.

From low to high, merged key by key and never deeper: the pipeline's variables, the
schedule's, the run's; event variables for keys that are still free; then what Weft
itself says (`ds`, `hr`, `env`, ...); then what the caller adds. Values are JSON, but
for the times that Weft adds: those are aware datetimes in UTC.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from weft.core.errors import Invalid
from weft.core.ids import ScheduleId
from weft.core.interval import Interval
from weft.core.json import Json, JsonMap
from weft.core.records import PipelineRun, PipelineSchedule

_NOTHING: JsonMap = MappingProxyType({})
_PARTITION = "execution_partition"
_START, _END = "interval_start_datetime", "interval_end_datetime"
_SECONDS, _PREVIOUS = "interval_seconds", "interval_start_datetime_previous"
_SAFE_PART = re.compile(r"(?!\.{1,2}$)[\w.:+=-]{1,200}", re.ASCII)


def run_variables(
    *,
    pipeline_variables: JsonMap | None,
    schedule: PipelineSchedule | None,
    run: PipelineRun,
    interval: Interval | None = None,
    extra: JsonMap | None = None,
) -> dict[str, Any]:
    """Return what every block of `run` gets as keyword arguments.

    `interval` is that of a schedule of type time; then the `interval_*` keys are
    set, and `ds` and `hr` speak of its time zone (UTC unless it says otherwise).
    `schedule` is None once it was deleted.
    """
    merged: dict[str, Any] = dict(pipeline_variables or _NOTHING)
    merged.update((schedule and schedule.variables) or _NOTHING)
    merged.update(run.variables or _NOTHING)
    event_variables = run.event_variables or _NOTHING
    for key, value in event_variables.items():
        merged.setdefault(key, value)
    if run.execution_date is not None:
        local = run.execution_date.astimezone(interval.zone if interval else UTC)
        merged["ds"], merged["hr"] = local.strftime("%Y-%m-%d"), local.strftime("%H")
    event = merged.get("event")
    merged |= {
        "env": "prod",
        "event": {**(event if isinstance(event, Mapping) else _NOTHING), **event_variables},
        "execution_date": run.execution_date,
        _PARTITION: run_partition(run),
        "pipeline_run_id": run.id,
        "trigger_name": schedule.name if schedule else run.schedule_name,
    }
    merged |= _interval_variables(merged, run.execution_date, interval)
    merged.update(extra or _NOTHING)
    return merged


def _interval_variables(
    merged: JsonMap, execution_date: datetime | None, interval: Interval | None
) -> dict[str, Any]:
    """Return the `interval_*` keys; those that somebody set already win, as times."""
    given = {key: merged.get(key) for key in (_START, _END, _SECONDS, _PREVIOUS)}
    if any(value is not None for value in given.values()):
        return {key: value if key == _SECONDS else _time(value) for key, value in given.items()}
    if interval is None or execution_date is None:
        return {}
    span = interval.span(execution_date)
    return {_START: span.start, _END: span.end, _SECONDS: span.seconds, _PREVIOUS: span.previous}


def _time(value: Json) -> Json:
    """Return text that is a time as that time; whatever else it is, unchanged."""
    if not isinstance(value, str):
        return value
    try:
        return _utc(value)
    except ValueError:
        return value


def run_partition(run: PipelineRun) -> str:
    """Return where the outputs and logs of a run lie, as a relative path.

    The run's own `execution_partition` if it has one that is safe as a path; else
    that of its schedule and execution date. A run whose schedule is gone keeps
    apart from all others by its id.
    """
    own = (run.variables or _NOTHING).get(_PARTITION)
    if isinstance(own, str) and is_partition(own):
        return own
    if run.schedule_id is None:
        return partition(f"run_{run.id}", run.execution_date)
    return partition(run.schedule_id, run.execution_date)


def partition(schedule_id: ScheduleId | str, execution_date: datetime | None) -> str:
    """Return the partition of a run that the planner made: `7/20240131T235959`."""
    return _partition(schedule_id, execution_date, "%Y%m%dT%H%M%S")


def asked_partition(schedule_id: ScheduleId, execution_date: datetime) -> str:
    """Return the partition of a run that somebody asked for: `7/20240131T235959_000001`."""
    return _partition(schedule_id, execution_date, "%Y%m%dT%H%M%S_%f")


def asked_variables(
    variables: JsonMap | None, schedule_id: ScheduleId, execution_date: datetime
) -> dict[str, Any]:
    """Return the variables of a run that somebody asked for, with its partition.

    A partition among `variables` is kept. Raises `Invalid` if it would leave the
    folder that outputs live in.
    """
    asked = dict(variables or _NOTHING)
    own = asked.get(_PARTITION)
    if own is None:
        return {**asked, _PARTITION: asked_partition(schedule_id, execution_date)}
    if not isinstance(own, str) or not is_partition(own):
        raise Invalid(
            f"variables.{_PARTITION} is {own!r}, which is no relative path of plain names",
            hint="Leave it out, or use letters, digits, '_', '-', '.' and single slashes.",
        )
    return asked


def is_partition(text: str) -> bool:
    """Whether `text` is a relative path of plain names that stays where it begins."""
    return all(_SAFE_PART.fullmatch(part) for part in text.split("/"))


def _partition(owner: ScheduleId | str, execution_date: datetime | None, pattern: str) -> str:
    if execution_date is None:
        return str(owner)
    return f"{owner}/{execution_date.astimezone(UTC).strftime(pattern)}"


@dataclass(frozen=True, slots=True)
class RunFields:
    """What a request may say of the run that it asks for; None where it says nothing."""

    variables: JsonMap | None = None
    execution_date: datetime | None = None
    backfill_id: int | None = None


def split_trigger_body(body: Json) -> tuple[RunFields, JsonMap | None]:
    """Split the body of a trigger request into the run's fields and event variables.

    `pipeline_run` holds the fields; every other key at the top is an event variable,
    and nothing is both. Without a body (None) the event variables are None; with one
    that has no such key, even `{}`, they are empty. Raises `Invalid`.
    """
    if body is None:
        return RunFields(), None
    if not isinstance(body, Mapping):
        raise Invalid(
            "the body is not a JSON object",
            hint='Send an object such as {"pipeline_run": {"variables": {"key": "value"}}}.',
        )
    events = {key: value for key, value in body.items() if key != "pipeline_run"}
    return run_fields(body.get("pipeline_run")), events


def run_fields(given: Json, *, ignored: Collection[str] = ()) -> RunFields:
    """Check the `pipeline_run` of a request; None counts as empty.

    `ignored` keys may be there and mean nothing here. Raises `Invalid`, naming every
    key that is not known, or the value whose type is wrong.
    """
    if given is None:
        return RunFields()
    if not isinstance(given, Mapping):
        raise Invalid("pipeline_run is not an object", hint=_FIELDS_HINT)
    unknown = [key for key in given if key not in _FIELDS and key not in ignored]
    if unknown:
        raise Invalid(
            f"pipeline_run has unknown keys: {', '.join(map(repr, unknown))}", hint=_FIELDS_HINT
        )
    variables, backfill = given.get("variables"), given.get("backfill_id")
    if variables is not None and not isinstance(variables, Mapping):
        raise Invalid("pipeline_run.variables is not an object", hint=_FIELDS_HINT)
    if backfill is not None and (isinstance(backfill, bool) or not isinstance(backfill, int)):
        raise Invalid("pipeline_run.backfill_id is not a whole number", hint=_FIELDS_HINT)
    return RunFields(variables, _execution_date(given.get("execution_date")), backfill)


_FIELDS = ("variables", "execution_date", "backfill_id")
_FIELDS_HINT = (
    "It may have: variables (an object), execution_date (ISO 8601), backfill_id (a number). "
    "Values for the blocks belong into variables."
)


def _execution_date(value: Json) -> datetime | None:
    if value is None:
        return None
    try:
        return _utc(value)
    except (TypeError, ValueError):
        raise Invalid(
            f"pipeline_run.execution_date is {value!r}, which is no time in ISO 8601",
            hint="Write it as 2024-01-31T23:59:59, in UTC or with an offset such as +01:00.",
        ) from None


def _utc(text: str) -> datetime:
    """Return a time in ISO 8601; without an offset it is UTC. Raises `ValueError`."""
    at = datetime.fromisoformat(text)
    try:
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(str(error)) from None
