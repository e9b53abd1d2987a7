"""The attempts that executors of this engine hold, from handing out to their end."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

from weft.core.events import Failed, Started, Stopped
from weft.core.ids import BlockUuid, RunId
from weft.core.records import Outcome
from weft.core.states import Cause
from weft.engine.held import Held
from weft.ports.executor import Executor, Job, Report
from weft.ports.registry import Registry

Flight: TypeAlias = tuple[RunId, BlockUuid, int]
"""Run, block, attempt."""


class Attempts:
    """Hands attempts to executors and remembers which hold one.

    Everything but `beat` is called from the engine's own thread.
    """

    def __init__(self, executors: Registry[Executor], report: Callable[[Report], None]) -> None:
        self._executors = executors
        self._report = report
        self._held: dict[Flight, tuple[str, str]] = {}

    def __len__(self) -> int:
        return len(self._held)

    def submit(self, job: Job, executor: str) -> None:
        """Hand an attempt out; one whose executor does not exist fails with that reason."""
        envelope = job.envelope
        block = BlockUuid(envelope.block_uuid)
        if executor not in self._executors:
            known = ", ".join(self._executors)
            why = f"no executor is named {executor!r} (there is: {known})"
            error = {"error": why, "errors": [why], "message": why, "cause": Cause.USER.value}
            event = Failed(block, envelope.attempt, final=True)
            self._report(Report(job.run_id, event, Outcome(error=error, cause=Cause.USER)))
            return
        self._held[job.run_id, block, envelope.attempt] = (executor, job.id)
        self._executors.get(executor).submit(job, self._report)

    def adopt(self, job: Job, executor: str) -> bool:
        """Whether an executor still holds this attempt of an earlier life; then watch it."""
        if executor not in self._executors:
            return False
        adopted = self._executors.get(executor).adopt(job, self._report)
        if adopted:
            block = BlockUuid(job.envelope.block_uuid)
            self._held[job.run_id, block, job.envelope.attempt] = (executor, job.id)
        return adopted

    def holds(self, run_id: RunId, block: BlockUuid, attempt: int) -> bool:
        """Whether an executor of ours holds this attempt, or its end is not yet committed."""
        return (run_id, block, attempt) in self._held

    def stop(self, run_id: RunId, block: BlockUuid, attempt: int) -> None:
        """Have an attempt ended; one that nobody holds is reported over at once."""
        held = self._held.get((run_id, block, attempt))
        if held is None:
            self._report(Report(run_id, Stopped(block, attempt), Outcome(cause=Cause.CANCELLED)))
            return
        executor, job_id = held
        self._executors.get(executor).stop(job_id)

    def forget(self, run_id: RunId) -> None:
        """End all attempts of a run that another engine owns now."""
        for run, block, attempt in list(self._held):
            if run == run_id:
                self.stop(run, block, attempt)

    def landed(self, reports: Iterable[Report]) -> None:
        """Strike off attempts whose end is committed, or concerns us no more."""
        for report in reports:
            if not isinstance(report.event, Started):
                self._held.pop((report.run_id, report.event.block, report.event.attempt), None)

    def beat(self) -> None:
        """Tell every executor that the engine lives."""
        for executor in self._executors.made().values():
            executor.beat()

    def close(self) -> None:
        """End whatever still runs; each end is reported."""
        for executor in self._executors.made().values():
            executor.close(grace=0)


def executor_of(held: Held, block: BlockUuid) -> str:
    """Return the name of the executor that a block asks for."""
    spec = held.spec.block(block)
    return spec.executor_type if spec else "local_python"
