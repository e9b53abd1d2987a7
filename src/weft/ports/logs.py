"""What blocks print and log: one file of JSON lines per attempt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from weft.core.ids import BlockRunId, RunId
from weft.core.json import JsonMap


@dataclass(frozen=True, slots=True)
class LogFile:
    """The log of one attempt. `size` in bytes, `modified` in seconds since 1970."""

    run_id: RunId
    block_run_id: BlockRunId
    attempt: int
    path: Path
    size: int
    modified: float


class Logs(Protocol):
    """Logs by run.

    Each line is one JSON object with at least `timestamp` (seconds since 1970),
    `level`, `message`, and the tags of the attempt.
    """

    def path(self, run_id: RunId, block_run_id: BlockRunId, attempt: int) -> Path:
        """Return where the log of an attempt belongs, making its folder."""
        ...

    def files(self, run_id: RunId) -> Sequence[LogFile]:
        """Return the logs that a run has so far, by block run and attempt."""
        ...

    def read(self, file: Path, offset: int = 0) -> tuple[Sequence[JsonMap], int]:
        """Return the whole lines from byte `offset`, and the offset after them.

        A line that is not JSON (a torn write) becomes a line whose message it is.
        """
        ...

    def follow(self, run_id: RunId, block_run_id: BlockRunId | None) -> Iterator[JsonMap | None]:
        """Yield lines of all attempts as they come, oldest first; None at each pause.

        The reader decides, at a pause, whether to go on.
        """
        ...

    def delete(self, run_id: RunId) -> None:
        """Remove a run's logs."""
        ...
