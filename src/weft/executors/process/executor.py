"""`ProcessExecutor`: attempts as processes of this host."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from weft.core.errors import Conflict, WeftError
from weft.core.events import Failed, Lost, Started, Stopped
from weft.core.ids import BlockUuid
from weft.core.records import Outcome
from weft.core.states import Cause
from weft.executors.process.zygote import End, Recipe, Zygote
from weft.ports.executor import Answerer, Job, Report, Reporter
from weft.wire import messages
from weft.wire.ending import error_of, event_of, outcome_of
from weft.wire.mark import mark_of

_log = logging.getLogger(__name__)
_MARGIN = 10.0
"""Seconds beyond a block's own grace until a stop counts as stuck."""


@dataclass(slots=True)
class _Running:
    """An attempt that was handed over and has not ended."""

    job: Job
    report: Reporter
    zygote: Zygote
    pid: int | None = None
    started_at: datetime | None = None


class ProcessExecutor:
    """Runs each attempt in a process of its own, forked from a zygote.

    The zygote is started by the first attempt, or by `warm`. `ttl` is that of the
    engine's lease, in seconds: children of an engine that did not `beat` for two thirds
    of it are ended. `preload` names modules that blocks are likely to need; missing ones
    do no harm. `python` is the interpreter, which must find `weft`. Attempts beyond
    `max_children` wait for one another. `crash_at` is for tests: where the first zygote, or
    a child of it, is to end.
    """

    def __init__(
        self,
        answer: Answerer,
        *,
        ttl: float = 15.0,
        preload: Sequence[str] = (),
        max_children: int = 256,
        python: str = sys.executable,
        answer_threads: int = 8,
        crash_at: str | None = None,
    ) -> None:
        self._answer = answer
        self._recipe = Recipe(python, ttl * 2 / 3, tuple(preload), max_children, crash_at)
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._running: dict[str, _Running] = {}
        self._current: Zygote | None = None
        self._zygotes: set[Zygote] = set()
        self._closed = False
        self._answering = ThreadPoolExecutor(answer_threads, thread_name_prefix="weft-answer")

    def warm(self, timeout: float | None = None) -> bool:
        """Start the zygote if there is none; wait until all is imported.

        Waits at most `timeout` seconds (0: not at all); returns whether it is ready.
        """
        with self._lock:
            zygote = self._zygote()
        return zygote.ready.wait(timeout) and not zygote.gone

    def submit(self, job: Job, report: Reporter) -> None:
        message = messages.Submit(job.id, job.envelope)
        with self._lock:
            if job.id in self._running:
                raise Conflict(
                    f"the job {job.id} is already running", hint="Give each attempt its own id."
                )
            running = None
            if not self._closed:
                running = self._running[job.id] = _Running(job, report, self._zygote())
        if running is None:
            _tell(report, _lost(job, None, "the executor is closed", Cause.ENGINE))
            return
        try:
            running.zygote.send(message)
        except WeftError as error:
            self._finish(running, _failed(running, f"the attempt cannot be told: {error}"))

    def stop(self, job_id: str) -> None:
        with self._lock:
            running = self._running.get(job_id)
        if running is not None:
            running.zygote.send(messages.Stop(job_id, running.job.envelope.token))

    def adopt(self, job: Job, report: Reporter) -> bool:  # noqa: ARG002  the port's signature
        """Children die with their engine: there is never anything to adopt."""
        return False

    def beat(self) -> None:
        with self._lock:
            zygotes = list(self._zygotes)
        for zygote in zygotes:
            zygote.beat()

    def recycle(self) -> None:
        """Give later attempts a fresh zygote; the present one goes when its attempts ended."""
        with self._lock:
            zygote, self._current = self._current, None
        if zygote is not None:
            zygote.send(messages.Retire())

    def close(self, *, grace: float) -> None:
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: not self._running, grace)
            left = list(self._running.values())
        for running in left:
            self.stop(running.job.id)
        patience = max((r.job.envelope.grace for r in left), default=0.0) + _MARGIN
        with self._changed:
            self._changed.wait_for(lambda: not self._running, patience)
            zygotes = list(self._zygotes)
        for zygote in zygotes:
            zygote.shut()
        for zygote in zygotes:
            zygote.join(2 * _MARGIN)
        self._answering.shutdown(wait=False, cancel_futures=True)

    def _zygote(self) -> Zygote:
        """Return the zygote for new attempts, starting one if need be; call with the lock."""
        if self._current is None or self._current.gone:
            self._current = Zygote(
                self._recipe,
                on_message=self._hear,
                on_end=self._bereaved,
                pids=self._pids_of,
                marks=self._marks_of,
            )
            self._recipe = replace(self._recipe, crash_at=None)
            self._zygotes.add(self._current)
            self._current.start()
        return self._current

    def _pids_of(self, zygote: Zygote) -> Iterable[int]:
        with self._lock:
            return [r.pid for r in self._running.values() if r.zygote is zygote and r.pid]

    def _marks_of(self, zygote: Zygote) -> Collection[str]:
        with self._lock:
            mine = [r for r in self._running.values() if r.zygote is zygote]
        return {mark_of(running.job.envelope.token) for running in mine}

    def _hear(self, zygote: Zygote, message: messages.Message) -> None:
        match message:
            case messages.Started() | messages.Asked() | messages.Reported() | messages.Died():
                with self._lock:
                    running = self._running.get(message.id)
            case _:
                _log.error("A zygote does not say %s", type(message).__name__)
                return
        if running is None or running.zygote is not zygote:
            return
        if message.token != running.job.envelope.token:
            _log.error("A message about %s without its token was refused", message.id)
            return
        match message:
            case messages.Started(pid=pid, at=at):
                self._started(running, pid, _moment(at))
            case messages.Asked():
                self._answering.submit(self._reply, running, message)
            case messages.Reported():
                self._reported(running, message)
            case messages.Died():
                if message.cause is Cause.ENGINE:
                    # It goes because we were silent: what is submitted now needs another.
                    zygote.gone = True
                self._finish(running, _died(running, message))

    def _started(self, running: _Running, pid: int, at: datetime) -> None:
        if running.started_at is not None:
            return
        running.pid, running.started_at = pid, at
        job = running.job
        event = Started(_block(job), job.envelope.attempt)
        _tell(running.report, Report(job.run_id, event, Outcome(started_at=at)))

    def _reported(self, running: _Running, message: messages.Reported) -> None:
        job, result = running.job, message.result
        if result is None:
            self._finish(running, _lost(job, running.started_at, "its report was empty"))
            return
        event = event_of(result, block=job.envelope.block_uuid, attempt=job.envelope.attempt)
        outcome = outcome_of(result, started_at=running.started_at, ended_at=_moment(message.at))
        self._finish(running, Report(job.run_id, event, outcome))

    def _reply(self, running: _Running, asked: messages.Asked) -> None:
        value, refusal = None, None
        try:
            value = self._answer(running.job.run_id, asked.name, asked.arguments)
        except WeftError as error:
            refusal = messages.Refusal(error.code, error.message, error.hint)
        except Exception:  # noqa: BLE001  the block must hear that no answer comes, whatever broke
            _log.exception("The question %r of %s was not answered", asked.name, asked.id)
            refusal = messages.Refusal("internal", f"the engine failed to answer {asked.name!r}")
        try:
            running.zygote.send(_answered(asked, value, refusal))
        except WeftError as error:
            unsaid = messages.Refusal(error.code, error.message, error.hint)
            running.zygote.send(_answered(asked, None, unsaid))

    def _bereaved(self, zygote: Zygote, end: End) -> None:
        """Report all that ran in a zygote which is no more."""
        with self._lock:
            self._zygotes.discard(zygote)
            if self._current is zygote:
                self._current = None
            orphans = [r for r in self._running.values() if r.zygote is zygote]
            cause = Cause.ENGINE if self._closed else end.cause
        for running in orphans:
            self._finish(running, _lost(running.job, running.started_at, end.reason, cause))

    def _finish(self, running: _Running, report: Report) -> None:
        with self._changed:
            if self._running.get(running.job.id) is not running:
                return
            del self._running[running.job.id]
        _tell(running.report, report)
        with self._changed:
            self._changed.notify_all()


