"""How the end of an attempt is told to the engine: one event, one outcome."""

from __future__ import annotations

import traceback
from datetime import datetime
from typing import assert_never

from weft.core.events import Failed, Succeeded
from weft.core.ids import BlockUuid
from weft.core.json import JsonMap
from weft.core.records import Outcome
from weft.core.states import Cause
from weft.wire.result import Completed, Errored, Result


def event_of(result: Result, *, block: str, attempt: int) -> Succeeded | Failed:
    """Return the event that a worker's own result stands for."""
    uuid = BlockUuid(block)
    match result:
        case Completed():
            return Succeeded(uuid, attempt)
        case Errored(_, cause, final):
            return Failed(uuid, attempt, cause, final)
        case _:
            assert_never(result)


def outcome_of(result: Result, *, started_at: datetime | None, ended_at: datetime) -> Outcome:
    """Return what is worth keeping of a worker's own result."""
    match result:
        case Completed(outputs, metrics):
            return Outcome(
                outputs=outputs, metrics=metrics, started_at=started_at, ended_at=ended_at
            )
        case Errored(error, cause, _, metrics):
            return Outcome(
                metrics=metrics,
                error={"cause": cause.value, **error},
                cause=cause,
                started_at=started_at,
                ended_at=ended_at,
            )
        case _:
            assert_never(result)


def raised(error: BaseException) -> Errored:
    """Return the result of an attempt that ended in an exception nobody turned into one."""
    told = f"{type(error).__name__}: {error}"
    lines = [line.rstrip("\n") for line in traceback.format_exception(error)]
    cause = Cause.OUT_OF_MEMORY if isinstance(error, MemoryError) else Cause.USER
    return Errored({"error": told, "errors": lines, "message": str(error)}, cause)


def error_of(reason: str, cause: Cause) -> JsonMap:
    """Return `Outcome.error` for an end that no worker could tell of itself."""
    return {"error": reason, "errors": [reason], "message": reason, "cause": cause.value}
