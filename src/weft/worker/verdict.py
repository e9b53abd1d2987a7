"""What the end of a child means that did not tell of itself. Pure."""

from __future__ import annotations

import os
import re
import signal
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from weft.core.states import Cause

_NEAR = 0.8
_ABRUPT = frozenset({signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGTRAP})
_CRIES = (b"memory allocation of", b"std::bad_alloc", b"MemoryError", b"out of memory")
"""What allocators of Rust, C++ and Python say last when there is no memory."""


class Order(StrEnum):
    """Why the zygote ends a child."""

    STOP = "stop"
    TIMEOUT = "timeout"
    SILENCE = "silence"


@dataclass(frozen=True, slots=True)
class Remains:
    """What is known of a dead child. Memory in bytes, `grown` above what it was born with."""

    status: int
    """As `os.wait4` gives it."""
    order: Order | None = None
    timeout: float | None = None
    memory_limit: int | None = None
    grown: int = 0
    last_words: bytes = b""
    oom_killed: bool = False
    """The kernel killed somebody near us for want of memory."""
    code_path: str = ""
    """The block's own file, as its frames name it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How an attempt ended, in the words of `messages.Died`."""

    how: Literal["failed", "lost", "stopped"]
    cause: Cause
    reason: str


def verdict(remains: Remains) -> Verdict:
    """Return what became of the attempt."""
    match remains.order:
        case Order.STOP:
            return Verdict("stopped", Cause.CANCELLED, "stopped on request")
        case Order.TIMEOUT:
            limit = f"{remains.timeout:g}" if remains.timeout is not None else "?"
            return Verdict(
                "failed", Cause.TIMEOUT, f"timed out: it ran longer than {limit} s and was ended"
            )
        case Order.SILENCE:
            return Verdict("lost", Cause.ENGINE, "ended because its engine fell silent")
        case None:
            return _unordered(remains)


def _unordered(remains: Remains) -> Verdict:
    told = describe(remains.status)
    if _out_of_memory(remains):
        limit = remains.memory_limit
        allowed = f" (its limit is {limit / 2**20:.0f} MiB)" if limit is not None else ""
        return Verdict("failed", Cause.OUT_OF_MEMORY, f"ran out of memory{allowed}: {told}")
    return Verdict("lost", Cause.LOST, told + _crash_site(remains))


def _crash_site(remains: Remains) -> str:
    """Return where in the block a crash happened, if the last words of Python say so."""
    if not os.WIFSIGNALED(remains.status) or os.WTERMSIG(remains.status) not in _ABRUPT:
        return ""
    frame = rb'File "' + re.escape(os.fsencode(remains.code_path)) + rb'", line (\d+) in '
    found = re.search(frame, remains.last_words)
    return f" in {remains.code_path}:{int(found[1])}" if found else ""


def describe(status: int) -> str:
    """Return a wait status in words."""
    if not os.WIFSIGNALED(status):
        return f"exited with code {os.waitstatus_to_exitcode(status)} without a report"
    number = os.WTERMSIG(status)
    try:
        return f"killed by {signal.Signals(number).name}"
    except ValueError:
        return f"killed by signal {number}"


def _out_of_memory(remains: Remains) -> bool:
    limit = remains.memory_limit
    near = limit is not None and remains.grown >= _NEAR * limit
    if os.WIFSIGNALED(remains.status):
        number = os.WTERMSIG(remains.status)
        if number == signal.SIGKILL:
            return near or remains.oom_killed
        if number not in _ABRUPT:
            return False
    cried = any(cry in remains.last_words for cry in _CRIES)
    return limit is not None and (near or cried)
