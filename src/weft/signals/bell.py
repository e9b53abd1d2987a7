"""Signals to a process on the same host that would not hear otherwise: a socket in a folder.

A server with its engine tells itself directly and watches nothing; a command beside
it rings here, so that what it asked for begins at once and not at the next sweep.
Listening blocks in the kernel and costs nothing; a ring is one `scandir` and one
datagram per listening process (about 20 µs).
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from weft.ports.signals import Signals

_log = logging.getLogger(__name__)
_LONGEST_TOPIC = 64


class BellSignals:
    """Adds bells to other signals: `notify` rings them all, and with `ear` has one.

    What is heard is passed on to the listeners of `inner`, in this process alone.
    """

    def __init__(self, folder: Path, inner: Signals, *, ear: bool) -> None:
        self._folder = folder
        self._inner = inner
        self._ear = ear
        self._lock = threading.Lock()
        self._name = f"{os.getpid()}-{id(self):x}.sock"
        self._closed = threading.Event()
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None

    def notify(self, topic: str) -> None:
        self._inner.notify(topic)
        with contextlib.suppress(FileNotFoundError), _opened(self._folder) as place:
            for entry in os.scandir(self._folder):
                if entry.name != self._name:
                    self._ring(place / entry.name, topic)

    def listen(self, heard: Callable[[str], None]) -> Callable[[], None]:
        with self._lock:
            if self._ear and self._thread is None:
                self._open_ear()
        return self._inner.listen(heard)

    def close(self) -> None:
        with self._lock:
            thread, ear, self._thread, self._ear = self._thread, self._socket, None, False
        if thread is not None and ear is not None:
            self._closed.set()
            ear.shutdown(socket.SHUT_RD)
            if thread is not threading.current_thread():
                thread.join()
            ear.close()
            (self._folder / self._name).unlink(missing_ok=True)
        self._inner.close()

    def _open_ear(self) -> None:
        ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            with _opened(self._folder) as place:
                ear.bind(str(place / self._name))
        except OSError as error:
            ear.close()
            # A hint only: without it, news of other processes waits for the next sweep.
            _log.warning("other processes cannot be heard", extra={"error": str(error)})
            return
        self._socket = ear
        self._thread = threading.Thread(
            target=self._hear, args=(ear,), name="weft-signals", daemon=True
        )
        self._thread.start()

    def _hear(self, ear: socket.socket) -> None:
        while True:
            topic = ear.recv(_LONGEST_TOPIC)
            if self._closed.is_set():
                return
            self._inner.notify(topic.decode("ascii", errors="replace"))

    def _ring(self, bell: Path, topic: str) -> None:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as voice:
                voice.settimeout(0)
                voice.sendto(topic.encode("ascii"), str(bell))
        except ConnectionRefusedError:
            # Its process is dead: nobody else takes the name away.
            bell.unlink(missing_ok=True)
        except (BlockingIOError, FileNotFoundError):
            # Full of news already, or closed since the folder was read.
            return


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[Path]:
    """Yield a short path to the folder: addresses of sockets hold about 100 bytes."""
    if sys.platform != "linux":
        yield folder
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield Path(f"/proc/self/fd/{handle}")
    finally:
        os.close(handle)
