"""Engines in this process for tests: a real store, real files, a scripted executor."""

from __future__ import annotations

import queue
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from weft.app.clock import SystemClock
from weft.app.logfiles import LogFiles
from weft.core.events import Failed, Lost, Started, Stopped, Succeeded
from weft.core.ids import BlockUuid, EngineId, PipelineUuid, RunId, ScheduleId
from weft.core.records import Outcome, RunWithBlocks
from weft.core.states import RUN_ENDED, Cause
from weft.engine.dispatcher import Dispatcher
from weft.engine.held import ServedProject
from weft.engine.loop import Engine
from weft.engine.world import World
from weft.ports.executor import Job, Report, Reporter
from weft.ports.registry import Registry
from weft.ports.runs import NewRun, RunFilter
from weft.ports.schedules import NewSchedule
from weft.ports.signals import MOVED, RUNS, SCHEDULES
from weft.ports.unit import Store
from weft.project.files import ProjectFolder
from weft.signals.local import LocalSignals
from weft.triggers.cron import cron_calendar

LIMIT = 20.0
"""Seconds that anything may take before a test gives up."""


class ScriptedExecutor:
    """Holds every attempt until the test says how it ends.

    With `by_itself=True` each attempt starts and succeeds at once.
    """

    def __init__(self, *, by_itself: bool = False) -> None:
        self.by_itself = by_itself
        self.jobs: queue.Queue[Job] = queue.Queue()
        self.submitted: list[Job] = []
        self.stopped: queue.Queue[str] = queue.Queue()
        self.beats = 0
        self._reports: dict[str, tuple[Job, Reporter]] = {}

    def submit(self, job: Job, report: Reporter) -> None:
        self.submitted.append(job)
        self._reports[job.id] = (job, report)
        if self.by_itself:
            self.start(job)
            self.succeed(job)
        else:
            self.jobs.put(job)

    def next(self) -> Job:
        """Return the next attempt handed out, waiting for it."""
        return self.jobs.get(timeout=LIMIT)

    def start(self, job: Job) -> None:
        block, attempt = _names(job)
        self._tell(job, Report(job.run_id, Started(block, attempt), Outcome(started_at=_now())))

    def succeed(self, job: Job) -> None:
        block, attempt = _names(job)
        outcome = Outcome(ended_at=_now(), metrics={"cpu_seconds": 0.1})
        self._tell(job, Report(job.run_id, Succeeded(block, attempt), outcome))

    def fail(self, job: Job, *, final: bool = False, text: str = "it broke") -> None:
        block, attempt = _names(job)
        error = {"error": text, "errors": [text], "message": text}
        outcome = Outcome(error=error, cause=Cause.USER, ended_at=_now())
        self._tell(job, Report(job.run_id, Failed(block, attempt, Cause.USER, final), outcome))

    def lose(self, job: Job) -> None:
        block, attempt = _names(job)
        outcome = Outcome(cause=Cause.LOST, ended_at=_now())
        self._tell(job, Report(job.run_id, Lost(block, attempt), outcome))

    def _tell(self, job: Job, report: Report) -> None:
        self._reports[job.id][1](report)

    def stop(self, job_id: str) -> None:
        self.stopped.put(job_id)
        held = self._reports.get(job_id)
        if held is not None:
            block, attempt = _names(held[0])
            outcome = Outcome(cause=Cause.CANCELLED, ended_at=_now())
            held[1](Report(held[0].run_id, Stopped(block, attempt), outcome))

    def adopt(self, job: Job, report: Reporter) -> bool:
        return False

    def beat(self) -> None:
        self.beats += 1

    def close(self, *, grace: float) -> None:
        for job_id in list(self._reports):
            self.stop(job_id)


