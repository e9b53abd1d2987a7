"""Signals through PostgreSQL: LISTEN on a connection of its own, NOTIFY after commits.

The listening thread blocks in the kernel and costs nothing while nothing happens.
After a broken connection it connects again, with a growing pause, and then calls
its listeners with every topic, because news may have been missed.
"""

from __future__ import annotations

import logging
import os
import select
import threading
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

from weft.core.errors import MissingExtra
from weft.ports.signals import MOVED, RUNS, SCHEDULES

if TYPE_CHECKING:
    from psycopg import Connection

CHANNEL = "weft"
_LONGEST_PAUSE = 5.0
_log = logging.getLogger(__name__)


class PostgresSignals:
    """Tells and hears through one database; the driver loads on first use."""

    def __init__(self, url: str, *, channel: str = CHANNEL) -> None:
        self._driver = _driver()
        self._url = url
        self._channel = channel
        self._lock = threading.Lock()
        self._telling = threading.Lock()
        self._teller: Connection[Any] | None = None
        self._listeners: dict[object, Callable[[str], None]] = {}
        self._closed = threading.Event()
        self._wake_read, self._wake_write = os.pipe()
        self._thread: threading.Thread | None = None

    def notify(self, topic: str) -> None:
        """Tell everybody; when the server cannot be reached, the claim sweep makes up for it."""
        psycopg = self._driver
        with self._telling:
            for last in (False, True):
                try:
                    if self._teller is None:
                        self._teller = psycopg.connect(self._url, autocommit=True)
                    self._teller.execute("SELECT pg_notify(%s, %s)", (self._channel, topic))
                except psycopg.Error as error:
                    self._drop_teller()
                    if last:
                        _log.warning("nobody could be told", extra={"error": str(error)})
                else:
                    return

    def listen(self, heard: Callable[[str], None]) -> Callable[[], None]:
        key = object()
        listening = threading.Event()
        with self._lock:
            self._listeners[key] = heard
            if self._thread is None and not self._closed.is_set():
                self._thread = threading.Thread(
                    target=self._hear, args=(listening,), name="weft-signals", daemon=True
                )
                self._thread.start()
            else:
                listening.set()
        listening.wait()

        def stop() -> None:
            with self._lock:
                self._listeners.pop(key, None)

        return stop

    def close(self) -> None:
        if self._closed.is_set():
            return
        self._closed.set()
        os.write(self._wake_write, b"x")
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        with self._telling:
            self._drop_teller()
        with self._lock:
            self._listeners.clear()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _hear(self, listening: threading.Event) -> None:
        psycopg = self._driver
        pause, first = 0.1, True
        while not self._closed.is_set():
            try:
                with psycopg.connect(self._url, autocommit=True) as connection:
                    connection.execute(f'LISTEN "{self._channel}"')
                    if not first:
                        self._tell(RUNS, SCHEDULES, MOVED)
                    pause, first = 0.1, False
                    listening.set()
                    self._pass_on(connection)
            except psycopg.Error as error:
                if self._closed.is_set():
                    break
                _log.warning("listening broke off", extra={"error": str(error), "again_in": pause})
                first = False
                listening.set()
                self._closed.wait(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
        listening.set()

    def _pass_on(self, connection: Connection[Any]) -> None:
        """Pass topics on until closing; raises the driver's error when the server is gone."""
        while not self._closed.is_set():
            for note in connection.notifies(timeout=0):
                self._tell(note.payload)
            select.select([connection.fileno(), self._wake_read], [], [])

    def _tell(self, *topics: str) -> None:
        with self._lock:
            listeners = tuple(self._listeners.values())
        for heard in listeners:
            for topic in topics:
                heard(topic)

    def _drop_teller(self) -> None:
        if self._teller is not None:
            self._teller.close()
            self._teller = None


def _driver() -> ModuleType:
    try:
        import psycopg  # noqa: PLC0415 - an extra, and heavy: loaded by those who use it
    except ImportError:
        raise MissingExtra(
            "PostgreSQL needs the extra 'postgres', which is not installed",
            hint="Install it with `pip install 'weft[postgres]'`.",
        ) from None
    return psycopg
