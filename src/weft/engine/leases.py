"""Keeps the engine's lease, apart from the loop: a slow turn must not lose it.

Every third of the time to live this thread renews the lease in one UPDATE, beats
to the executors (whose children end when the beat stops) and has the loop look for
runs of engines that fell silent.

It stops renewing when the loop has had work due for longer than one time to live:
an engine that renews but never moves would keep its runs from everybody. And it
beats only when it has renewed: when the database is out of reach, the children are
gone after two thirds of the time to live, before another engine may take over. With
`exclusive` no other can, and the children live on.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import timedelta

from weft.core.errors import Unavailable
from weft.ports.clock import Clock
from weft.ports.runs import EngineRef
from weft.ports.unit import Store

log = logging.getLogger(__name__)


class LeaseKeeper:
    """Renews the lease of one engine until told to stop."""

    def __init__(
        self,
        me: EngineRef,
        *,
        store: Store,
        clock: Clock,
        ttl: timedelta,
        exclusive: bool,
        beat: Callable[[], None],
        sweep: Callable[[], None],
        overdue: Callable[[], float],
        lost: Callable[[str], None],
    ) -> None:
        self._me = me
        self._store = store
        self._clock = clock
        self._ttl = ttl
        self._exclusive = exclusive
        self._beat = beat
        self._sweep = sweep
        self._overdue = overdue
        self._lost = lost
        self._stopping = threading.Event()
        self._renewed = clock.monotonic()

    def run(self) -> None:
        """Renew until stopped; call `lost` with a reason when the lease is gone for good."""
        period = self._ttl.total_seconds() / 3
        while not self._stopping.wait(period):
            late = self._overdue()
            if late > self._ttl.total_seconds():
                self._lost(f"the loop has had work due for {late:.0f} s and does not move")
                return
            if not self._renew():
                return
            self._sweep()

    def stop(self) -> None:
        """End the thread; the lease is retired by whoever stops it."""
        self._stopping.set()

    @property
    def age(self) -> float:
        """Seconds since the lease was last renewed."""
        return self._clock.monotonic() - self._renewed

    @property
    def in_doubt(self) -> bool:
        """Whether others may soon take over: two thirds of the lease are gone."""
        return not self._exclusive and self.age > self._ttl.total_seconds() * 2 / 3

    def _renew(self) -> bool:
        try:
            with self._store.write() as unit:
                kept = unit.engines.renew(self._me, self._ttl)
        except Unavailable as error:
            log.warning("lease not renewed for %.0f s: %s", self.age, error)
            if self._exclusive:
                self._beat()
            return True
        if not kept:
            self._lost("another incarnation of this engine began")
            return False
        self._renewed = self._clock.monotonic()
        self._beat()
        return True
