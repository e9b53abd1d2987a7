"""What a block may know of the attempt that runs it."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Context:
    """The attempt in which this code runs.

    `keywords` is what a function with `**kwargs` receives. `attempt` counts from 1
    and never resets; `try_number` counts the tries since the last retry by hand.
    """

    pipeline_uuid: str
    block_uuid: str
    run_id: int
    attempt: int
    try_number: int
    repo_path: str
    keywords: Mapping[str, Any]


_current: ContextVar[Context | None] = ContextVar("weft_context", default=None)


def current() -> Context | None:
    """Return the context of the running block, or None outside of a run."""
    return _current.get()


def enter(context: Context | None) -> None:
    """Make `context` the current one of this thread; for those who run blocks."""
    _current.set(context)
