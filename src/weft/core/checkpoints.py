"""Points between two writes, at each of which a process may end and nothing be lost.

Whoever does two things that must both happen names the place in between to a
`Checkpoint`. In service nobody heeds it; the tests that end a process at each of
the points arm it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TypeAlias

from weft.core.errors import Invalid

Checkpoint: TypeAlias = Callable[[str], None]

CRASH_EXIT = 86
"""Exit code of a process that ended at a point where it was told to."""


class Side(StrEnum):
    """Whose process passes a point."""

    SERVER = "server"
    ZYGOTE = "zygote"
    CHILD = "child"


_BY_SIDE = {
    Side.SERVER: (
        "start.migrated",
        "start.known",
        "start.enlisted",
        "trigger.made",
        "trigger.changed",
        "trigger.deleted",
        "run.made",
        "cancel.asked",
        "delete.logs",
        "turn.begun",
        "planned",
        "turn.decided",
        "turn.saved",
        "turn.committed",
        "act.dispatch",
        "act.dispatched",
        "outbox.taken",
        "outbox.told",
        "outbox.done",
    ),
    Side.ZYGOTE: ("zygote.forked", "zygote.heard"),
    Side.CHILD: ("output.written", "output.stored", "child.reported"),
}
POINTS: Mapping[str, Side] = MappingProxyType(
    {point: side for side, points in _BY_SIDE.items() for point in points}
)
"""Every point there is."""


@dataclass(frozen=True, slots=True)
class Crash:
    """Where a process is to end: the `nth` time that it passes `point`.

    Of children, which pass each of theirs once, it is the `nth` that was forked.
    """

    point: str
    nth: int = 1

    @property
    def side(self) -> Side:
        """Whose process is to end."""
        return POINTS[self.point]


def unheeded(_point: str) -> None:
    """Pass a point."""


def read_crash(text: str | None) -> Crash | None:
    """Read `<point>` or `<point>:<nth>`; nothing means never.

    Raises `Invalid` for a point that does not exist.
    """
    if not text:
        return None
    point, _, nth = text.partition(":")
    if point not in POINTS or not (nth or "1").isdecimal() or int(nth or 1) < 1:
        raise Invalid(
            f"{text!r} is not a point to end at",
            hint=f"Write <point> or <point>:<nth>; points are {', '.join(POINTS)}.",
        )
    return Crash(point, int(nth or 1))


def armed(crash: Crash | None, side: Side, end: Callable[[str], None]) -> Checkpoint:
    """Return the checkpoint of a process of this side; `end` is told the point to end at."""
    if crash is None or crash.side is not side:
        return unheeded
    passed = itertools.count(1)

    def checkpoint(point: str) -> None:
        if point == crash.point and next(passed) == crash.nth:
            end(point)

    return checkpoint
