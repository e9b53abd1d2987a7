"""Processes that blocks started and that left their group: nobody's once the block is over."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Collection
from pathlib import Path

from weft.wire.mark import mark_of, marked
from weft.worker import kernel
from weft.worker.attempt import Attempt


def kill_children() -> None:
    """Kill every child of this process, those that it adopted included."""
    for pid in kernel.children():
        _kill(pid)


def sweep(living: Collection[Attempt]) -> None:
    """Kill the adopted children that belong to none of the living attempts.

    One without a mark (it forked and started no program) may belong to any of them,
    and goes with the last.
    """
    own = {attempt.pid for attempt in living}
    kept = {mark_of(attempt.envelope.token) for attempt in living}
    for pid in kernel.children():
        if pid in own:
            continue
        mark = _mark(pid) if living else ""
        if mark is not None and mark not in kept:
            _kill(pid)


def _mark(pid: int) -> str | None:
    with contextlib.suppress(OSError):
        return marked(Path(f"/proc/{pid}/environ").read_bytes())
    return None


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
