"""What the rules of time need to be told: which wall times, in which zone, by which rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from enum import StrEnum
from typing import Protocol, TypeAlias
from zoneinfo import ZoneInfo


class Dst(StrEnum):
    """What becomes of a wall time that a change of the clocks removes or repeats.

    It concerns times that name a point of the day (`@daily`, `30 2 * * *`). Whatever
    runs through the day (`@hourly`, a cron expression whose minute or hour begins with
    `*`) follows the time that really passes: it fires at every moment at which the
    clock shows a matching time, in a repeated hour twice, in a missing one never.
    """

    ONCE = "once"
    """Exactly once each: a missing time at the first moment after the gap, a repeated
    one at its first occurrence."""
    SKIP = "skip"
    """A missing time does not fire at all; a repeated one at its first occurrence."""


class CronCalendar(Protocol):
    """Fire times of one expression in one time zone; aware times in, UTC out."""

    def after(self, at: datetime) -> Iterator[datetime]:
        """Yield the fire times strictly after `at`, ascending."""
        ...

    def before(self, at: datetime) -> Iterator[datetime]:
        """Yield the fire times strictly before `at`, descending."""
        ...


class WallTimes(Protocol):
    """The same for naive times, as a clock on the wall shows them where it never changes."""

    def after(self, wall: datetime) -> Iterator[datetime]:
        """Yield the times strictly after `wall`, ascending."""
        ...

    def before(self, wall: datetime) -> Iterator[datetime]:
        """Yield the times strictly before `wall`, descending."""
        ...


CronFactory: TypeAlias = Callable[[str, ZoneInfo, Dst], CronCalendar]
"""Make the calendar of a cron expression; raises `Invalid` for a bad one."""
