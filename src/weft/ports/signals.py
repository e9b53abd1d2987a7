"""Hints that something changed. Never the truth: that is in the store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

RUNS = "runs"
"""A run waits to be taken up, or has a request in its inbox."""
SCHEDULES = "schedules"
"""A schedule was added, changed or removed."""
MOVED = "moved"
"""Some run or block run moved (what followers of a run wait for)."""


class Signals(Protocol):
    """A way to say, and to be told, that the store has news."""

    def notify(self, topic: str) -> None:
        """Tell everybody, in this process and others; call it after the commit."""
        ...

    def listen(self, heard: Callable[[str], None]) -> Callable[[], None]:
        """Call `heard(topic)` from some thread at each news; returns how to stop.

        After a disturbance in which news may have been missed, `heard` is called
        with every topic. It must return at once and never raise.
        """
        ...

    def close(self) -> None:
        """Stop every listener."""
        ...
