"""`InlineExecutor`: attempts in a thread of this very process, for tests and debugging."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from weft.core.errors import Conflict, Unavailable
from weft.core.events import Lost, Started, Stopped
from weft.core.ids import BlockUuid
from weft.core.json import Json
from weft.core.records import Outcome
from weft.core.states import Cause
from weft.ports.executor import Answerer, Job, Report, Reporter
from weft.wire.ending import error_of, event_of, outcome_of, raised
from weft.wire.result import Result

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Running:
    """An attempt that was handed over and has not ended."""

    job: Job
    report: Reporter
    started_at: datetime | None = None
    stopping: threading.Event = field(default_factory=threading.Event)


class InlineExecutor:
    """Runs attempts in threads of this process, at most `threads` at a time.

    `execute(envelope, ask=..., stopping=...)` carries an envelope out. Nothing can be
    forced here: an attempt that was told to stop sees `stopping` set and its questions
    refused, and is reported `Stopped` once it has ended by itself. Timeouts and memory
    limits are not enforced.
    """

    def __init__(
        self, answer: Answerer, *, execute: Callable[..., Result], threads: int = 1
    ) -> None:
        self._answer = answer
        self._execute = execute
        self._threads = threads
        self._changed = threading.Condition()
        self._running: dict[str, _Running] = {}
        self._queue: queue.SimpleQueue[_Running | None] = queue.SimpleQueue()
        self._workers: list[threading.Thread] = []
        self._telling = 0
        self._closed = False

    def submit(self, job: Job, report: Reporter) -> None:
        with self._changed:
            if job.id in self._running:
                raise Conflict(
                    f"the job {job.id} is already running", hint="Give each attempt its own id."
                )
            running = _Running(job, report)
            closed = self._closed
            if not closed:
                self._running[job.id] = running
                self._queue.put(running)
                if len(self._workers) < min(self._threads, len(self._running)):
                    self._hire()
        if closed:
            _tell(running, _lost(running, "the executor is closed"))

    def stop(self, job_id: str) -> None:
        with self._changed:
            running = self._running.get(job_id)
            if running is None:
                return
            running.stopping.set()
            began = running.started_at is not None
        if not began:
            self._finish(running, _stopped(running))

    def adopt(self, job: Job, report: Reporter) -> bool:  # noqa: ARG002  the port's signature
        """Threads die with their engine: there is never anything to adopt."""
        return False

    def beat(self) -> None:
        """Need not be called: what runs here cannot outlive its engine."""

    def close(self, *, grace: float) -> None:
        with self._changed:
            self._closed = True
            self._changed.wait_for(self._idle, grace)
            left = list(self._running)
            hired = len(self._workers)
        for job_id in left:
            self.stop(job_id)
        with self._changed:
            self._changed.wait_for(self._idle, grace)
            stuck = list(self._running.values())
        for running in stuck:
            self._finish(running, _lost(running, "it did not end, and a thread cannot be forced"))
        for _ in range(hired):
            self._queue.put(None)

    def _hire(self) -> None:
        number = len(self._workers) + 1
        worker = threading.Thread(target=self._work, name=f"weft-inline-{number}", daemon=True)
        self._workers.append(worker)
        worker.start()

    def _work(self) -> None:
        while (running := self._queue.get()) is not None:
            with self._changed:
                if running.stopping.is_set() or self._running.get(running.job.id) is not running:
                    continue
                running.started_at = _now()
            self._carry_out(running)

    def _carry_out(self, running: _Running) -> None:
        envelope = running.job.envelope
        event = Started(BlockUuid(envelope.block_uuid), envelope.attempt)
        _tell(running, Report(running.job.run_id, event, Outcome(started_at=running.started_at)))

        def ask(name: str, **arguments: Json) -> Json:
            if running.stopping.is_set():
                raise Unavailable("the attempt was told to stop")
            return self._answer(running.job.run_id, name, arguments)

        result: Result
        try:
            result = self._execute(envelope, ask=ask, stopping=running.stopping)
        except BaseException as error:  # noqa: BLE001  whatever a block raises, SystemExit too, is its result
            result = raised(error)
        if running.stopping.is_set():
            self._finish(running, _stopped(running))
            return
        ended = event_of(result, block=envelope.block_uuid, attempt=envelope.attempt)
        outcome = outcome_of(result, started_at=running.started_at, ended_at=_now())
        self._finish(running, Report(running.job.run_id, ended, outcome))

    def _finish(self, running: _Running, report: Report) -> None:
        with self._changed:
            if self._running.get(running.job.id) is not running:
                return
            del self._running[running.job.id]
            self._telling += 1
        _tell(running, report)
        with self._changed:
            self._telling -= 1
            self._changed.notify_all()

    def _idle(self) -> bool:
        return not self._running and not self._telling


def _stopped(running: _Running) -> Report:
    envelope = running.job.envelope
    event = Stopped(BlockUuid(envelope.block_uuid), envelope.attempt)
    return Report(running.job.run_id, event, _ended(running, "stopped on request", Cause.CANCELLED))


def _lost(running: _Running, reason: str) -> Report:
    envelope = running.job.envelope
    event = Lost(BlockUuid(envelope.block_uuid), envelope.attempt, Cause.ENGINE)
    return Report(running.job.run_id, event, _ended(running, reason, Cause.ENGINE))


def _ended(running: _Running, reason: str, cause: Cause) -> Outcome:
    return Outcome(
        error=error_of(reason, cause),
        cause=cause,
        started_at=running.started_at,
        ended_at=_now(),
    )


def _tell(running: _Running, report: Report) -> None:
    try:
        running.report(report)
    except Exception:  # noqa: BLE001  one bad reporter must not silence the others
        _log.exception("A report was not taken: %s", report.event)


def _now() -> datetime:
    return datetime.fromtimestamp(time.time(), UTC)
