"""A user's exception as data: the frames of the user's code, and nothing of ours."""

from __future__ import annotations

import linecache
import traceback
from collections.abc import Iterator
from pathlib import Path

from weft.core.json import Json
from weft.core.states import Cause
from weft.ports.blocks import BlockFailed

_OURS = str(Path(__file__).resolve().parents[1])
_LINES = 200
"""Lines of a traceback that are kept: half from its beginning, half from its end."""
_CHARACTERS = 20_000
"""Characters that one message may have."""


def failed(error: BaseException, *, path: str, project_path: str) -> BlockFailed:
    """Return `error` as the failure of the block whose code is at `path`."""
    cause = Cause.OUT_OF_MEMORY if isinstance(error, MemoryError) else Cause.USER
    return BlockFailed(described(error, path=path, project_path=project_path), cause=cause)


def plain(message: str, *, kind: str, path: str, project_path: str) -> dict[str, Json]:
    """Return a fault that has no traceback, in the same shape as one that has."""
    message = encodable(message)
    return {
        "error": message,
        "errors": [message],
        "message": message,
        "type": kind,
        "where": relative(path, project_path),
    }


def described(error: BaseException, *, path: str, project_path: str) -> dict[str, Json]:
    """Return `error`, `errors`, `message`, `type` and `where` of an exception.

    `where` is the last place in the block's own file, or else in the project.
    """
    told = traceback.TracebackException.from_exception(error, compact=True)
    where = _where(told, path, project_path)
    for each in _chain(told):
        _cut(each, path, project_path)
    lines = [encodable(line) for line in _shorten(told.format())]
    text = _text(error)
    return {
        "error": text,
        "errors": lines,
        "message": "".join(lines),
        "type": type(error).__name__,
        "where": where,
    }


def encodable(text: str) -> str:
    """Return the text shortened, with what no database stores (NUL, surrogates) escaped."""
    if len(text) > _CHARACTERS:
        half = _CHARACTERS // 2
        text = f"{text[:half]} [...] {text[-half:]}"
    return text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()


def relative(path: str, project_path: str) -> str:
    """Return the path as seen from the project, or as it is when it lies elsewhere."""
    root = project_path.rstrip("/") + "/"
    return path.removeprefix(root)


def prime(path: str, code: str) -> None:
    """Let tracebacks show the code that runs, whatever the file says by then."""
    lines = code.splitlines(keepends=True)
    linecache.cache[path] = (len(code), None, lines, path)


def _text(error: BaseException) -> str:
    name = type(error).__name__
    if isinstance(error, SystemExit):
        return f"the block ended itself: sys.exit({error.code!r})"
    if isinstance(error, MemoryError) and not error.args:
        return "the block ran out of memory"
    try:
        text = str(error)
    except Exception as second:  # noqa: BLE001  the exception is the user's, and so is its __str__
        text = f"{name} that cannot be shown: {type(second).__name__}"
    return encodable(text or name)


def _chain(told: traceback.TracebackException) -> Iterator[traceback.TracebackException]:
    """Yield an exception, those it came from, and the members of groups among them."""
    todo, seen = [told], set[int]()
    while todo:
        each = todo.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        todo += [up for up in (each.__cause__, each.__context__) if up is not None]
        todo += getattr(each, "exceptions", None) or []


def _cut(told: traceback.TracebackException, path: str, project_path: str) -> None:
    frames = [frame for frame in told.stack if not frame.filename.startswith(_OURS)]
    first = next(
        (at for at, frame in enumerate(frames) if _users(frame.filename, path, project_path)), 0
    )
    told.stack = traceback.StackSummary.from_list(
        [_moved(frame, project_path) for frame in frames[first:]]
    )
    if issubclass(told.exc_type, SyntaxError) and told.filename:
        told.filename = relative(told.filename, project_path)


def _users(filename: str, path: str, project_path: str) -> bool:
    root = project_path.rstrip("/") + "/"
    return filename == path or (filename.startswith(root) and "/site-packages/" not in filename)


def _moved(frame: traceback.FrameSummary, project_path: str) -> traceback.FrameSummary:
    line = linecache.getline(frame.filename, frame.lineno or 0).rstrip("\n")
    return traceback.FrameSummary(
        relative(frame.filename, project_path),
        frame.lineno,
        frame.name,
        lookup_line=False,
        line=line,
        end_lineno=frame.end_lineno,
        colno=frame.colno,
        end_colno=frame.end_colno,
    )


def _where(told: traceback.TracebackException, path: str, project_path: str) -> str:
    shown = relative(path, project_path)
    if issubclass(told.exc_type, SyntaxError) and told.filename == path:
        return ":".join(str(part) for part in (shown, told.lineno, told.offset) if part)
    for frame in reversed(told.stack):
        if frame.filename == path:
            return f"{shown}:{frame.lineno}"
    for frame in reversed(told.stack):
        if _users(frame.filename, path, project_path):
            return f"{relative(frame.filename, project_path)}:{frame.lineno}"
    return shown


def _shorten(lines: Iterator[str]) -> list[str]:
    """Keep a traceback readable: endless recursion between functions has a thousand frames."""
    told = list(lines)
    if len(told) > _LINES:
        cut = len(told) - _LINES
        told[_LINES // 2 : -_LINES // 2] = [f"  [... {cut} more places ...]\n"]
    return told
