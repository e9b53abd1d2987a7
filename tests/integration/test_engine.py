"""An engine in this process: what it does with runs, reports, requests and time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from tests.engines import LIMIT, Bench, ScriptedExecutor
from tests.projects import write_pipeline, write_project
from tests.stores import a_store

from weft.core.errors import Unavailable
from weft.core.states import BLOCK_LIVE, BlockStatus, RunStatus
from weft.ports.signals import RUNS
from weft.ports.unit import Store, Unit

CHAIN = {"a": "return 1", "b": {"upstream": ["a"], "code": "return 2"}}
DIAMOND = {
    "a": "return 1",
    "b": {"upstream": ["a"], "code": "return 2"},
    "c": {"upstream": ["a"], "code": "return 3"},
    "d": {"upstream": ["b", "c"], "code": "return 4"},
}
FAN = {"a": "return 1", **{f"m{n}": {"upstream": ["a"], "code": "return 1"} for n in range(12)}}


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    folder = write_project(
        tmp_path / "project",
        {
            "chain": {"blocks": CHAIN},
            "diamond": {"blocks": DIAMOND},
            "retried": {
                "blocks": {"a": {"code": "return 1", "retry_config": {"retries": 1, "delay": 0}}}
            },
            "fan": {"blocks": FAN, "concurrency_config": {"block_run_limit": 3}},
            "one_at_a_time": {
                "blocks": {"a": "return 1"},
                "concurrency_config": {"pipeline_run_limit_all_triggers": 1},
            },
            "empty": {"blocks": {}},
            "one_block": {"blocks": {"a": "return 1"}},
            "pair": {"blocks": {"a": "return 1", "b": "return 2"}},
        },
    )
    with a_store(request.param, tmp_path) as store:
        yield Bench(store, folder, exclusive=request.param == "sqlite")


def test_a_run_goes_from_block_to_block_and_completes(bench: Bench) -> None:
    hands = ScriptedExecutor()
    with bench.serving(hands):
        run_id = bench.start("chain")
        first = hands.next()
        assert (first.envelope.block_uuid, first.envelope.attempt) == ("a", 1)
        hands.start(first)
        hands.succeed(first)
        second = hands.next()
        assert [given.block_uuid for given in second.envelope.inputs] == ["a"]
        hands.start(second)
        hands.succeed(second)
        ended = bench.wait(run_id)
    assert ended.run.status is RunStatus.COMPLETED
    assert ended.run.completed_at is not None
    assert ended.run.started_at is not None
    assert ended.run.created_at <= ended.run.started_at <= ended.run.completed_at
    for block in ended.blocks:
        assert block.started_at is not None
        assert block.completed_at is not None
        assert block.started_at <= block.completed_at


def test_every_move_is_one_event(bench: Bench) -> None:
    with bench.serving(ScriptedExecutor(by_itself=True)):
        run_id = bench.start("chain")
        bench.wait(run_id)
    with bench.store.read() as unit:
        events = [e for e in unit.events.since(0, run_id=run_id) if e.before is not None]
    assert [(e.block_uuid, e.before, e.after) for e in events] == [
        (None, "initial", "running"),
        ("a", "initial", "queued"),
        ("a", "queued", "running"),
        ("a", "running", "completed"),
        ("b", "initial", "queued"),
        ("b", "queued", "running"),
        ("b", "running", "completed"),
        (None, "running", "completed"),
    ]
    assert [e.seq for e in events] == sorted({e.seq for e in events})


def test_a_pipeline_without_blocks_completes_at_once(bench: Bench) -> None:
    with bench.serving(ScriptedExecutor()):
        assert bench.wait(bench.start("empty")).run.status is RunStatus.COMPLETED


def test_a_failure_ends_the_siblings_first_and_says_why(bench: Bench) -> None:
    hands = ScriptedExecutor()
    with bench.serving(hands):
        run_id = bench.start("diamond")
        first = hands.next()
        hands.start(first)
        hands.succeed(first)
        one, other = hands.next(), hands.next()
        hands.start(one)
        hands.start(other)
        hands.fail(one, text="no such column")
        ended = bench.wait(run_id)
    assert hands.stopped.get(timeout=LIMIT) == other.id
    assert ended.run.status is RunStatus.FAILED
    assert ended.run.completed_at is None
    assert ended.run.ended_at is not None
    failed = one.envelope.block_uuid
    assert bench.statuses(run_id) == {
        "a": "completed",
        failed: "failed",
        other.envelope.block_uuid: "cancelled",
        "d": "upstream_failed",
    }
    metrics = next(b.metrics for b in ended.blocks if b.block_uuid == failed)
    assert metrics is not None
    assert metrics["error"]["error"] == "no such column"


def test_a_failed_try_is_repeated_as_often_as_allowed(bench: Bench) -> None:
    hands = ScriptedExecutor()
    with bench.serving(hands):
        run_id = bench.start("retried")
        first = hands.next()
        hands.start(first)
        hands.fail(first)
        second = hands.next()
        assert (second.envelope.attempt, second.envelope.try_number) == (2, 2)
        hands.succeed(second)
        assert bench.wait(run_id).run.status is RunStatus.COMPLETED


def test_a_dead_child_costs_no_try_until_it_died_three_times(bench: Bench) -> None:
    hands = ScriptedExecutor()
    with bench.serving(hands):
        run_id = bench.start("chain")
        for attempt in (1, 2, 3):
            job = hands.next()
            assert (job.envelope.attempt, job.envelope.try_number) == (attempt, 1)
            hands.start(job)
            hands.lose(job)
        assert bench.wait(run_id).run.status is RunStatus.FAILED
    with bench.store.read() as unit:
        causes = [str(attempt.cause) for attempt in unit.runs.attempts(run_id)]
    assert causes == ["lost", "lost", "lost"]


def test_cancelling_stops_what_runs_and_then_says_so(bench: Bench) -> None:
    hands = ScriptedExecutor()
    with bench.serving(hands):
        run_id = bench.start("chain")
        hands.start(hands.next())
        with bench.store.write() as unit:
            assert unit.runs.request_cancel(run_id, "ada")
        bench.signals.notify(RUNS)
        ended = bench.wait(run_id)
    assert ended.run.status is RunStatus.CANCELLED
    assert set(bench.statuses(run_id).values()) == {"cancelled"}


def test_no_more_blocks_of_a_run_are_live_than_its_limit(bench: Bench) -> None:
    hands = ScriptedExecutor()
    with bench.serving(hands):
        run_id = bench.start("fan")
        hands.succeed(hands.next())
        left = 12
        while left:
            job = hands.next()
            live = [b for b in bench.look(run_id).blocks if b.status in BLOCK_LIVE]
            assert len(live) <= 3
            hands.succeed(job)
            left -= 1
        assert bench.wait(run_id).run.status is RunStatus.COMPLETED


def test_one_run_of_a_limited_pipeline_at_a_time_oldest_first(bench: Bench) -> None:
    hands = ScriptedExecutor()
    with bench.serving(hands):
        schedule = bench.schedule("one_at_a_time")
        ids = [bench.start("one_at_a_time", schedule) for _ in range(3)]
        for run_id in ids:
            job = hands.next()
            assert job.run_id == run_id
            open_runs = [bench.look(id_).run.status for id_ in ids]
            assert open_runs.count(RunStatus.RUNNING) == 1
            hands.succeed(job)
            bench.wait(run_id)


def test_what_an_engine_left_behind_is_handed_out_again_at_no_cost(bench: Bench) -> None:
    dead = ScriptedExecutor()
    engine = bench.engine(dead)
    engine.start()
    run_id = bench.start("chain")
    first = dead.next()
    dead.start(first)
    dead.succeed(first)
    second = dead.next()
    dead.start(second)
    bench.wait_until(run_id, lambda found: found.blocks[1].status is BlockStatus.RUNNING)
    # The engine is not stopped: for the store it is as if its process were gone.
    hands = ScriptedExecutor()
    with bench.serving(hands):
        again = hands.next()
        assert (again.envelope.block_uuid, again.envelope.attempt) == ("b", 2)
        assert again.envelope.try_number == 1
        dead.succeed(second)
        hands.start(again)
        hands.succeed(again)
        ended = bench.wait(run_id)
    assert ended.run.status is RunStatus.COMPLETED
    assert [block.failures for block in ended.blocks] == [0, 0]
    with bench.store.read() as unit:
        found = [(a.number, a.cause and str(a.cause)) for a in unit.runs.attempts(run_id)]
    assert found == [(1, None), (1, "engine"), (2, None)]
    engine.stop(grace=0)


def test_a_stopped_engine_hands_its_runs_to_the_next_at_once(bench: Bench) -> None:
    first = ScriptedExecutor()
    with bench.serving(first, "one"):
        run_id = bench.start("chain")
        first.start(first.next())
    hands = ScriptedExecutor()
    with bench.serving(hands, "two"):
        job = hands.next()
        assert job.envelope.block_uuid == "a"
        assert job.envelope.try_number == 1
        hands.succeed(job)
        hands.succeed(hands.next())
        assert bench.wait(run_id).run.status is RunStatus.COMPLETED


def test_no_report_is_lost_while_the_database_is_away(bench: Bench) -> None:
    fragile = Fragile(bench.store)
    hands = ScriptedExecutor()
    with bench.serving(hands, store=fragile):
        run_id = bench.start("chain")
        first = hands.next()
        fragile.break_for(5)
        hands.start(first)
        hands.succeed(first)
        assert fragile.healed.wait(LIMIT)
        second = hands.next()
        fragile.break_for(3)
        hands.start(second)
        hands.succeed(second)
        ended = bench.wait(run_id)
    assert ended.run.status is RunStatus.COMPLETED
    with bench.store.read() as unit:
        assert [attempt.number for attempt in unit.runs.attempts(run_id)] == [1, 1]


def test_a_commit_of_which_nobody_knows_is_looked_up(bench: Bench) -> None:
    fragile = Fragile(bench.store)
    hands = ScriptedExecutor()
    with bench.serving(hands, store=fragile):
        run_id = bench.start("chain")
        first = hands.next()
        hands.start(first)
        fragile.break_for(1, after_commit=True)
        hands.succeed(first)
        assert fragile.healed.wait(LIMIT)
        second = hands.next()
        assert second.envelope.block_uuid == "b"
        hands.start(second)
        fragile.break_for(2, after_commit=True)
        hands.succeed(second)
        ended = bench.wait(run_id)
    assert ended.run.status is RunStatus.COMPLETED
    with bench.store.read() as unit:
        events = unit.events.since(0, run_id=run_id)
        tries = {attempt.try_number for attempt in unit.runs.attempts(run_id)}
    accepted = [e.block_uuid for e in events if e.cue == "complete" and e.block_uuid]
    assert accepted == ["a", "b"]
    assert tries == {1}


@pytest.mark.parametrize("after_commit", [False, True])
def test_no_fire_is_lost_while_the_database_is_away(bench: Bench, *, after_commit: bool) -> None:
    fragile = Fragile(bench.store)
    with bench.serving(ScriptedExecutor(by_itself=True), store=fragile):
        fragile.break_for(3, after_commit=after_commit)
        schedule = bench.schedule("chain", schedule_type="time", schedule_interval="@once")
        runs = bench.wait_for_runs(schedule, 1)
        assert bench.wait(runs[0]).run.status is RunStatus.COMPLETED
    assert len(runs) == 1


def test_a_trigger_that_skips_cancels_the_run_that_would_overlap(bench: Bench) -> None:
    hands = ScriptedExecutor()
    with bench.serving(hands):
        schedule = bench.schedule(
            "pair",
            schedule_type="time",
            schedule_interval="* * * * * *",
            settings={"skip_if_previous_running": True},
        )
        first, second = bench.wait_for_runs(schedule, 2)[:2]
        skipped = bench.wait(second)
        assert bench.look(first).run.status is RunStatus.RUNNING
    assert skipped.run.status is RunStatus.CANCELLED
    assert skipped.run.started_at is None


def test_a_trigger_that_waits_runs_one_after_the_other(bench: Bench) -> None:
    hands = ScriptedExecutor()
    with bench.serving(hands):
        schedule = bench.schedule(
            "one_block",
            schedule_type="time",
            schedule_interval="* * * * * *",
            settings={"weft": {"overlap": "wait"}},
        )
        first, second = bench.wait_for_runs(schedule, 2)[:2]
        job = hands.next()
        assert job.run_id == first
        assert bench.look(second).run.status is RunStatus.INITIAL
        hands.succeed(job)
        assert hands.next().run_id == second


def test_a_schedule_makes_its_run_when_it_is_due(bench: Bench) -> None:
    with bench.serving(ScriptedExecutor(by_itself=True)):
        schedule = bench.schedule("chain", schedule_type="time", schedule_interval="@once")
        found = bench.wait_for_runs(schedule, 1)
        ended = bench.wait(found[0])
    assert ended.run.status is RunStatus.COMPLETED
    assert ended.run.fire_key is not None
    with bench.store.read() as unit:
        assert unit.schedules.get(schedule).status == "inactive"


def test_a_schedule_that_makes_no_sense_leaves_the_others_alone(bench: Bench) -> None:
    (bench.folder / "pipelines" / "broken").mkdir()
    (bench.folder / "pipelines" / "broken" / "metadata.yaml").write_text("blocks: 5\n")
    with bench.serving(ScriptedExecutor(by_itself=True)) as engine:
        bad = bench.schedule("broken", schedule_type="time", schedule_interval="@once")
        odd = bench.schedule("chain", schedule_type="time", schedule_interval="61 * * * *")
        good = bench.schedule("chain", schedule_type="time", schedule_interval="@once")
        bench.wait(bench.wait_for_runs(good, 1)[0])
        aside = engine.health().triggers_set_aside
    assert set(aside) == {bad, odd}
    assert "metadata.yaml" in aside[bad]
    assert "Cron expression is invalid" in aside[odd]


def test_two_engines_make_one_run_per_fire(bench: Bench) -> None:
    schedule = bench.schedule("empty", schedule_type="time", schedule_interval="* * * * * *")
    with (
        bench.serving(ScriptedExecutor(by_itself=True), "one"),
        bench.serving(ScriptedExecutor(by_itself=True), "two"),
    ):
        runs = bench.wait_for_runs(schedule, 3)
    dates = [bench.look(run_id).run.execution_date for run_id in runs]
    assert len(set(dates)) == len(dates)


def test_a_run_keeps_the_code_that_it_began_with(bench: Bench) -> None:
    hands = ScriptedExecutor()
    with bench.serving(hands):
        run_id = bench.start("chain")
        hands.succeed(hands.next())
        write_pipeline(bench.folder, "chain", {"blocks": {"a": "return 1", "b": "return 'new'"}})
        second = hands.next()
        assert second.envelope.code is not None
        assert "return 2" in second.envelope.code
        hands.succeed(second)
        bench.wait(run_id)


def test_a_late_engine_is_refused_and_ends_what_it_runs(bench: Bench) -> None:
    late = ScriptedExecutor()
    with bench.serving(late, "late"):
        run_id = bench.start("pair")
        one, two = late.next(), late.next()
        late.start(one)
        late.start(two)
        bench.wait_until(run_id, lambda found: found.blocks[1].status is BlockStatus.RUNNING)
        with bench.store.write() as unit:
            for row in unit.engines.all():
                unit.engines.renew(row.ref, timedelta(seconds=-1))
        hands = ScriptedExecutor()
        with bench.serving(hands, "other"):
            taken = [hands.next(), hands.next()]
            assert [job.envelope.attempt for job in taken] == [2, 2]
            late.succeed(one)
            assert late.stopped.get(timeout=LIMIT) == two.id
            for job in taken:
                hands.succeed(job)
            assert bench.wait(run_id).run.status is RunStatus.COMPLETED
    with bench.store.read() as unit:
        accepted = [e for e in unit.events.since(0, run_id=run_id) if e.cue == "complete"]
    assert [e.attempt for e in accepted if e.block_uuid] == [2, 2]


class Fragile:
    """A store that does not answer for a while, whenever the test says so."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._failures = 0
        self._after_commit = False
        self.healed = threading.Event()

    def break_for(self, transactions: int, *, after_commit: bool = False) -> None:
        self.healed.clear()
        self._after_commit = after_commit
        self._failures = transactions

    @contextmanager
    def write(self) -> Iterator[Unit]:
        with self._store.write() as unit:
            yield unit
            if not self._after_commit:
                self._break()
        self._break()

    def _break(self) -> None:
        if self._failures:
            self._failures -= 1
            if not self._failures:
                self.healed.set()
            raise Unavailable("the test pulled the plug")

    def read(self) -> AbstractContextManager[Unit]:
        return self._store.read()

    def close(self) -> None:
        self._store.close()
