"""What is to be done once a decision is committed, and never before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from weft.core.ids import BlockUuid
from weft.core.states import RunStatus


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Hand an attempt to its executor."""

    block: BlockUuid
    attempt: int


@dataclass(frozen=True, slots=True)
class Stop:
    """Tell the executor to end an attempt; its end will be reported."""

    block: BlockUuid
    attempt: int


@dataclass(frozen=True, slots=True)
class Announce:
    """Tell the world that the run ended (a row of the outbox)."""

    status: RunStatus


Effect: TypeAlias = Dispatch | Stop | Announce
