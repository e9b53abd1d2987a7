"""The zygote's end of its socket to the engine."""

from __future__ import annotations

import os
import socket
import time

from weft.wire.frames import Frames, encode
from weft.wire.messages import Beat, Message, Welcome

_CHUNK = 1 << 18


class EngineGone(Exception):
    """The engine closed its end, or died."""


class Link:
    """Reads and writes without ever blocking; knows when the engine was last alive.

    One thread at a time may use it.
    """

    def __init__(self, fd: int) -> None:
        self._socket = socket.socket(fileno=fd)
        self._socket.settimeout(0)
        self._frames = Frames()
        self._inbox: list[Message] = []
        self._outbox = bytearray()
        self.last_beat = time.monotonic()

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def congested(self) -> bool:
        """Whether something waits to be written."""
        return bool(self._outbox)

    def read(self) -> None:
        """Take in what has arrived. Raises `EngineGone`, `Malformed`, `TooLarge`."""
        while True:
            try:
                chunk = self._socket.recv(_CHUNK)
            except BlockingIOError:
                return
            except ConnectionError as error:
                raise EngineGone(str(error)) from error
            if not chunk:
                raise EngineGone("the engine closed its end")
            for message in self._frames.feed(chunk):
                match message:
                    case Beat(at):
                        self.last_beat = max(self.last_beat, at)
                    case _:
                        self._inbox.append(message)

    def take(self) -> list[Message]:
        """Return what was read since the last time, in order."""
        taken, self._inbox = self._inbox, []
        return taken

    def wait_for_welcome(self) -> Welcome:
        """Block until the engine's first word. Raises `EngineGone` when it is another."""
        while not self._inbox:
            self._socket.settimeout(None)
            self._socket.recv(1, socket.MSG_PEEK)
            self._socket.settimeout(0)
            self.read()
        first = self._inbox.pop(0)
        if not isinstance(first, Welcome):
            raise EngineGone(f"its first word was {type(first).__name__}")
        return first

    def send(self, message: Message) -> None:
        """Write a message now, as far as the engine takes it, the rest later."""
        self._outbox += encode(message)
        self.flush()

    def flush(self) -> None:
        """Go on writing what waits. An engine that is gone shows in `read`."""
        while self._outbox:
            try:
                sent = self._socket.send(self._outbox)
            except BlockingIOError:
                return
            except ConnectionError:
                self._outbox.clear()
                return
            del self._outbox[:sent]

    def drain(self, seconds: float) -> None:
        """Write what waits before leaving, for no longer than this."""
        self._socket.settimeout(seconds)
        try:
            self._socket.sendall(self._outbox)
        except OSError as error:
            os.write(2, f"weft zygote: the last words were lost: {error}\n".encode())
        self._outbox.clear()
