"""The statuses of a pipeline run and of a block run, and the only moves allowed.

Rule 1: every transition of the product is a row of `BLOCK_MOVES` or `RUN_MOVES`.
Rule 2: guards that need more than the row (attempts, budgets, upstreams) live in
        `machine`; nobody else assigns a status.
Rule 3: what lies between two statuses is a column, never a status: ready is
        `initial` + `ready_at`; waiting for a retry is `queued` + `not_before`;
        being cancelled is any status + `cancel_requested_at` of the run.
Rule 4: a terminal status is left only by `RETRY`, which raises the run's epoch.

docs/reference/states.md shows these tables; a test keeps it current.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class BlockStatus(StrEnum):
    """Where one block of one run stands, as the API shows it."""

    INITIAL = "initial"
    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UPSTREAM_FAILED = "upstream_failed"
    CONDITION_FAILED = "condition_failed"


class RunStatus(StrEnum):
    """Where a whole pipeline run stands, as the API shows it."""

    INITIAL = "initial"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Cue(StrEnum):
    """Why something moved: the word kept in the event row."""

    BEGIN = "begin"
    ADMIT = "admit"
    START = "start"
    COMPLETE = "complete"
    FAIL = "fail"
    TRY_AGAIN = "try_again"
    RETRY_DUE = "retry_due"
    LOSE = "lose"
    UPSTREAM_FAIL = "upstream_fail"
    CONDITION_FAIL = "condition_fail"
    CANCEL = "cancel"
    RETRY = "retry"


class Cause(StrEnum):
    """Why an attempt ended other than well."""

    USER = "user"
    """The block raised, or its tests failed."""
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    LOST = "lost"
    """The child, the zygote or the remote worker died."""
    ENGINE = "engine"
    """The engine that watched the attempt is gone."""
    CANCELLED = "cancelled"
    """Somebody, or the failure of a sibling, asked for it to stop."""


_B, _R, _C = BlockStatus, RunStatus, Cue

BLOCK_MOVES: Mapping[BlockStatus, Mapping[Cue, BlockStatus]] = {
    _B.INITIAL: {
        _C.ADMIT: _B.QUEUED,
        _C.UPSTREAM_FAIL: _B.UPSTREAM_FAILED,
        _C.CONDITION_FAIL: _B.CONDITION_FAILED,
        _C.CANCEL: _B.CANCELLED,
    },
    _B.QUEUED: {
        _C.START: _B.RUNNING,
        _C.RETRY_DUE: _B.QUEUED,
        _C.LOSE: _B.QUEUED,
        _C.FAIL: _B.FAILED,
        _C.CANCEL: _B.CANCELLED,
    },
    _B.RUNNING: {
        _C.COMPLETE: _B.COMPLETED,
        _C.FAIL: _B.FAILED,
        _C.TRY_AGAIN: _B.QUEUED,
        _C.LOSE: _B.QUEUED,
        _C.CANCEL: _B.CANCELLED,
    },
    _B.COMPLETED: {_C.RETRY: _B.INITIAL},
    _B.FAILED: {_C.RETRY: _B.INITIAL},
    _B.CANCELLED: {_C.RETRY: _B.INITIAL},
    _B.UPSTREAM_FAILED: {_C.RETRY: _B.INITIAL},
    _B.CONDITION_FAILED: {_C.RETRY: _B.INITIAL},
}

RUN_MOVES: Mapping[RunStatus, Mapping[Cue, RunStatus]] = {
    _R.INITIAL: {_C.BEGIN: _R.RUNNING, _C.FAIL: _R.FAILED, _C.CANCEL: _R.CANCELLED},
    _R.RUNNING: {_C.COMPLETE: _R.COMPLETED, _C.FAIL: _R.FAILED, _C.CANCEL: _R.CANCELLED},
    _R.COMPLETED: {_C.RETRY: _R.RUNNING},
    _R.FAILED: {_C.RETRY: _R.RUNNING},
    _R.CANCELLED: {_C.RETRY: _R.RUNNING},
}

BLOCK_ENDED = frozenset(status for status, moves in BLOCK_MOVES.items() if {*moves} == {_C.RETRY})
RUN_ENDED = frozenset(status for status, moves in RUN_MOVES.items() if {*moves} == {_C.RETRY})
BLOCK_LIVE = frozenset({_B.QUEUED, _B.RUNNING})
"""Statuses that occupy a place under a limit."""
RUN_OPEN = frozenset({_R.INITIAL, _R.RUNNING})
