"""The other engines of one database: whether this one may work beside them, and their logs.

What one engine writes another reads: outputs of earlier blocks, logs. Both are found by
absolute paths, so each engine's data directory must be within everybody's reach.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from pathlib import Path

from weft.app.datadir import DataDir
from weft.core.errors import Conflict, Unavailable
from weft.core.ids import EngineId
from weft.ports.engines import EngineRow
from weft.ports.unit import Store

_log = logging.getLogger("weft.engine")

FRESH = 1.0
"""Seconds for which the other engines' folders are remembered."""


def check_neighbours(engines: Iterable[EngineRow], me: EngineId, *, host: str) -> int:
    """Return how many other engines are alive, having found each one's directory here.

    The sign is the file with the engine's name in it, below the same absolute path: that
    is so on the same host, and where hosts share the directory. Raises `Conflict` naming
    the engine, its host and the path that is out of reach.
    """
    others = [row for row in engines if row.live and row.ref.id != me]
    for row in others:
        reason = _unreachable(row)
        if reason is not None:
            raise Conflict(
                f"engine {row.ref.id} on host {row.host} works on the same database, but its "
                f"data directory {row.data_dir} is not reachable on host {host}: {reason}",
                hint="Engines read each other's outputs and logs. Share one directory between "
                "the hosts, under the same path everywhere, and set WEFT_DATA_DIR to it; share "
                "the project's folder, and its `variables_dir` if it has one, alike. If that "
                "engine is gone, its lease ends within seconds: try again then.",
            )
    return len(others)


def warn_of_paths(former: str, ours: str) -> None:
    """Say it when the other engines know the project at another path than this one."""
    if former != ours:
        _log.warning(
            "other engines serve this project, last opened at %s and here at %s: modules beside "
            "the blocks are read from disk, so it should be one folder under one path",
            former,
            ours,
        )


class LogRoots:
    """The folders below which the engines of a database log; call it to get them."""

    def __init__(self, store: Store, monotonic: Callable[[], float]) -> None:
        self._store = store
        self._monotonic = monotonic
        self._known: tuple[float, tuple[Path, ...]] | None = None

    def __call__(self) -> tuple[Path, ...]:
        """Return the roots as of at most `FRESH` seconds ago.

        While the database does not answer, those last known are returned.
        """
        known, now = self._known, self._monotonic()
        if known is not None and now - known[0] < FRESH:
            return known[1]
        try:
            with self._store.read() as unit:
                folders = {row.data_dir for row in unit.engines.all()}
        except Unavailable as error:
            _log.warning("the other engines' folders are not asked for: %s", error)
            return known[1] if known is not None else ()
        roots = tuple(DataDir(Path(folder)).logs for folder in sorted(folders))
        self._known = (now, roots)
        return roots


def _unreachable(row: EngineRow) -> str | None:
    folder = Path(row.data_dir)
    try:
        if DataDir(folder).houses(row.ref.id):
            return None
    except (FileNotFoundError, NotADirectoryError):
        return "there is no such folder here"
    except OSError as error:
        return error.strerror or str(error)
    return "the folder of that name here is another one"
