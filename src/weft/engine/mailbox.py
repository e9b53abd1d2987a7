"""Where everything that an engine must hear of arrives, from any thread."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

N = TypeVar("N")


class Mailbox(Generic[N]):
    """Notes in order of arrival; the reader sleeps until there is one, or a deadline.

    A note stays until the reader says that it is `done` with it, so a turn that
    fails half-way finds it again.
    """

    def __init__(self) -> None:
        self._notes: deque[N] = deque()
        self._news = threading.Condition()
        self._fresh = False

    def put(self, note: N) -> None:
        """Leave a note, from any thread."""
        with self._news:
            self._notes.append(note)
            self._fresh = True
            self._news.notify()

    def wait(self, seconds: float | None) -> None:
        """Return as soon as a note arrived since the last `peek`, or after `seconds`."""
        with self._news:
            self._news.wait_for(lambda: self._fresh, seconds)

    def peek(self) -> list[N]:
        """Return every note there is, without taking any."""
        with self._news:
            self._fresh = False
            return list(self._notes)

    def done(self, count: int) -> None:
        """Take away the `count` oldest notes."""
        with self._news:
            for _ in range(count):
                self._notes.popleft()
