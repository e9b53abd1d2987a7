"""Tell announcements to the service log: the channel that is always there."""

from __future__ import annotations

import logging

from weft.core.records import Announcement

_log = logging.getLogger("weft.announcements")


class LogChannel:
    """Writes one line per announcement, at level INFO."""

    name = "log"

    def send(self, announcement: Announcement) -> None:
        _log.info(
            "%s",
            announcement.topic,
            extra={"announcement": announcement.id, "payload": dict(announcement.payload)},
        )
