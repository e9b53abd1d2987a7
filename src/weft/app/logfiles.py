"""Logs as files: `<root>/<run id>/<block run id>-<attempt>.jsonl`, one JSON line each.

The worker that runs the attempt appends; everybody else reads whole lines only. What
other engines ran lies below their roots, and is found there.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from weft.core.ids import BlockRunId, RunId
from weft.core.json import Json, JsonMap
from weft.ports.logs import LogFile

_log = logging.getLogger("weft.logs")

_NAME = re.compile(r"^(?P<block_run>\d+)-(?P<attempt>\d+)\.jsonl$")
_CHUNK = 4 * 1024 * 1024
"""Bytes read at a time: a huge log never fills the memory of its reader."""

PAUSE = 0.2
"""Seconds between two looks of somebody who follows.

The one poll of this file: files tell nobody that they have grown, and inotify is
Linux's alone. A look costs one `scandir` and one `stat` per attempt (about 20 µs
for ten), only while somebody follows, and nothing otherwise.
"""


class LogFiles:
    """Implements `ports.logs.Logs` over folders that this host can reach.

    New logs go below `root`; `others` names the further roots to look into.
    """

    def __init__(
        self,
        root: Path,
        *,
        others: Callable[[], Iterable[Path]] = tuple,
        pause: float = PAUSE,
    ) -> None:
        self._root = root
        self._others = others
        self._pause = pause
        self._unreachable: set[Path] = set()

    def path(self, run_id: RunId, block_run_id: BlockRunId, attempt: int) -> Path:
        folder = self._folder(run_id)
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{block_run_id}-{attempt}.jsonl"

    def files(self, run_id: RunId) -> Sequence[LogFile]:
        found: dict[tuple[int, int], LogFile] = {}
        for folder in self._folders(run_id):
            for path in self._listed(folder):
                name = _NAME.match(path.name)
                if name is None:
                    continue
                try:
                    stat = path.stat()
                except FileNotFoundError:  # deleted since the folder was listed
                    continue
                log = LogFile(
                    run_id=run_id,
                    block_run_id=BlockRunId(int(name["block_run"])),
                    attempt=int(name["attempt"]),
                    path=path,
                    size=stat.st_size,
                    modified=stat.st_mtime,
                )
                # Two roots may be one folder under two names.
                found.setdefault((stat.st_dev, stat.st_ino), log)
        return sorted(found.values(), key=lambda log: (log.block_run_id, log.attempt))

    def read(self, file: Path, offset: int = 0) -> tuple[Sequence[JsonMap], int]:
        lines: list[JsonMap] = []
        while True:
            some, after = _whole_lines(file, offset)
            lines.extend(_parsed(line) for line in some)
            if after == offset:
                return lines, offset
            offset = after

    def follow(self, run_id: RunId, block_run_id: BlockRunId | None) -> Iterator[JsonMap | None]:
        offsets: dict[Path, int] = {}
        pause = threading.Event()
        while True:
            fresh: list[JsonMap] = []
            for log in self.files(run_id):
                if block_run_id is not None and log.block_run_id != block_run_id:
                    continue
                if log.size > offsets.get(log.path, 0):
                    lines, offsets[log.path] = self.read(log.path, offsets.get(log.path, 0))
                    fresh.extend(lines)
            yield from sorted(fresh, key=_when)
            yield None
            pause.wait(self._pause)

    def delete(self, run_id: RunId) -> None:
        for folder in self._folders(run_id):
            shutil.rmtree(folder, ignore_errors=True)

    def _folder(self, run_id: RunId) -> Path:
        return self._root / str(int(run_id))

    def _folders(self, run_id: RunId) -> Iterator[Path]:
        yield self._folder(run_id)
        for root in self._others():
            if root != self._root:
                yield root / str(int(run_id))

    def _listed(self, folder: Path) -> Sequence[Path]:
        try:
            return sorted(folder.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return ()
        except OSError as error:
            if folder.parent == self._root:
                raise
            # Another engine's folder, maybe on a share that is gone: ours still count.
            if folder.parent not in self._unreachable:
                self._unreachable.add(folder.parent)
                _log.warning("logs below %s are left out: %s", folder.parent, error.strerror)
            return ()


def _whole_lines(file: Path, offset: int) -> tuple[Sequence[bytes], int]:
    """Return the whole lines of one chunk, and the offset after them.

    A line longer than a chunk is read to its end, so that nobody waits for ever.
    """
    try:
        with file.open("rb") as stream:
            stream.seek(offset)
            block = stream.read(_CHUNK)
            end = block.rfind(b"\n") + 1
            if not end and len(block) == _CHUNK:
                block += stream.readline()
                end = len(block) if block.endswith(b"\n") else 0
    except FileNotFoundError:
        return (), offset
    return block[:end].split(b"\n")[:-1], offset + end


def _parsed(line: bytes) -> JsonMap:
    text = line.decode("utf-8", errors="replace")
    try:
        value: Json = json.loads(text)
    except ValueError:
        value = None
    if isinstance(value, dict) and "message" in value:
        return value
    return {"timestamp": 0.0, "level": "INFO", "message": text}


def _when(line: JsonMap) -> float:
    at = line.get("timestamp")
    return float(at) if isinstance(at, int | float) else 0.0
