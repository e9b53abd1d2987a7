"""Signals between processes that share one SQLite file: `PRAGMA data_version`.

SQLite tells nobody of a commit, so this one polls: five times a second while
somebody listens, about 20 µs of CPU a look (0.01 % of a core), and no lock taken.
It cannot tell what changed, so every listener hears every topic. It is meant for a
server and an engine in separate processes only; together, `local` costs nothing.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

from weft.ports.signals import MOVED, RUNS, SCHEDULES

LOOKS_PER_SECOND = 5
_log = logging.getLogger(__name__)


class SqliteSignals:
    """Watches the file's version from one thread, begun with the first listener.

    `notify` need not tell anybody outside: the commit that it follows has changed
    the version already. In this process it calls the listeners at once.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._listeners: dict[object, Callable[[str], None]] = {}
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def notify(self, topic: str) -> None:
        for heard in self._present():
            heard(topic)

    def listen(self, heard: Callable[[str], None]) -> Callable[[], None]:
        key = object()
        watching = threading.Event()
        with self._lock:
            self._listeners[key] = heard
            if self._thread is None and not self._closed.is_set():
                self._thread = threading.Thread(
                    target=self._watch, args=(watching,), name="weft-signals", daemon=True
                )
                self._thread.start()
            else:
                watching.set()
        watching.wait()

        def stop() -> None:
            with self._lock:
                self._listeners.pop(key, None)

        return stop

    def close(self) -> None:
        self._closed.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        with self._lock:
            self._listeners.clear()

    def _watch(self, watching: threading.Event) -> None:
        seen: int | None = None
        connection: sqlite3.Connection | None = None
        while True:
            try:
                if connection is None:
                    connection = sqlite3.connect(self._path, timeout=1, isolation_level=None)
                version = connection.execute("PRAGMA data_version").fetchone()[0]
            except sqlite3.Error as error:
                _log.warning("the database cannot be watched", extra={"error": str(error)})
                if connection is not None:
                    connection.close()
                # A new connection counts from anew, so news may have been missed.
                connection, version = None, -1
            if seen is not None and version != seen:
                self._tell_all()
            seen = version
            watching.set()
            if self._closed.wait(1 / LOOKS_PER_SECOND):
                break
        if connection is not None:
            connection.close()

    def _tell_all(self) -> None:
        for heard in self._present():
            for topic in (RUNS, SCHEDULES, MOVED):
                heard(topic)

    def _present(self) -> tuple[Callable[[str], None], ...]:
        with self._lock:
            return tuple(self._listeners.values())