def _answered(
    asked: messages.Asked, value: object, refusal: messages.Refusal | None
) -> messages.Answered:
    return messages.Answered(asked.id, asked.token, asked.number, value, refusal)


def _died(running: _Running, died: messages.Died) -> Report:
    job = running.job
    block, attempt = _block(job), job.envelope.attempt
    event: Failed | Lost | Stopped
    match died.how:
        case "failed":
            event = Failed(block, attempt, died.cause)
        case "lost":
            event = Lost(block, attempt, died.cause)
        case "stopped":
            event = Stopped(block, attempt)
    outcome = Outcome(
        metrics=died.metrics,
        error=error_of(died.reason, died.cause),
        cause=died.cause,
        started_at=running.started_at,
        ended_at=_moment(died.at),
    )
    return Report(job.run_id, event, outcome)


def _failed(running: _Running, reason: str) -> Report:
    job = running.job
    event = Failed(_block(job), job.envelope.attempt, Cause.USER, final=True)
    outcome = Outcome(error=error_of(reason, Cause.USER), cause=Cause.USER, ended_at=_now())
    return Report(job.run_id, event, outcome)


def _lost(job: Job, started: datetime | None, reason: str, cause: Cause = Cause.LOST) -> Report:
    outcome = Outcome(
        error=error_of(reason, cause), cause=cause, started_at=started, ended_at=_now()
    )
    return Report(job.run_id, Lost(_block(job), job.envelope.attempt, cause), outcome)


def _tell(report: Reporter, told: Report) -> None:
    try:
        report(told)
    except Exception:  # noqa: BLE001  one bad reporter must not silence the others
        _log.exception("A report was not taken: %s", told.event)


def _block(job: Job) -> BlockUuid:
    return BlockUuid(job.envelope.block_uuid)


def _now() -> datetime:
    return _moment(time.time())


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
