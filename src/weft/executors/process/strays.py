"""Processes that outlived their attempt and their zygote, found by the mark they bear."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Collection
from pathlib import Path

from weft.wire.mark import marked

_ROUNDS = 10
"""Looks at all processes, lest one escapes by forking while we look."""


def kill_strays(marks: Collection[str]) -> None:
    """Kill all processes that bear one of the marks. Does nothing without `/proc`."""
    for _ in range(_ROUNDS):
        found = _bearers(marks)
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if not found:
            return


def _bearers(marks: Collection[str]) -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if marked((process / "environ").read_bytes()) in marks:
                found.append(int(process.name))
    return found
