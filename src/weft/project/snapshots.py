"""Texts of files, read again only when the file system says that they changed."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from weft.core.errors import BrokenPipeline, Where
from weft.project.document import MAX_BYTES

Stamp: TypeAlias = tuple[int, int, int, int]

_SETTLED_NS = 100_000_000
"""A file written this short before it was read may change again with the same times,
because file systems count in ticks; such a reading is not trusted the next time."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A file as it was: its text without byte order mark, and SHA-256 of that in hex."""

    text: str
    digest: str
    mtime_ns: int
    stamp: Stamp
    settled: bool


class Snapshots:
    """The files of one project by path relative to it. Safe to share between threads."""

    def __init__(self, root: Path) -> None:
        self._root = os.path.realpath(root)
        self._known: dict[str, Snapshot] = {}

    def read(self, path: str) -> Snapshot | None:
        """Return a file, or None when there is none.

        Raises `BrokenPipeline` for a file outside the project (links resolved), a
        folder or device, one larger than `MAX_BYTES`, not UTF-8, or unreadable.
        """
        full = f"{self._root}/{path}"
        try:
            found = os.stat(full)  # noqa: PTH116 - a thousand a scan
        except (FileNotFoundError, NotADirectoryError):
            self._refuse_outside(full, path)
            return None
        except (OSError, ValueError) as error:
            if getattr(error, "errno", None) == errno.ENAMETOOLONG:
                return None  # no file can have this name
            raise _unreadable(path, error) from None
        known = self._known.get(path)
        if known and known.settled and known.stamp == _stamp(found):
            return known
        snapshot = self._read(full, path)
        if snapshot:
            self._known[path] = snapshot
        return snapshot

    def forget(self, path: str) -> None:
        """Read a file anew the next time, whatever the file system says."""
        self._known.pop(path, None)

    def inside(self, path: str) -> str | None:
        """Return a path with links resolved, relative to the project; None if outside."""
        try:
            real = os.path.realpath(f"{self._root}/{path}")
        except (OSError, ValueError):
            return None
        return os.path.relpath(real, self._root) if self._contains(real) else None

    def _contains(self, real: str) -> bool:
        return real == self._root or real.startswith(self._root.rstrip("/") + "/")

    def _refuse_outside(self, full: str, path: str) -> None:
        if not self._contains(os.path.realpath(full)):
            raise BrokenPipeline(
                f"{path} lies outside the project",
                hint="Move the file into the project, or copy what the link points to.",
                where=Where(path),
            )

    def _read(self, full: str, path: str) -> Snapshot | None:
        self._refuse_outside(full, path)
        try:
            # Without O_NONBLOCK, a named pipe would hold us until somebody writes.
            descriptor = os.open(full, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as file:
                found = os.fstat(file.fileno())
                _refuse_odd(found, path)
                data = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unreadable(path, error) from None
        text = _decoded(data, path)
        return Snapshot(
            text=text,
            digest=hashlib.sha256(text.encode()).hexdigest(),
            mtime_ns=found.st_mtime_ns,
            stamp=_stamp(found),
            settled=time.time_ns() - found.st_mtime_ns > _SETTLED_NS,
        )


def _stamp(found: os.stat_result) -> Stamp:
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


def _refuse_odd(found: os.stat_result, path: str) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise BrokenPipeline(
            f"{path} is not a file", hint="A folder or device has its name.", where=Where(path)
        )
    if found.st_size > MAX_BYTES:
        raise BrokenPipeline(
            f"{path} has {found.st_size:,} bytes; at most {MAX_BYTES:,} are read",
            hint="Keep data out of files of code and settings.",
            where=Where(path),
        )


def _decoded(data: bytes, path: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BrokenPipeline(
            f"{path} is not UTF-8: byte 0x{data[error.start]:02x}",
            hint="Save the file as UTF-8.",
            where=Where(path, data.count(b"\n", 0, error.start) + 1),
        ) from None


def _unreadable(path: str, error: OSError | ValueError) -> BrokenPipeline:
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return BrokenPipeline(
        f"{path} cannot be read: {reason}",
        hint="Look at the file's name and permissions.",
        where=Where(path),
    )
