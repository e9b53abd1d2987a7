"""What every executor promises, asked of each of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.jobs import PATIENCE, Desk, Ear, make_job

from weft.core.errors import Conflict
from weft.core.events import Failed, Lost, Started, Stopped, Succeeded
from weft.core.states import Cause
from weft.executors.inline import InlineExecutor
from weft.executors.process import ProcessExecutor
from weft.ports.executor import Executor, Report
from weft.worker import runtime


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture(params=["inline", "process"])
def executor(request: pytest.FixtureRequest, desk: Desk) -> Iterator[Executor]:
    made: Executor
    if request.param == "inline":
        made = InlineExecutor(desk, execute=runtime.execute)
    else:
        made = ProcessExecutor(desk, ttl=60)
    yield made
    made.close(grace=0)


def test_a_good_end_is_told_with_its_outputs(executor: Executor, tmp_path: Path) -> None:
    ear = Ear()
    job = make_job(tmp_path, "return {'answer': 42}")
    executor.submit(job, ear)
    end = ear.end()
    assert [report.event for report in ear.heard] == [Started("block", 1), Succeeded("block", 1)]
    assert end.run_id == job.run_id
    (output,) = end.outcome.outputs
    assert output.sample == {"answer": 42}
    assert end.outcome.error is None


def test_times_and_measures_are_told(executor: Executor, tmp_path: Path) -> None:
    ear = Ear()
    executor.submit(make_job(tmp_path, "sum(range(300_000))"), ear)
    outcome = ear.end().outcome
    assert outcome.started_at is not None
    assert outcome.ended_at is not None
    assert ear.heard[0].outcome.started_at == outcome.started_at
    assert outcome.started_at <= outcome.ended_at
    assert outcome.metrics["cpu_seconds"] > 0
    assert outcome.metrics["peak_memory_bytes"] > 2**20


def test_an_exception_is_told_with_its_place(executor: Executor, tmp_path: Path) -> None:
    ear = Ear()
    executor.submit(make_job(tmp_path, "raise KeyError('absent')"), ear)
    end = ear.end()
    assert end.event == Failed("block", 1, Cause.USER)
    assert end.outcome.cause is Cause.USER
    error = end.outcome.error
    assert error is not None
    assert error["cause"] == "user"
    assert "absent" in error["error"]
    assert "KeyError" in "".join(error["errors"])
    assert isinstance(error["message"], str)


def test_code_that_is_not_python_fails_for_good(executor: Executor, tmp_path: Path) -> None:
    ear = Ear()
    executor.submit(make_job(tmp_path, "return )"), ear)
    assert ear.end().event == Failed("block", 1, Cause.USER, final=True)


def test_what_is_printed_is_in_the_log(executor: Executor, tmp_path: Path) -> None:
    ear = Ear()
    job = make_job(tmp_path, "print('hello'); kwargs['logger'].warning('careful')")
    executor.submit(job, ear)
    ear.end()
    lines = [json.loads(line) for line in Path(job.envelope.log_path).read_text().splitlines()]
    told = {(line["level"], line["message"]) for line in lines}
    assert {("INFO", "hello"), ("WARNING", "careful")} <= told
    assert {line["block_run_id"] for line in lines} == {job.envelope.block_run_id}


def test_a_question_is_answered(executor: Executor, tmp_path: Path) -> None:
    ear = Ear()
    executor.submit(make_job(tmp_path, "return ask('echo', a=[1, None, 'x'])"), ear)
    (output,) = ear.end().outcome.outputs
    assert output.sample == {"run_id": 7, "a": [1, None, "x"]}


def test_a_refused_question_raises_the_same_error_in_the_block(
    executor: Executor, tmp_path: Path
) -> None:
    ear = Ear()
    body = """
        from weft.core.errors import NotFound
        try:
            ask('missing')
        except NotFound as error:
            return [error.message, error.hint]
    """
    executor.submit(make_job(tmp_path, body), ear)
    assert [output.sample for output in ear.end().outcome.outputs] == [
        "no such thing",
        "Look elsewhere.",
    ]


def test_a_question_that_breaks_the_engine_fails_the_block_only(
    executor: Executor, tmp_path: Path
) -> None:
    broken, sound = Ear(), Ear()
    executor.submit(make_job(tmp_path, "ask('broken')"), broken)
    executor.submit(make_job(tmp_path, "return ask('echo')"), sound)
    assert isinstance(broken.end().event, Failed)
    assert isinstance(sound.end().event, Succeeded)


def test_two_hundred_at_once_each_begin_and_end_once(executor: Executor, tmp_path: Path) -> None:
    ears = [Ear() for _ in range(200)]
    for number, ear in enumerate(ears):
        executor.submit(make_job(tmp_path, f"return ask('echo', n={number})['n']"), ear)
    samples = [ear.end(3 * PATIENCE).outcome.outputs[0].sample for ear in ears]
    assert samples == list(range(200))
    executor.close(grace=PATIENCE)
    events = [[type(report.event) for report in ear.heard] for ear in ears]
    assert events == [[Started, Succeeded]] * 200


def test_a_running_attempt_can_be_stopped(executor: Executor, desk: Desk, tmp_path: Path) -> None:
    ear = Ear()
    job = make_job(tmp_path, "ask('tell', here=True); return False", type="sensor")
    executor.submit(job, ear)
    desk.told()
    executor.stop(job.id)
    end = ear.end()
    assert end.event == Stopped("block", 1)
    assert end.outcome.cause is Cause.CANCELLED
    assert end.outcome.ended_at is not None


def test_stopping_twice_or_what_is_unknown_or_over_changes_nothing(
    executor: Executor, desk: Desk, tmp_path: Path
) -> None:
    executor.stop("weft-test-unknown")
    over, stopped = Ear(), Ear()
    job = make_job(tmp_path, "return 1")
    executor.submit(job, over)
    over.end()
    executor.stop(job.id)
    waiting = make_job(tmp_path, "ask('tell', here=True); return False", type="sensor")
    executor.submit(waiting, stopped)
    desk.told()
    executor.stop(waiting.id)
    executor.stop(waiting.id)
    stopped.end()
    executor.close(grace=PATIENCE)
    assert [type(report.event) for report in over.heard] == [Started, Succeeded]
    assert [type(report.event) for report in stopped.heard] == [Started, Stopped]


def test_one_id_runs_once_at_a_time(executor: Executor, desk: Desk, tmp_path: Path) -> None:
    ear = Ear()
    job = make_job(tmp_path, "ask('tell', here=True); return False", type="sensor")
    executor.submit(job, ear)
    desk.told()
    with pytest.raises(Conflict, match=job.id):
        executor.submit(job, ear)


def test_nothing_is_adopted(executor: Executor, tmp_path: Path) -> None:
    ear = Ear()
    assert executor.adopt(make_job(tmp_path, "return 1"), ear) is False
    assert ear.heard == []


def test_a_reporter_that_raises_harms_nobody_else(executor: Executor, tmp_path: Path) -> None:
    def rude(_: Report) -> None:
        raise RuntimeError("I take nothing")

    ear = Ear()
    executor.submit(make_job(tmp_path, "return 1"), rude)
    executor.submit(make_job(tmp_path, "return 2"), ear)
    assert isinstance(ear.end().event, Succeeded)


def test_closing_waits_for_what_runs(executor: Executor, desk: Desk, tmp_path: Path) -> None:
    ear = Ear()
    executor.submit(make_job(tmp_path, "ask('tell', here=True); return ask('echo')"), ear)
    desk.told()
    executor.close(grace=PATIENCE)
    assert [type(report.event) for report in ear.heard] == [Started, Succeeded]


def test_closing_ends_what_outlasts_the_grace(
    executor: Executor, desk: Desk, tmp_path: Path
) -> None:
    ear = Ear()
    job = make_job(tmp_path, "ask('tell', here=True); return False", type="sensor")
    executor.submit(job, ear)
    desk.told()
    executor.close(grace=0.1)
    assert [type(report.event) for report in ear.heard] == [Started, Stopped]


def test_a_closed_executor_loses_what_comes_at_no_cost(executor: Executor, tmp_path: Path) -> None:
    executor.close(grace=0)
    ear = Ear()
    executor.submit(make_job(tmp_path, "return 1"), ear)
    assert ear.end(0).event == Lost("block", 1, Cause.ENGINE)
