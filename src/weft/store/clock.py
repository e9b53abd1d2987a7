"""What time it is for a database that has no clock of its own."""

from __future__ import annotations

from datetime import UTC, datetime


class HostClock:
    """The clock of this host, to the microsecond: SQLite's own stops at the millisecond."""

    def now(self) -> datetime:
        """Return the present time, aware, in UTC."""
        return datetime.now(UTC)
