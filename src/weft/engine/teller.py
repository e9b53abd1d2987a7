"""Tells the world, after the commit: signals at once, announcements at least once.

A thread of its own, so that a slow listener or channel never holds up the loop. It
sleeps until it is rung or a delivery is to be tried again; while idle it asks the
database nothing.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection

from weft.core.errors import Unavailable
from weft.core.records import Announcement
from weft.engine.world import World

log = logging.getLogger(__name__)

BATCH = 100
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 60.0


class Teller:
    """Drains the outbox into channels and rings signals."""

    def __init__(self, world: World) -> None:
        self._store = world.store
        self._channels = world.channels
        self._signals = world.signals
        self._hold = world.hold
        self._checkpoint = world.checkpoint
        self._news = threading.Condition()
        self._topics: set[str] = set()
        self._outbox = True
        self._stopping = False
        self._wait: float | None = None

    def ring(self, topics: Collection[str], *, outbox: bool) -> None:
        """Have these topics signalled, and the outbox drained, soon."""
        with self._news:
            self._topics.update(topics)
            self._outbox = self._outbox or outbox
            self._news.notify()

    def stop(self) -> None:
        """End the thread after what it is at."""
        with self._news:
            self._stopping = True
            self._news.notify()

    def run(self) -> None:
        """Serve until stopped."""
        while True:
            with self._news:
                woken = self._news.wait_for(self._has_news, self._wait)
                topics, drain = self._topics, self._outbox or not woken
                self._topics, self._outbox = set(), False
                stopping = self._stopping
            for topic in topics:
                self._signals.notify(topic)
            if drain:
                self._wait = self._drain()
            if stopping:
                return

    def _has_news(self) -> bool:
        return bool(self._topics) or self._outbox or self._stopping

    def _drain(self) -> float | None:
        """Tell all there is; return in how many seconds to try again, if ever."""
        try:
            while True:
                with self._store.write() as unit:
                    held = unit.outbox.take(BATCH, self._hold)
                    free_in = None if held else unit.outbox.free_in()
                if not held:
                    return None if free_in is None else max(_FIRST_WAIT, free_in.total_seconds())
                self._checkpoint("outbox.taken")
                told = [announcement.id for announcement in held if self._tell(announcement)]
                self._checkpoint("outbox.told")
                with self._store.write() as unit:
                    unit.outbox.done(told)
                self._checkpoint("outbox.done")
        except Unavailable as error:
            log.warning("outbox waits for the database", extra={"error": str(error)})
            return min(_LONGEST_WAIT, 2 * (self._wait or _FIRST_WAIT))

    def _tell(self, announcement: Announcement) -> bool:
        told = True
        for channel in self._channels:
            try:
                channel.send(announcement)
            except Exception:
                # A channel is a plugin and talks to the outside: whatever it raises
                # means "not told", is logged, and is tried again.
                log.exception("announcement not told", extra={"channel": channel.name})
                told = False
        return told
