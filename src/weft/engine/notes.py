"""What can lie in an engine's mailbox."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from weft.core.ids import RunId
from weft.ports.executor import Report


@dataclass(frozen=True, slots=True)
class Nudge:
    """The store has news on this topic (see `ports.signals`)."""

    topic: str


@dataclass(frozen=True, slots=True)
class Own:
    """A run was made with this engine as its owner."""

    run_id: RunId


@dataclass(frozen=True, slots=True)
class Sweep:
    """A third of a lease has passed: look whether an engine fell silent."""


@dataclass(frozen=True, slots=True)
class Distrust:
    """The database broke off: what the engine remembers may not be what is stored."""


@dataclass(frozen=True, slots=True)
class Drain:
    """Begin nothing new."""


Note: TypeAlias = Report | Nudge | Own | Sweep | Distrust | Drain
