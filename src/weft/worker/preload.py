"""Imports what children will need."""

from __future__ import annotations

import faulthandler
import gc
import importlib
import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from weft.worker import runtime

_SINGLE = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@dataclass(frozen=True, slots=True)
class Preloaded:
    """What was imported. `environment` holds the values that children must get back."""

    environment: Mapping[str, str | None]
    notes: tuple[str, ...]
    seconds: float


def preload(names: Sequence[str]) -> Preloaded:
    """Load the runtime with its plugins, and the modules in `names`.

    Nothing in those modules is called, because a library that was used may hang after a
    fork. Missing ones are passed over; broken ones are noted.
    """
    began, threads = time.monotonic(), threading.enumerate()
    before = {name: os.environ.get(name) for name in _SINGLE}
    os.environ.update(_SINGLE)
    runtime.warm()
    notes = [note for name in names if (note := _load(name))]
    runtime.warm()  # again: what it loads for these modules it loads only once they are there
    sys.stdout.flush()
    started = sorted(t.name for t in threading.enumerate() if t not in threads)
    if started:
        names_of = ", ".join(started)
        notes.append(f"an import started threads, which makes forking unsafe: {names_of}")
    # For the children, which inherit it: their descriptor 2 is the log of their attempt.
    faulthandler.enable(2)
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
