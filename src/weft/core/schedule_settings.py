"""What the settings of a schedule say, as far as making runs goes.

Mage's keys stand at the top; Weft's own live under `weft`:

    settings:
      create_initial_pipeline_run: false
      skip_if_previous_running: false
      pipeline_run_limit: 1
      weft: {timezone: Europe/Berlin, dst: once, missed: skip, overlap: allow}

A value that makes no sense is an error; a key that nobody knows is only noted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar
from zoneinfo import ZoneInfo

from weft.core.calendar import Dst
from weft.core.errors import Invalid
from weft.core.json import Json, JsonMap
from weft.core.walltime import parse_zone


class Missed(StrEnum):
    """What is made of execution dates that passed while nobody was there to fire.

    An interval that has begun and not ended is never missed, however late one comes:
    every policy makes the run of the current interval.
    """

    SKIP = "skip"
    """Only the current interval, and not that one if it began before the schedule was
    last switched on. Older intervals are not made up for."""
    LATEST = "latest"
    """Only the current interval, but also if it began while the schedule was switched
    off (unless it has never fired: a first run obeys the rule of `skip`)."""
    ALL = "all"
    """Every interval after the last one fired, the time switched off included, oldest
    first; of very many only the newest. If it has never fired: every interval since it
    was last switched on."""


class Overlap(StrEnum):
    """What happens when a run is due while an earlier one of the schedule is open."""

    ALLOW = "allow"
    """They run side by side."""
    SKIP = "skip"
    """The new one is made and cancelled at once (Mage's `skip_if_previous_running`)."""
    WAIT = "wait"
    """The new one waits until no earlier one is running."""


@dataclass(frozen=True, slots=True)
class ScheduleSettings:
    """The settings, checked; `run_limit` says how many runs may be `running` at once."""

    zone: ZoneInfo
    dst: Dst = Dst.ONCE
    missed: Missed = Missed.SKIP
    overlap: Overlap = Overlap.ALLOW
    create_initial: bool = False
    run_limit: int | None = None
    notes: tuple[str, ...] = ()


_KNOWN = frozenset(
    {
        "allow_blocks_to_fail",
        "create_initial_pipeline_run",
        "invalid_schedule_interval",
        "landing_time_enabled",
        "pipeline_run_limit",
        "skip_if_previous_running",
        "timeout",
        "timeout_status",
        "weft",
    }
)
_FLAGS = ("create_initial_pipeline_run", "skip_if_previous_running")
_OURS = frozenset({"timezone", "dst", "missed", "overlap"})
_NONE: JsonMap = {}


def parse_settings(settings: Json) -> ScheduleSettings:
    """Read a schedule's settings; None means none. Raises `Invalid` naming key and value."""
    top = _mapping(settings, "settings")
    ours = _mapping(top.get("weft"), "settings.weft")
    unknown = [f"settings.{key}" for key in top if key not in _KNOWN]
    unknown += [f"settings.weft.{key}" for key in ours if key not in _OURS]
    notes = [f"{name} is not known and is ignored" for name in unknown] + _odd_flags(top)
    usual = Overlap.SKIP if top.get("skip_if_previous_running") else Overlap.ALLOW
    overlap = _choice(ours, "overlap", usual)
    limit = _limit(top.get("pipeline_run_limit"))
    return ScheduleSettings(
        zone=_zone(ours.get("timezone")),
        dst=_choice(ours, "dst", Dst.ONCE),
        missed=_choice(ours, "missed", Missed.SKIP),
        overlap=overlap,
        create_initial=bool(top.get("create_initial_pipeline_run")),
        run_limit=1 if overlap is Overlap.WAIT else limit,
        notes=tuple(notes),
    )


def _mapping(value: Json, name: str) -> JsonMap:
    if value is None:
        return _NONE
    if not isinstance(value, Mapping):
        raise Invalid(f"{name} is {value!r}", hint="It must be a mapping of keys to values.")
    return value


def _zone(value: Json) -> ZoneInfo:
    if value is None:
        return parse_zone("UTC")
    if not isinstance(value, str):
        raise Invalid(
            f"settings.weft.timezone is {value!r}", hint="Use an IANA name such as Europe/Berlin."
        )
    return parse_zone(value)


def _odd_flags(settings: JsonMap) -> list[str]:
    """Tell which switches are neither true nor false: their truth counts, as in Python."""
    return [
        f"settings.{key} is {settings[key]!r} and counts as {str(bool(settings[key])).lower()}"
        for key in _FLAGS
        if not isinstance(settings.get(key), bool | None)
    ]


def _limit(value: Json) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    raise Invalid(
        f"settings.pipeline_run_limit is {value!r}", hint="It must be a whole number, 0 or more."
    )


_Choice = TypeVar("_Choice", Dst, Missed, Overlap)


def _choice(settings: JsonMap, key: str, default: _Choice) -> _Choice:
    value = settings.get(key)
    if value is None:
        return default
    for choice in type(default):
        if choice == value:
            return choice
    words = ", ".join(type(default))
    raise Invalid(f"settings.weft.{key} is {value!r}", hint=f"It must be one of: {words}.")
