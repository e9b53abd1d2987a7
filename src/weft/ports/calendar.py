"""When a cron expression fires. Implemented over cronsim in `triggers/cron.py`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Protocol


class CronCalendar(Protocol):
    """Fire times of one expression in one time zone; aware times in, UTC out."""

    def after(self, at: datetime) -> Iterator[datetime]:
        """Yield the fire times strictly after `at`, ascending."""
        ...

    def before(self, at: datetime) -> Iterator[datetime]:
        """Yield the fire times strictly before `at`, descending."""
        ...
