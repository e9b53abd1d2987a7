"""What engine, zygote and child say to each other; one class per sentence.

The way of an attempt: the engine says `Submit`, the zygote forks and says `Started`,
the child says `Reported`, which the zygote passes on; when the child cannot speak for
itself, the zygote says `Died`. Questions of blocks (`Asked`) go up, `Answered` comes
back down. Everything about an attempt carries the attempt's token; whoever receives a
wrong token drops the message.

`at` is in seconds: since 1970, except in `Beat`, where it is the host's monotonic clock.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from weft.core.json import Json, JsonMap
from weft.core.states import Cause
from weft.wire.envelope import PROTOCOL, Envelope
from weft.wire.result import Completed, Errored, Result


class Welcome(msgspec.Struct, tag="welcome", frozen=True):
    """Engine to zygote, before all else: how to live.

    `silence` is how many seconds without a beat prove the engine dead; `preload` names
    modules to import before the first fork; `crash_at` is for tests: the point of
    `core.checkpoints` at which the zygote or a child is to end.
    """

    silence: float
    preload: tuple[str, ...] = ()
    max_children: int = 256
    beat_at: float = 0.0
    crash_at: str | None = None
    protocol: int = PROTOCOL


class Submit(msgspec.Struct, tag="submit", frozen=True):
    """Engine to zygote: carry this out."""

    id: str
    envelope: Envelope


class Stop(msgspec.Struct, tag="stop", frozen=True):
    """Engine to zygote: end this attempt."""

    id: str
    token: str


class Beat(msgspec.Struct, tag="beat", frozen=True):
    """Engine to zygote: the engine lived at this moment."""

    at: float


class Retire(msgspec.Struct, tag="retire", frozen=True):
    """Engine to zygote: finish what runs, then go."""


class Refusal(msgspec.Struct, frozen=True):
    """Why a question was not answered; `code` is one of the tree in `core.errors`."""

    code: str
    message: str
    hint: str | None = None


class Answered(msgspec.Struct, tag="answered", frozen=True):
    """Engine to child: the answer to question `number`, or why there is none."""

    id: str
    token: str
    number: int
    value: Json = None
    refusal: Refusal | None = None


class Hello(msgspec.Struct, tag="hello", frozen=True):
    """Zygote to engine, before all else: who I am."""

    pid: int
    protocol: int = PROTOCOL


class Ready(msgspec.Struct, tag="ready", frozen=True):
    """Zygote to engine: all is imported. `notes` say what could not be, and why."""

    seconds: float
    notes: tuple[str, ...] = ()


class Started(msgspec.Struct, tag="started", frozen=True):
    """Zygote to engine: the attempt is process `pid`, leader of its own group."""

    id: str
    token: str
    pid: int
    at: float


class Asked(msgspec.Struct, tag="asked", frozen=True):
    """Child to engine: a block's question."""

    id: str
    token: str
    number: int
    name: str
    arguments: JsonMap


class Reported(msgspec.Struct, tag="reported", frozen=True):
    """Child to engine: how the block ended; exactly one of the two is set."""

    id: str
    token: str
    at: float
    completed: Completed | None = None
    errored: Errored | None = None

    @property
    def result(self) -> Result | None:
        """The one that is set."""
        return self.completed or self.errored


class Died(msgspec.Struct, tag="died", frozen=True):
    """Zygote to engine: the attempt is proven over, and did not speak for itself."""

    id: str
    token: str
    at: float
    how: Literal["failed", "lost", "stopped"]
    cause: Cause
    reason: str
    metrics: JsonMap


class Goodbye(msgspec.Struct, tag="goodbye", frozen=True):
    """Zygote to engine: all children are dead, and I go, because of this."""

    reason: str
    cause: Cause = Cause.LOST


Message: TypeAlias = (
    Welcome
    | Submit
    | Stop
    | Beat
    | Retire
    | Answered
    | Hello
    | Ready
    | Started
    | Asked
    | Reported
    | Died
    | Goodbye
)
