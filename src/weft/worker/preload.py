"""Imports what children will need, under the eye of the engine."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from weft.worker import runtime

_SINGLE = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
_LOOK = 0.2


@dataclass(frozen=True, slots=True)
class Preloaded:
    """What was imported. `environment` holds the values that children must get back."""

    environment: Mapping[str, str | None]
    notes: tuple[str, ...]
    seconds: float


def preload(names: Sequence[str], *, watch: Callable[[], None]) -> Preloaded:
    """Load the runtime with its plugins, and the modules in `names`.

    Nothing in those modules is called, because a library that was used may hang after a
    fork. Missing ones are passed over; broken ones are noted. `watch` is called again and
    again meanwhile, from a signal handler, and may end the process.
    """
    began = time.monotonic()
    before = {name: os.environ.get(name) for name in _SINGLE}
    os.environ.update(_SINGLE)
    with _watched(watch):
        runtime.warm()
        notes = [note for name in names if (note := _load(name))]
    if threading.active_count() > 1:
        running = ", ".join(sorted(t.name for t in threading.enumerate()[1:]))
        notes.append(f"an import started threads, which makes forking unsafe: {running}")
    gc.collect()
    gc.freeze()
    return Preloaded(before, tuple(notes), time.monotonic() - began)


def _load(name: str) -> str | None:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name + ".").startswith(error.name + "."):
            return None
        return f"{name} could not be imported: {error}"
    except Exception as error:  # noqa: BLE001  a library may raise anything; blocks that need it will say so themselves
        return f"{name} could not be imported: {type(error).__name__}: {error}"
    return None


@contextlib.contextmanager
def _watched(watch: Callable[[], None]) -> Iterator[None]:
    """Call `watch` at intervals although the main thread is busy importing."""

    def look(*_: object) -> None:
        watch()

    old = signal.signal(signal.SIGALRM, look)
    # Reads inside libraries in C must not fail because a look interrupted them.
    signal.siginterrupt(signal.SIGALRM, False)  # noqa: FBT003  the standard library's signature
    signal.setitimer(signal.ITIMER_REAL, _LOOK, _LOOK)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
        sys.stdout.flush()
