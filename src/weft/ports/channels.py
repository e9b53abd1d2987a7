"""A way to tell somebody. Plugin group `weft.channels`."""

from __future__ import annotations

from typing import Protocol

from weft.core.records import Announcement


class Channel(Protocol):
    """Tells announcements of the outbox to somebody outside."""

    name: str

    def send(self, announcement: Announcement) -> None:
        """Tell it; raise whatever goes wrong, and it will be tried again later."""
        ...
