"""What a block prints and logs, as lines of JSON in the log of its attempt.

A line is written by one `os.write` on a descriptor opened for appending, so lines of
threads and forked processes never mix. `docs/reference/logs.md` lists the keys.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import sys
import threading
import time
import traceback
from codecs import getincrementaldecoder
from collections.abc import Iterator, Mapping
from typing import Any

from weft.core.json import Json

PIECE = 64 * 1024
"""Bytes of message that one line may hold; longer ones go on in the next line."""

_LINE_ENDS = ("\n", "\r")


class LogWriter:
    """Appends structured lines to one file. Safe to use from any thread."""

    def __init__(self, path: str, tags: Mapping[str, Json]) -> None:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)  # noqa: PTH103, PTH120  no pathlib: this is on the way of every attempt
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._tags = dict(tags)

    def write(
        self,
        level: str,
        message: str,
        extra: Mapping[str, Json] | None = None,
        *,
        continued: bool = False,
    ) -> None:
        """Append a message; a very long one goes on in lines marked `continued`."""
        keys = {**_plain_tags(extra or {}), **self._tags}
        message = encodable(message)
        step = PIECE if message.isascii() else PIECE // 4
        for start in range(0, max(len(message), 1), step):
            line = {
                "timestamp": time.time(),
                "level": level,
                "message": message[start : start + step],
                **keys,
            }
            if start or continued:
                line["continued"] = True
            os.write(self._fd, encodable(_json(line)).encode() + b"\n")

    def close(self) -> None:
        """Close the file; further writes raise `OSError`."""
        os.close(self._fd)


class LineStream(io.TextIOBase):
    """A `sys.stdout` whose whole lines become log lines.

    Each thread has its own unfinished line, so `print(a, b)` is one line whatever the
    other threads print. Blank lines are left out. `fileno()` is the raw descriptor of
    the process, for subprocesses and libraries in C.
    """

    def __init__(self, writer: LogWriter, name: str, fd: int) -> None:
        super().__init__()
        self.name = f"<{name}>"
        self.mode = "w"
        self._writer = writer
        self._fd = fd
        self._pending: dict[int, str] = {}
        self._begun: set[int] = set()
        """Threads of whose unfinished line the first pieces are written already."""
        self.buffer = _ByteStream(self)

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a plain attribute in the stubs
        return "utf-8"

    @property
    def errors(self) -> str:  # type: ignore[override]  # a plain attribute in the stubs
        return "replace"

    @property
    def line_buffering(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return self._fd

    def reconfigure(self, **_: object) -> None:
        """Accept what programs ask of a console; nothing about a log line changes."""

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        thread = threading.get_ident()
        pending = self._pending.pop(thread, "") + text
        if any(end in text for end in _LINE_ENDS):
            *whole, pending = pending.replace("\r", "\n").split("\n")
            for line in whole:
                self._emit(line, thread)
                self._begun.discard(thread)
        if len(pending) >= PIECE:
            self._emit(pending, thread)
            self._begun.add(thread)
            pending = ""
        if pending:
            self._pending[thread] = pending
        return len(text)

    def finish(self) -> None:
        """Write the unfinished lines of all threads."""
        self.buffer.finish()
        while self._pending:
            thread, line = self._pending.popitem()
            self._emit(line, thread)

    def _emit(self, line: str, thread: int) -> None:
        if line.strip():
            self._writer.write("INFO", line, continued=thread in self._begun)


class _ByteStream(io.RawIOBase):
    """The `buffer` of a `LineStream`: bytes become text, garbage becomes U+FFFD."""

    def __init__(self, text: LineStream) -> None:
        super().__init__()
        self._text = text
        self._decoder = getincrementaldecoder("utf-8")("replace")

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return self._text.fileno()

    def write(self, data: Any) -> int:
        chunk = bytes(data)
        self._text.write(self._decoder.decode(chunk))
        return len(chunk)

    def finish(self) -> None:
        rest = self._decoder.decode(b"", final=True)
        self._decoder.reset()
        if rest:
            self._text.write(rest)


class LineHandler(logging.Handler):
    """Writes log records as lines; an exception adds `error` and its stack."""

    def __init__(self, writer: LogWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        extra = dict(getattr(record, "tags", {}))
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(extra.get("error"), BaseException):
            error = extra["error"]
        if error is not None:
            extra.update(_stack(error))
        try:
            message = record.getMessage()
        except Exception as wrong:  # noqa: BLE001  a bad format string must not fail the block
            message = f"{record.msg!r} with {record.args!r} ({wrong})"
        self._writer.write(record.levelname, message, extra)


class DictLogger(logging.Logger):
    """The `logger` that a block receives: `logger.info("text", rows=3)`.

    Any keyword that `logging` does not know becomes a key of the line.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.parent = logging.getLogger()

    def _log(  # type: ignore[override]  # noqa: PLR0917  tags may be called `level` or `msg`
        self,
        level: int,
        msg: object,
        args: Any,
        /,
        exc_info: Any = None,
        extra: Mapping[str, object] | None = None,
        stack_info: bool = False,  # noqa: FBT001, FBT002  the signature is logging's
        stacklevel: int = 1,
        **tags: object,
    ) -> None:
        extra = dict(extra or {})
        known = extra.get("tags")
        super()._log(
            level,
            msg,
            args,
            exc_info=exc_info,
            extra={**extra, "tags": {**(known if isinstance(known, dict) else {}), **tags}},
            stack_info=stack_info,
            stacklevel=stacklevel + 1,
        )


@contextlib.contextmanager
def captured(writer: LogWriter) -> Iterator[DictLogger]:
    """Send what this process prints and logs to `writer`; yield a block's logger.

    Replaces `sys.stdout`, `sys.stderr` and the handlers of the root logger until the
    end, when unfinished lines are written. For one attempt at a time in a process.
    """
    root = logging.getLogger()
    before = (sys.stdout, sys.stderr, root.level, root.handlers[:])
    out, err = LineStream(writer, "stdout", 1), LineStream(writer, "stderr", 2)
    handler = LineHandler(writer)
    sys.stdout, sys.stderr = out, err
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    try:
        yield DictLogger("block")
    finally:
        sys.stdout, sys.stderr, root.handlers = before[0], before[1], before[3]
        root.setLevel(before[2])
        out.finish()
        err.finish()


def encodable(text: str) -> str:
    """Return the text so that it can be written as UTF-8: lone surrogates are escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def _plain_tags(extra: Mapping[str, Json]) -> dict[str, Json]:
    reserved = {"timestamp", "level", "message", "continued"}
    return {f"{key}_" if key in reserved else str(key): value for key, value in extra.items()}


def _json(line: Mapping[str, Json]) -> str:
    try:
        return json.dumps(line, ensure_ascii=False, allow_nan=False, default=_as_text)
    except (ValueError, TypeError, RecursionError):
        # Circles, NaN, keys that are no text: what matters is the line, so they become text.
        plain = (str, int, bool, type(None))
        safe = {
            key: value if isinstance(value, plain) or key == "timestamp" else _as_text(value)
            for key, value in line.items()
        }
        return json.dumps(safe, ensure_ascii=False)


def _stack(error: BaseException) -> dict[str, Json]:
    told = traceback.TracebackException.from_exception(error)
    return {
        "error": str(told),
        "error_stack": told.stack.format(),
        "error_stacktrace": "".join(told.format()),
    }


def _as_text(value: object) -> str:
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001  the value is the user's, and so is its __str__
        return f"<{type(value).__name__} that cannot be shown: {type(error).__name__}>"
