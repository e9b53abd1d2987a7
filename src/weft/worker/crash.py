"""Ends this process at a point between two writes, as a kill would: for tests alone."""

from __future__ import annotations

import os
from typing import NoReturn

from weft.core.checkpoints import CRASH_EXIT, Checkpoint, Crash, Side, armed, read_crash


class Fates:
    """Where a zygote is to end, or which of its children and where."""

    def __init__(self, crash_at: str | None) -> None:
        self._crash = read_crash(crash_at)
        self._children = 0
        self.checkpoint = armed(self._crash, Side.ZYGOTE, _end)
        """The zygote's own."""

    def of_next_child(self) -> Checkpoint:
        """Return what the child that is forked now passes its points to."""
        self._children += 1
        meant = self._crash is not None and self._crash.nth == self._children
        once = Crash(self._crash.point) if self._crash and meant else None
        return armed(once, Side.CHILD, _end)


def _end(point: str) -> NoReturn:
    """Say where, and end without any clearing up."""
    os.write(2, f"weft: ended at {point}\n".encode())
    os._exit(CRASH_EXIT)
