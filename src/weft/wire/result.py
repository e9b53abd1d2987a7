"""How an attempt ended, as the worker itself tells it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from weft.core.artifact import Output
from weft.core.json import JsonMap
from weft.core.states import Cause


@dataclass(frozen=True, slots=True)
class Completed:
    """The block returned, its outputs are complete on disk, its tests passed.

    `metrics` may hold `cpu_seconds`, `peak_memory_bytes`, `rows_out`, `bytes_out`.
    """

    outputs: tuple[Output, ...] = ()
    metrics: JsonMap = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Errored:
    """The block failed. `error` has the shape of `records.Outcome.error`.

    `final` says that another try cannot help.
    """

    error: JsonMap
    cause: Cause = Cause.USER
    final: bool = False
    metrics: JsonMap = field(default_factory=dict)


Result: TypeAlias = Completed | Errored
