"""Where blocks run: an executor carries out attempts and pushes reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from weft.core.events import Failed, Lost, Started, Stopped, Succeeded
from weft.core.ids import RunId
from weft.core.json import Json, JsonMap
from weft.core.records import Outcome
from weft.wire.envelope import Envelope


@dataclass(frozen=True, slots=True)
class Job:
    """One attempt to carry out.

    `id` is `weft-<project>-<block run id>-<attempt>`: deterministic, so that an
    attempt can be found again without a stored handle. The envelope holds all that
    the worker needs; nothing else is shared.
    """

    id: str
    run_id: RunId
    envelope: Envelope


@dataclass(frozen=True, slots=True)
class Report:
    """What became of an attempt. `event` is for deciding, `outcome` for keeping."""

    run_id: RunId
    event: Started | Succeeded | Failed | Lost | Stopped
    outcome: Outcome


Reporter = Callable[[Report], None]
"""Takes a report, from any thread, at once and without raising."""

Answerer = Callable[[RunId, str, JsonMap], Json]
"""Answers a block's question (`name`, `arguments`); raises `WeftError` to refuse."""


class Executor(Protocol):
    """Carries out attempts. Every method may be called from any thread.

    Each submitted job is reported `Started` at most once, then ends in exactly one
    of `Succeeded`, `Failed`, `Lost`, `Stopped`.
    """

    def submit(self, job: Job, report: Reporter) -> None:
        """Begin an attempt. Never blocks for long, never raises for the job's own failure."""
        ...

    def stop(self, job_id: str) -> None:
        """End an attempt: ask, wait the grace, force. Its end is reported like any other.

        An unknown job is not an error: it has ended already and was reported.
        """
        ...

    def adopt(self, job: Job, report: Reporter) -> bool:
        """After a restart: is the attempt still alive somewhere? Then report on it again."""
        ...

    def beat(self) -> None:
        """Say that the engine lives; children of a silent engine are ended."""
        ...

    def close(self, *, grace: float) -> None:
        """Wait up to `grace` seconds for what runs, then end it; report all ends."""
        ...
