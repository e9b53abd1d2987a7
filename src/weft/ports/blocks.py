"""A language in which blocks are written. Plugin group `weft.blocks`."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from weft.core.json import Json
from weft.core.states import Cause
from weft.wire.envelope import Envelope


@dataclass(frozen=True, slots=True)
class Task:
    """One block to execute in this process.

    `inputs` holds one value per upstream block, in order, as the block receives it.
    `ask(name, **arguments)` puts a question to the engine and waits for its answer.
    """

    envelope: Envelope
    inputs: Sequence[object]
    logger: logging.Logger
    context: dict[str, Any]
    ask: Callable[..., Json]
    stopping: threading.Event = field(default_factory=threading.Event)
    """Set when the attempt is told to end: whatever waits, waits on this."""


@dataclass(frozen=True, slots=True)
class Returned:
    """What a block gave back: its outputs in order, and a check still to be run on them.

    `check` runs the block's tests, after its outputs are stored; it raises
    `BlockFailed` when they do not pass.
    """

    outputs: Sequence[object]
    check: Callable[[], None]


class BlockFailed(Exception):
    """A block failed by its own doing.

    `error` is Mage's shape (`records.Outcome.error`) with only the user's own frames
    in it; `final` says that another try cannot help.
    """

    def __init__(
        self, error: Mapping[str, Json], *, final: bool = False, cause: Cause = Cause.USER
    ) -> None:
        super().__init__(str(error.get("error", "")))
        self.error = error
        self.final = final
        self.cause = cause


class Language(Protocol):
    """Knows how to check and execute code of one language."""

    name: str
    extensions: tuple[str, ...]

    def check(self, code: str, path: str) -> Sequence[str]:
        """Return what is wrong with the code without running it, with line numbers."""
        ...

    def run(self, task: Task) -> Returned:
        """Execute a block. Raises `BlockFailed`, and nothing else for the user's faults."""
        ...
