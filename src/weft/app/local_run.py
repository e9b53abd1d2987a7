"""`weft run`: one run, made, owned and moved by this process alone."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from weft.app.datadir import lock_run
from weft.app.wiring import House, engine_id, make_engine, new_token
from weft.core.ids import EngineId, PipelineUuid, RunId
from weft.core.json import JsonMap
from weft.core.params import partition
from weft.core.records import PipelineSchedule, RunWithBlocks
from weft.core.spec import LoadedPipeline
from weft.core.states import RUN_ENDED
from weft.engine.loop import Engine
from weft.ports.runs import NewRun
from weft.ports.schedules import NewSchedule
from weft.ports.signals import MOVED, RUNS
from weft.ports.unit import Unit
from weft.services.context import Context, News, listening

SCHEDULE_NAME = "weft run"
ACTOR = "weft run"
_LONG = 3600.0

Show = Callable[[RunWithBlocks], None]
"""Called with the run whenever it may have moved; the first time before it began."""


def run_pipeline(
    house: House, pipeline: str, variables: JsonMap, show: Show, *, run_tests: bool = True
) -> RunWithBlocks:
    """Run a pipeline here and return the run as it ended.

    Ctrl-C and SIGTERM ask for its cancellation; a second one ends the process at once.
    Raises `NotFound`, `BrokenPipeline` or `Invalid` before anything is kept.
    """
    context = house.context
    loaded = context.files.load(PipelineUuid(pipeline))
    loaded.spec.check_runs()
    lock, number = lock_run(house.data)
    try:
        name = EngineId(f"{engine_id(house.data)}-run-{number}")
        engine = make_engine(
            house, engine_id=name, on_death=_die, claim=False, run_tests=run_tests, warm=True
        )
        engine.start()
        try:
            run_id = _create(context, loaded, variables, engine)
            engine.own(run_id)
            stored = _watch(context, run_id, show)
            engine.wait_until_idle(_LONG)
        finally:
            engine.stop(grace=0)
    finally:
        lock.release()
    return stored


def follow(context: Context, run_id: RunId, show: Show) -> RunWithBlocks:
    """Show a run at each of its moves until it has ended, and return it."""
    with listening(context, MOVED) as news:
        return _follow(context, run_id, show, news)


def _watch(context: Context, run_id: RunId, show: Show) -> RunWithBlocks:
    with listening(context, MOVED) as news, _cancelling(context, run_id, news):
        return _follow(context, run_id, show, news)


def _follow(context: Context, run_id: RunId, show: Show, news: News) -> RunWithBlocks:
    while True:
        with context.store.read() as unit:
            stored = unit.runs.get(run_id)
        show(stored)
        if stored.run.status in RUN_ENDED:
            return stored
        news.wait(_LONG)


@contextmanager
def _cancelling(context: Context, run_id: RunId, news: News) -> Iterator[None]:
    """Turn the first interruption into a request to cancel, the second into the end."""
    asked = threading.Event()

    def handle(number: int, _frame: FrameType | None) -> None:
        if asked.is_set():
            os._exit(128 + number)
        asked.set()
        # Not here: a handler may interrupt the very transaction that it would wait for.
        threading.Thread(target=request, name="weft-cancel", daemon=True).start()

    def request() -> None:
        with context.store.write() as unit:
            unit.runs.request_cancel(run_id, ACTOR)
        context.signals.notify(RUNS)
        news.hear(MOVED)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _create(context: Context, loaded: LoadedPipeline, variables: JsonMap, engine: Engine) -> RunId:
    spec, now = loaded.spec, context.clock.now()
    with context.store.write() as unit:
        schedule = _hidden_schedule(context, unit, spec.uuid)
        run_id, _ = unit.runs.create(
            NewRun(
                project_id=context.project.id,
                pipeline_uuid=spec.uuid,
                version_id=unit.catalog.pin(context.project.id, loaded),
                schedule_id=schedule.id,
                blocks=tuple(block.uuid for block in spec.running_blocks),
                actor=ACTOR,
                execution_date=now,
                variables={**variables, "execution_partition": partition(schedule.id, now)},
                executor_type=spec.executor_type or "local_python",
                owner=engine.me,
            )
        )
    return run_id


def _hidden_schedule(context: Context, unit: Unit, pipeline: PipelineUuid) -> PipelineSchedule:
    """Return the schedule that holds the runs of this command, making it on first use."""
    unit.limits.lock(f"hidden:{context.project.id}:{pipeline}")
    for schedule in unit.schedules.find(context.project.id, pipeline, with_hidden=True):
        if schedule.hidden:
            return schedule
    new = NewSchedule(
        project_id=context.project.id,
        pipeline_uuid=pipeline,
        name=SCHEDULE_NAME,
        token=new_token(),
        schedule_type="api",
        status="active",
        repo_path=context.project.path,
        hidden=True,
    )
    return unit.schedules.add(new, ACTOR)


def _die(reason: str) -> None:
    os.write(2, f"Error: the engine died: {reason}\n".encode())
    os._exit(1)
