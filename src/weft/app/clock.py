"""The clock of this host."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class SystemClock:
    """Asks the operating system."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()
