"""What a child writes to its raw stdout and stderr, as lines of its log.

Python's own `print` does not come this way; libraries in C and subprocesses do.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from weft.core.json import Json
from weft.worker.logs import PIECE, LogWriter

_TAIL = 4096


class Capture:
    """Turns the bytes of one attempt's pipes into log lines.

    The log file is opened with the first byte; when it cannot be written, what comes
    is dropped, so that the child never waits for a full pipe.
    """

    def __init__(self, path: str, tags: Mapping[str, Json]) -> None:
        self._path = path
        self._tags = tags
        self._writer: LogWriter | None = None
        self._broken = False
        self._rest: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
        self.tail = b""
        """The last bytes of stderr."""

    def feed(self, stream: str, chunk: bytes) -> None:
        """Take bytes of `stdout` or `stderr`; whole lines are written at once."""
        if stream == "stderr":
            self.tail = (self.tail + chunk)[-_TAIL:]
        rest = self._rest[stream]
        rest += chunk
        *whole, last = bytes(rest).split(b"\n")
        rest[:] = last
        for line in whole:
            self._write(stream, line)
        while len(rest) >= PIECE:
            self._write(stream, bytes(rest[:PIECE]))
            del rest[:PIECE]

    def finish(self) -> None:
        """Write unfinished lines as they are."""
        for stream, rest in self._rest.items():
            self._write(stream, bytes(rest))
            rest.clear()

    def close(self) -> None:
        """Write unfinished lines and close the log."""
        self.finish()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def note(self, message: str, *, level: str = "WARNING") -> None:
        """Write a line of our own about the attempt."""
        self._append(level, message, {})

    def _write(self, stream: str, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip("\r")
        if text.strip():
            self._append("INFO", text, {"stream": stream})

    def _append(self, level: str, message: str, keys: Mapping[str, Json]) -> None:
        if self._broken:
            return
        try:
            if self._writer is None:
                self._writer = LogWriter(self._path, self._tags)
            self._writer.write(level, message, keys)
        except OSError as error:
            self._broken = True
            os.write(2, f"weft: the log {self._path} cannot be written: {error}\n".encode())
