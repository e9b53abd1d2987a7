"""What a dead child's remains are taken to mean."""

from __future__ import annotations

import signal
from dataclasses import replace

import pytest

from weft.core.states import Cause
from weft.worker.verdict import Order, Remains, verdict

MIB = 2**20
_EXIT = 1 << 8
"""A wait status counts exit codes in its second byte, signals in its first."""


@pytest.mark.parametrize(
    ("remains", "cause"),
    [
        (Remains(signal.SIGKILL), Cause.LOST),
        (Remains(signal.SIGKILL, oom_killed=True), Cause.OUT_OF_MEMORY),
        (Remains(signal.SIGKILL, memory_limit=100 * MIB, grown=10 * MIB), Cause.LOST),
        (Remains(signal.SIGKILL, memory_limit=100 * MIB, grown=90 * MIB), Cause.OUT_OF_MEMORY),
        (Remains(signal.SIGSEGV), Cause.LOST),
        (Remains(signal.SIGSEGV, oom_killed=True), Cause.LOST),
        (Remains(signal.SIGSEGV, memory_limit=100 * MIB, grown=10 * MIB), Cause.LOST),
        (Remains(signal.SIGSEGV, memory_limit=100 * MIB, grown=90 * MIB), Cause.OUT_OF_MEMORY),
        (Remains(signal.SIGABRT, last_words=b"x std::bad_alloc y"), Cause.LOST),
        (
            Remains(signal.SIGABRT, memory_limit=MIB, last_words=b"x std::bad_alloc y"),
            Cause.OUT_OF_MEMORY,
        ),
        (Remains(signal.SIGTERM, memory_limit=100 * MIB, grown=90 * MIB), Cause.LOST),
        (Remains(3 * _EXIT), Cause.LOST),
        (Remains(3 * _EXIT, memory_limit=MIB, last_words=b"MemoryError"), Cause.OUT_OF_MEMORY),
    ],
)
def test_out_of_memory_needs_evidence(remains: Remains, cause: Cause) -> None:
    judged = verdict(remains)
    assert judged.cause is cause
    assert judged.how == ("failed" if cause is Cause.OUT_OF_MEMORY else "lost")


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (signal.SIGKILL, "killed by SIGKILL"),
        (signal.SIGSEGV | 0x80, "killed by SIGSEGV"),
        (signal.SIGRTMIN + 5, f"killed by signal {signal.SIGRTMIN + 5}"),
        (3 * _EXIT, "exited with code 3 without a report"),
    ],
)
def test_the_reason_names_the_death(status: int, told: str) -> None:
    assert verdict(Remains(status)).reason == told


@pytest.mark.parametrize(
    ("order", "how", "cause"),
    [
        (Order.STOP, "stopped", Cause.CANCELLED),
        (Order.TIMEOUT, "failed", Cause.TIMEOUT),
        (Order.SILENCE, "lost", Cause.ENGINE),
    ],
)
def test_what_was_ordered_outweighs_how_it_was_done(order: Order, how: str, cause: Cause) -> None:
    remains = Remains(signal.SIGKILL, oom_killed=True, timeout=2.5)
    judged = verdict(replace(remains, order=order))
    assert (judged.how, judged.cause) == (how, cause)


def test_a_timeout_says_how_long() -> None:
    assert "2.5 s" in verdict(Remains(9, order=Order.TIMEOUT, timeout=2.5)).reason


_CRASH = b"""Fatal Python error: Segmentation fault
  File "/usr/lib/ctypes/__init__.py", line 519 in string_at
  File "data_loaders/a+b.py", line 7 in inner
  File "data_loaders/a+b.py", line 12 in load
"""


@pytest.mark.parametrize(
    ("status", "path", "told"),
    [
        (signal.SIGSEGV, "data_loaders/a+b.py", "killed by SIGSEGV in data_loaders/a+b.py:7"),
        (signal.SIGSEGV, "data_loaders/b.py", "killed by SIGSEGV"),
        (signal.SIGSEGV, "", "killed by SIGSEGV"),
        (signal.SIGKILL, "data_loaders/a+b.py", "killed by SIGKILL"),
    ],
)
def test_a_crash_is_placed_where_python_saw_it(status: int, path: str, told: str) -> None:
    assert verdict(Remains(status, last_words=_CRASH, code_path=path)).reason == told
