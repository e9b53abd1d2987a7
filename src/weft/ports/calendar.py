"""When a cron expression fires. Implemented over cronsim in `triggers/cron.py`."""

from __future__ import annotations

from weft.core.calendar import CronCalendar, CronFactory

__all__ = ["CronCalendar", "CronFactory"]
