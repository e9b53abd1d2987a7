"""Signals within one process: a call."""

from __future__ import annotations

import threading
from collections.abc import Callable


class LocalSignals:
    """Calls every listener in the thread that notifies."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: dict[object, Callable[[str], None]] = {}

    def notify(self, topic: str) -> None:
        with self._lock:
            listeners = tuple(self._listeners.values())
        for heard in listeners:
            heard(topic)

    def listen(self, heard: Callable[[str], None]) -> Callable[[], None]:
        key = object()
        with self._lock:
            self._listeners[key] = heard

        def stop() -> None:
            with self._lock:
                self._listeners.pop(key, None)

        return stop

    def close(self) -> None:
        with self._lock:
            self._listeners.clear()