@dataclass
class Bench:
    """A store, a project and what it takes to put engines on them."""

    store: Store
    folder: Path
    signals: LocalSignals = field(default_factory=LocalSignals)
    exclusive: bool = True
    ttl: timedelta = timedelta(seconds=6)

    def __post_init__(self) -> None:
        self.files = ProjectFolder(self.folder)
        with self.store.write() as unit:
            self.project = unit.catalog.project(path=str(self.folder), uuid=None)
        self.logs = LogFiles(self.folder.parent / "logs")
        self.deaths: list[str] = []
        self._moved = threading.Condition()
        self.signals.listen(self._hear)

    def _hear(self, topic: str) -> None:
        if topic == MOVED:
            with self._moved:
                self._moved.notify_all()

    def engine(
        self,
        executor: Any,
        name: str = "one",
        *,
        store: Store | None = None,
        signals: LocalSignals | None = None,
        **options: Any,
    ) -> Engine:
        """Return an engine that is not started yet."""
        executors: Registry[Any] = Registry("executor")
        executors.offer("local_python", lambda: executor)
        world = World(
            store=store or self.store,
            executors=executors,
            signals=signals or self.signals,
            clock=SystemClock(),
            cron=cron_calendar,
            channels=[],
            exclusive=self.exclusive,
        )
        served = ServedProject(
            self.project, self.files, self.files.settings(), self.folder.parent / "outputs"
        )
        dispatcher = Dispatcher(
            logs=self.logs,
            environment="test",
            new_token=lambda: secrets.token_hex(16),
            memory_limit=None,
            preload=(),
            fsync=False,
            cron=cron_calendar,
        )
        return Engine(
            world,
            engine_id=EngineId(name),
            projects=[served],
            dispatcher=dispatcher,
            on_death=self.deaths.append,
            host="here",
            pid=1,
            data_dir=str(self.folder.parent),
            ttl=self.ttl,
            **options,
        )

    @contextmanager
    def serving(self, executor: Any, name: str = "one", **options: Any) -> Iterator[Engine]:
        """Run an engine as long as the block lasts."""
        engine = self.engine(executor, name, **options)
        engine.start()
        try:
            yield engine
        finally:
            engine.stop(grace=0)
        assert self.deaths == []

    def schedule(self, pipeline: str, **columns: Any) -> ScheduleId:
        """Keep a schedule: an active one of type api unless told otherwise."""
        given = {"schedule_type": "api", "status": "active", "name": f"of {pipeline}"}
        new = NewSchedule(
            project_id=self.project.id,
            pipeline_uuid=PipelineUuid(pipeline),
            token=secrets.token_hex(16),
            **{**given, **columns},
        )
        with self.store.write() as unit:
            made = unit.schedules.add(new, "test").id
        self.signals.notify(SCHEDULES)
        return made

    def start(self, pipeline: str, schedule: ScheduleId | None = None, **columns: Any) -> RunId:
        """Make a run that any engine may take up."""
        loaded = self.files.load(PipelineUuid(pipeline))
        schedule = schedule or self.schedule(pipeline)
        with self.store.write() as unit:
            version = unit.catalog.pin(self.project.id, loaded)
            run_id, _ = unit.runs.create(
                NewRun(
                    project_id=self.project.id,
                    pipeline_uuid=PipelineUuid(pipeline),
                    version_id=version,
                    schedule_id=schedule,
                    blocks=tuple(block.uuid for block in loaded.spec.running_blocks),
                    actor="test",
                    execution_date=_now(),
                    **columns,
                )
            )
        self.signals.notify(RUNS)
        return run_id

    def look(self, run_id: RunId) -> RunWithBlocks:
        """Return a run as it stands in the store."""
        with self.store.read() as unit:
            return unit.runs.get(run_id)

    def statuses(self, run_id: RunId) -> Mapping[str, str]:
        """Return the status of each block run."""
        return {block.block_uuid: str(block.status) for block in self.look(run_id).blocks}

    def wait_for_runs(self, schedule: ScheduleId, count: int) -> list[RunId]:
        """Wait until a schedule has made so many runs; return their ids, oldest first."""
        give_up = datetime.now(UTC) + timedelta(seconds=LIMIT)
        wanted = RunFilter(project_id=self.project.id, schedule_id=schedule)
        with self._moved:
            while True:
                with self.store.read() as unit:
                    found = [item.run.id for item in unit.runs.find(wanted).items]
                if len(found) >= count:
                    return sorted(found)
                assert datetime.now(UTC) < give_up, f"only {len(found)} runs"
                self._moved.wait(0.2)

    def wait(self, run_id: RunId, seconds: float = LIMIT) -> RunWithBlocks:
        """Wait until a run has ended; return it."""
        return self.wait_until(run_id, lambda found: found.run.status in RUN_ENDED, seconds=seconds)

    def wait_until(self, run_id: RunId, true: Any, seconds: float = LIMIT) -> RunWithBlocks:
        """Wait until something holds of a run; return it as it was then."""
        give_up = datetime.now(UTC) + timedelta(seconds=seconds)
        with self._moved:
            while True:
                found = self.look(run_id)
                if true(found):
                    return found
                assert datetime.now(UTC) < give_up, f"still {found}"
                # Another engine's moves are not signalled here: look again now and then.
                self._moved.wait(0.2)


def _names(job: Job) -> tuple[BlockUuid, int]:
    return BlockUuid(job.envelope.block_uuid), job.envelope.attempt


def _now() -> datetime:
    return datetime.now(UTC)
