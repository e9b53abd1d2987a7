"""The data directory: what lies where, and who may use it as an engine.

    <data>/weft.db            the database, unless a server is used
    <data>/engine.id          name of the engine; made once, kept for ever
    <data>/engine.lock        held by the living engine; tells its pid and address
    <data>/run-<n>.lock       held by a `weft run`, the n-th at this moment
    <data>/bells/             sockets of those who want to be told news
    <data>/logs/              see `logfiles`
    <data>/outputs/           unless `variables_dir` of the project says otherwise
    <data>/settings.toml      optional; see `settings`

A lock is an flock: it ends with its process, however that ends.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from weft.core.errors import Conflict, Unavailable
from weft.core.ids import EngineId
from weft.core.json import Json


@dataclass(frozen=True, slots=True)
class DataDir:
    """Paths below one data directory."""

    root: Path

    @property
    def logs(self) -> Path:
        """Where logs lie."""
        return self.root / "logs"

    @property
    def bells(self) -> Path:
        """Where processes of this host are told news; see `signals.bell`."""
        return self.root / "bells"

    @property
    def lock(self) -> Path:
        """The file that a living engine holds."""
        return self.root / "engine.lock"

    def make(self) -> None:
        """Create the directory for its owner alone. Raises `Unavailable` if that fails."""
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.logs.mkdir(exist_ok=True)
        except OSError as error:
            raise Unavailable(
                f"cannot create the data directory {self.root}: {error.strerror}",
                hint="Set WEFT_DATA_DIR to a folder that you may write to.",
            ) from None

    def engine_id(self, new_name: Callable[[], str]) -> EngineId:
        """Return this directory's engine name, making it on first use."""
        path = self.root / "engine.id"
        try:
            with path.open("x", encoding="ascii") as file:
                file.write(new_name() + "\n")
        except FileExistsError:
            pass
        name = path.read_text(encoding="ascii").strip()
        if not name:  # a crash between creating the file and filling it
            name = new_name()
            path.write_text(name + "\n", encoding="ascii")
        return EngineId(name)


@dataclass(slots=True)
class Lock:
    """An flock that is held; `note` is what others read about its holder."""

    path: Path
    _file: IO[str] = field(repr=False)

    def note(self, **facts: Json) -> None:
        """Leave word for those who find the lock taken."""
        self._file.seek(0)
        self._file.truncate()
        self._file.write(json.dumps({"pid": os.getpid(), **facts}))
        self._file.flush()

    def release(self) -> None:
        """Give the lock back."""
        self._file.close()


def take(path: Path) -> Lock | None:
    """Take the lock on `path`, or return None when another process holds it."""
    file = path.open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    lock = Lock(path, file)
    lock.note()
    return lock


def holder(path: Path) -> Mapping[str, Json] | None:
    """Return what the holder of a lock says of itself, or None when nobody holds it."""
    try:
        file = path.open("r", encoding="utf-8")
    except FileNotFoundError:
        return None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _facts(file.read())
    return None


def lock_engine(data: DataDir, database: Path | None) -> tuple[Lock, ...]:
    """Become the engine of this data directory and, on SQLite, of this database file.

    Raises `Conflict` naming the process that is it already.
    """
    paths = [data.lock]
    if database is not None and database.parent.resolve() != data.root.resolve():
        paths.append(database.with_name(f"{database.name}.lock"))
    locks: list[Lock] = []
    for path in paths:
        lock = take(path)
        if lock is None:
            for held in locks:
                held.release()
            raise _taken(path, data)
        locks.append(lock)
    return tuple(locks)


def lock_run(data: DataDir) -> tuple[Lock, int]:
    """Take the lowest free place for a `weft run`; its number makes the engine's name."""
    number = 0
    while True:
        lock = take(data.root / f"run-{number}.lock")
        if lock is not None:
            return lock, number
        number += 1


def _taken(path: Path, data: DataDir) -> Conflict:
    facts = holder(path) or {}
    who = f"process {facts['pid']}" if "pid" in facts else "another process"
    where = f" at {facts['url']}" if facts.get("url") else ""
    return Conflict(
        f"an engine runs on {data.root} already: {who}{where}",
        hint="Stop it first, or set WEFT_DATA_DIR to another folder.",
    )


def _facts(text: str) -> Mapping[str, Json]:
    try:
        facts = json.loads(text)
    except ValueError:  # read between the holder's truncate and write
        return {}
    return facts if isinstance(facts, dict) else {}
