"""What only the kernel can promise about processes, asked of Linux; elsewhere nothing happens."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_LINUX = sys.platform == "linux"
_libc = ctypes.CDLL(None, use_errno=True) if _LINUX else None


def die_with_parent(parent: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Have the kernel signal this process when the thread that made it dies.

    Ends this process at once when `parent` is not its parent any more.
    """
    _prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def refuse_new_privileges() -> None:
    """Make set-uid programs powerless in this process and below, so that we may end them."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def offer_to_oom_killer(score: int) -> None:
    """Let the kernel prefer this process when memory runs out."""
    with contextlib.suppress(OSError):
        _write("/proc/self/oom_score_adj", str(score))


def limit_memory(limit: int) -> None:
    """Refuse this process more than `limit` bytes of private memory above what it has."""
    ceiling = own_data() + limit
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (ceiling, ceiling))


def own_data() -> int:
    """Return the bytes of private writable memory of this process; 0 when unknown."""
    return _statm(5)


def own_resident() -> int:
    """Return the bytes of this process that are in memory; 0 when unknown."""
    return _statm(1)


def oom_kills() -> int:
    """Return how often the kernel killed for want of memory, as near to us as can be seen."""
    for path in _OOM_COUNTERS:
        for line in _lines(path):
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return 0


def children() -> tuple[int, ...]:
    """Return the processes whose parent is this one, orphans that it adopted included."""
    pid = os.getpid()
    with contextlib.suppress(OSError):
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
        return tuple(int(word) for word in text.split())
    return ()


def signal_group(pid: int, number: signal.Signals) -> bool:
    """Signal all of a process group, or its leader while it has no group yet.

    Return whether there was anybody to signal.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
        return True
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
        return True
    return False


def group_lives(pid: int) -> bool:
    """Whether the group has members, ended ones that nobody waited for included."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, 0)
        return True
    return False


def _prctl(option: int, value: int) -> None:
    if _libc is None:
        return
    if _libc.prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), f"prctl({option}) failed")


def _statm(column: int) -> int:
    for line in _lines("/proc/self/statm"):
        return int(line.split()[column]) * resource.getpagesize()
    return 0


def _lines(path: str) -> list[str]:
    with contextlib.suppress(OSError):
        return Path(path).read_text(encoding="ascii").splitlines()
    return []


def _write(path: str, text: str) -> None:
    Path(path).write_text(text, encoding="ascii")


def _oom_counters() -> list[str]:
    """Return the files that count such kills, our own control group's first."""
    found = []
    for line in _lines("/proc/self/cgroup"):
        _, controllers, group = line.split(":", 2)
        if controllers == "":
            found.append(f"/sys/fs/cgroup{group}/memory.events")
        elif "memory" in controllers.split(","):
            found.append(f"/sys/fs/cgroup/memory{group}/memory.oom_control")
    found += ["/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"]
    return [*found, "/proc/vmstat"]


_OOM_COUNTERS = _oom_counters()
