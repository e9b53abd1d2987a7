"""Engines and their leases. The database's clock decides, for everybody alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from weft.core.ids import EngineId
from weft.ports.runs import EngineRef


@dataclass(frozen=True, slots=True)
class EngineRow:
    """An engine as others see it. `data_dir` is an absolute path on its host."""

    ref: EngineRef
    lease_until: datetime
    host: str
    pid: int
    live: bool
    data_dir: str


class EngineStore(Protocol):
    """One row per engine."""

    def enlist(
        self, engine: EngineId, ttl: timedelta, *, host: str, pid: int, data_dir: str
    ) -> EngineRef:
        """Begin a new incarnation with a fresh lease; earlier ones end at once.

        The caller holds the lock of the slot whose id this is, in `data_dir`.
        """
        ...

    def renew(self, me: EngineRef, ttl: timedelta) -> bool:
        """Lengthen the lease in one UPDATE; False if another incarnation began."""
        ...

    def retire(self, me: EngineRef) -> None:
        """End the lease now; the runs it owned are free."""
        ...

    def all(self) -> Sequence[EngineRow]:
        """Return every engine known."""
        ...
