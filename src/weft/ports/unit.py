"""One transaction over all stores."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from weft.ports.catalog import CatalogStore
from weft.ports.engines import EngineStore
from weft.ports.journal import ArtifactStore, EventStore, OutboxStore
from weft.ports.runs import LimitStore, RunStore
from weft.ports.schedules import ScheduleStore


class Unit(Protocol):
    """What may be asked and changed within one transaction."""

    @property
    def catalog(self) -> CatalogStore: ...
    @property
    def schedules(self) -> ScheduleStore: ...
    @property
    def runs(self) -> RunStore: ...
    @property
    def limits(self) -> LimitStore: ...
    @property
    def artifacts(self) -> ArtifactStore: ...
    @property
    def events(self) -> EventStore: ...
    @property
    def outbox(self) -> OutboxStore: ...
    @property
    def engines(self) -> EngineStore: ...

    def now(self) -> datetime:
        """Return the database's time: the clock of leases, of every timestamp it sets."""
        ...


class Store(Protocol):
    """A database. Safe to use from any thread.

    Whatever the driver raises because the database cannot be reached, restarts or
    breaks the connection becomes `Unavailable`: then nothing was committed, or (if
    the connection broke during COMMIT) it is unknown, and the caller repeats;
    everything here can be repeated safely, thanks to fences and unique keys.
    """

    def write(self) -> AbstractContextManager[Unit]:
        """Begin a transaction that commits at the end, or rolls back on an exception."""
        ...

    def read(self) -> AbstractContextManager[Unit]:
        """Begin a read-only transaction with one consistent view."""
        ...

    def close(self) -> None:
        """Give every connection back."""
        ...
