"""The data directory: what lies where, and who may use it as an engine.

    <data>/weft.db            the database, unless a server is used
    <data>/engine.id          name of the engine; made once, kept for ever
    <data>/engine.lock        held by the living engine; tells its pid and address
    <data>/engine-<n>.id      name of the engine in slot n, counted from 1
    <data>/engine-<n>.lock    held by that engine
    <data>/run-<n>.lock       held by a `weft run`, the n-th at this moment
    <data>/bells/             sockets of those who want to be told news
    <data>/logs/              see `logfiles`
    <data>/outputs/           unless `variables_dir` of the project says otherwise
    <data>/settings.toml      optional; see `settings`

On SQLite one engine works at a time. On PostgreSQL several may, each in the lowest slot
that was free at its start; slot 0 is the one without a number. Whoever holds a slot's
lock ends the earlier incarnation of its name at once.

A lock is an flock: it ends with its process, however that ends. Hosts that share the
directory need a file system whose flocks hold across hosts (NFS 4 is one).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from weft.core.errors import Conflict, Unavailable
from weft.core.ids import EngineId
from weft.core.json import Json

_OF_A_RUN = re.compile(r"-run-\d+$")


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

    def lock(self, slot: int = 0) -> Path:
        """Return the file that the living engine of a slot holds."""
        return self.root / f"{_stem(slot)}.lock"

    def make(self) -> None:
        """Create the directory for its owner alone. Raises `Unavailable` if that fails."""
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.logs.mkdir(exist_ok=True)
        except OSError as error:
            raise _unusable(self.root, error) from None

    def engine_id(self, new_name: Callable[[], str], slot: int = 0) -> EngineId:
        """Return the name of a slot's engine, making it on first use.

        Raises `Unavailable` when it can be neither read nor made.
        """
        path = self.root / f"{_stem(slot)}.id"
        try:
            with contextlib.suppress(FileExistsError), path.open("x", encoding="ascii") as file:
                file.write(new_name() + "\n")
            name = path.read_text(encoding="ascii").strip()
            if not name:  # a crash between creating the file and filling it
                name = new_name()
                path.write_text(name + "\n", encoding="ascii")
        except OSError as error:
            raise _unusable(self.root, error) from None
        return EngineId(name)

    def houses(self, engine: EngineId) -> bool:
        """Tell whether an engine (or a `weft run`, by its engine's name) lives here.

        Raises `OSError` when the directory cannot be looked into.
        """
        name = _OF_A_RUN.sub("", engine)
        files = (path for path in sorted(self.root.iterdir()) if path.suffix == ".id")
        return any(path.read_text(encoding="ascii").strip() == name for path in files)


@dataclass(slots=True)
class Lock:
    """An flock that is held; `note` is what others read about its holder."""

    path: Path
    _file: IO[str] = field(repr=False)
    _facts: dict[str, Json] = field(default_factory=dict, init=False)

    def note(self, **facts: Json) -> None:
        """Leave word for those who find the lock taken, beside what was left before.

        Raises `Unavailable`.
        """
        self._facts.update(facts)
        try:
            self._file.seek(0)
            self._file.truncate()
            self._file.write(json.dumps({"pid": os.getpid(), **self._facts}))
            self._file.flush()
        except OSError as error:
            raise _unusable(self.path.parent, error) from None

    def release(self) -> None:
        """Give the lock back."""
        self._file.close()


@dataclass(frozen=True, slots=True)
class Seat:
    """An engine's place in its data directory, held until its locks are released."""

    slot: int
    locks: tuple[Lock, ...]

    def note(self, **facts: Json) -> None:
        """Leave word for those who find the place taken."""
        for lock in self.locks:
            lock.note(**facts)

    def release(self) -> None:
        """Give the place back."""
        for lock in self.locks:
            lock.release()


def take(path: Path, **facts: Json) -> Lock | None:
    """Take the lock on `path`, or return None when another process holds it.

    Raises `Unavailable` when the file cannot be made.
    """
    try:
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise _unusable(path.parent, error) from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    lock = Lock(path, file)
    lock.note(**facts)
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


def lock_engine(data: DataDir, database: Path | None) -> Seat:
    """Become an engine of this data directory.

    `database` is the SQLite file, which has one engine and so has the directory; None
    for a server, which may have many. Raises `Conflict` naming the process that is in
    the way.
    """
    return _next_seat(data) if database is None else _only_seat(data, database)


def _only_seat(data: DataDir, database: Path) -> Seat:
    paths = [data.lock()]
    if database.parent.resolve() != data.root.resolve():
        paths.append(database.with_name(f"{database.name}.lock"))
    locks: list[Lock] = []
    for path in paths:
        lock = take(path, alone=True)
        if lock is None:
            Seat(0, tuple(locks)).release()
            raise _taken(path, data)
        locks.append(lock)
    seat = Seat(0, tuple(locks))
    for path in data.root.glob("engine-*.lock"):
        if holder(path) is not None:
            seat.release()
            raise _taken(path, data)
    return seat


def _next_seat(data: DataDir) -> Seat:
    slot = 0
    while True:
        lock = take(data.lock(slot))
        if lock is not None:
            return Seat(slot, (lock,))
        if (holder(data.lock(slot)) or {}).get("alone"):
            # Runs of two databases have the same numbers, and so the same log files.
            raise _taken(data.lock(slot), data)
        slot += 1


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
        hint="Stop it first, or set WEFT_DATA_DIR to another folder. Several engines share "
        "a data directory and its runs on PostgreSQL only.",
    )


def _stem(slot: int) -> str:
    return f"engine-{slot}" if slot else "engine"


def _unusable(folder: Path, error: OSError) -> Unavailable:
    return Unavailable(
        f"the data directory {folder} cannot be used: {error.strerror}",
        hint="Make it a folder on a local disk with room that you may write to, or set "
        "WEFT_DATA_DIR to another.",
    )


def _facts(text: str) -> Mapping[str, Json]:
    try:
        facts = json.loads(text)
    except ValueError:  # read between the holder's truncate and write
        return {}
    return facts if isinstance(facts, dict) else {}
