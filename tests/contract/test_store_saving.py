"""What a turn decided is written whole, once, and only by the run's owner."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.contract.stores import (
    KINDS,
    LOADED,
    PIPELINE,
    SPEC,
    TTL,
    A,
    B,
    C,
    Told,
    Yard,
    an_attempt,
    an_output,
)
from tests.stores import a_store

from weft.core.events import (
    Admitted,
    Began,
    CancelAsked,
    Event,
    Failed,
    Lost,
    RetryAsked,
    Started,
    Stopped,
    Succeeded,
    Woke,
)
from weft.core.graph import Graph
from weft.core.ids import BlockUuid, RunId
from weft.core.machine import Run
from weft.core.records import Attempt, Outcome, RunWithBlocks, StoredBlockRun
from weft.core.retry import RetryPolicy
from weft.core.states import RUN_ENDED, BlockStatus, Cause, RunStatus
from weft.ports.runs import Claim


@pytest.fixture(params=KINDS)
def yard(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Yard]:
    with a_store(request.param, tmp_path) as store:
        yield Yard.on(store)


def _stored(yard: Yard, told: Told) -> RunWithBlocks:
    with yard.store.read() as unit:
        return unit.runs.get(told.claim.run_id)


def _block(yard: Yard, told: Told, uuid: BlockUuid) -> StoredBlockRun:
    return next(b for b in _stored(yard, told).blocks if b.block_uuid == uuid)


def _attempts(yard: Yard, told: Told) -> list[Attempt]:
    with yard.store.read() as unit:
        return list(unit.runs.attempts(told.claim.run_id))


def _is_stored(yard: Yard, told: Told) -> None:
    """What deciding needs is in the store as the engine has it in mind."""
    found = _stored(yard, told)
    run = told.run
    assert (found.run.status, found.run.epoch) == (run.status, run.epoch)
    assert found.run.cancel_requested_at == run.cancel_requested_at
    for stored in found.blocks:
        block = run.blocks[stored.block_uuid]
        for name in ("status", "attempt", "failures", "losses", "ready_at", "not_before"):
            assert getattr(stored, name) == getattr(block, name), (stored.block_uuid, name)


def test_a_run_to_its_good_end(yard: Yard) -> None:
    told = yard.take()
    yard.turn(told, Began())
    yard.turn(told, Admitted((A,)), attempts={(A, 1): an_attempt()})
    assert _block(yard, told, A).started_at is None
    yard.turn(told, Started(A, 1))
    running = _block(yard, told, A)
    assert running.started_at is not None
    assert (running.completed_at, running.ended_at) == (None, None)
    yard.turn(
        told,
        Succeeded(A, 1),
        Admitted((B,)),
        outcomes={(A, 1): Outcome(outputs=(an_output(),), metrics={"rows": 3})},
        attempts={(B, 1): an_attempt((A, 1))},
    )
    done = _block(yard, told, A)
    assert (done.status, done.metrics) == (BlockStatus.COMPLETED, {"rows": 3})
    assert done.completed_at == done.ended_at is not None
    assert done.started_at is not None
    assert done.started_at <= done.ended_at
    yard.turn(told, Started(B, 1), Succeeded(B, 1), Admitted((C,)))
    yard.turn(told, Started(C, 1), Succeeded(C, 1))
    _is_stored(yard, told)
    run = _stored(yard, told).run
    assert run.status is RunStatus.COMPLETED
    assert run.started_at is not None
    assert run.completed_at == run.ended_at is not None
    assert run.updated_at == run.ended_at > run.created_at
    assert run.owner is None


def test_every_move_is_one_event_with_all_that_it_was(yard: Yard) -> None:
    told = yard.take()
    save = told.plan(Began(), Admitted((A,)), Started(A, 1), Failed(A, 1), store=yard.store)
    yard.save(save)
    found = _stored(yard, told)
    ids = {block.block_uuid: block.id for block in found.blocks}
    with yard.store.read() as unit:
        events = unit.events.since(0, run_id=told.claim.run_id)[1:]
    assert len(events) == len(save.moves) == 7
    for event, move in zip(events, save.moves, strict=True):
        assert (event.cue, event.before, event.after) == (move.cue, move.before, move.after)
        assert (event.reason, event.block_uuid) == (move.reason, move.block)
        assert (event.actor, event.project_id) == ("engine", yard.project_id)
        if move.block is None:
            kept = (event.object_type, event.object_id, event.attempt)
            assert kept == ("pipeline_run", told.claim.run_id, None)
        else:
            kept = (event.object_type, event.object_id, event.attempt)
            assert kept == ("block_run", ids[move.block], move.attempt)
    assert [e.seq for e in events] == sorted({e.seq for e in events})


def test_attempts_are_made_begun_and_ended(yard: Yard) -> None:
    told = yard.take()
    told.run = Run.fresh(SPEC.graph(), {A: RetryPolicy(retries=1, delay=0)})
    yard.turn(told, Began(), Admitted((A,)), attempts={(A, 1): an_attempt()})
    (made,) = _attempts(yard, told)
    assert (made.number, made.epoch, made.try_number, made.executor) == (1, 1, 1, "process")
    assert (made.started_at, made.ended_at, made.cause, made.metrics) == (None, None, None, None)
    error = {"error": "boom", "errors": ["line"], "message": "boom"}
    failed = Outcome(error=error, cause=Cause.TIMEOUT, metrics={"cpu_seconds": 0.5})
    yard.turn(told, Started(A, 1), Failed(A, 1), outcomes={(A, 1): failed})
    waiting = _block(yard, told, A)
    assert (waiting.status, waiting.failures) == (BlockStatus.QUEUED, 1)
    assert waiting.not_before is not None
    assert waiting.ended_at is None
    assert waiting.metrics == {"cpu_seconds": 0.5, "error": error}
    yard.turn(told, Woke(), attempts={(A, 2): an_attempt(try_number=2)})
    yard.turn(told, Started(A, 2), Lost(A, 2), attempts={(A, 3): an_attempt(try_number=2)})
    first, second, third = _attempts(yard, told)
    assert (first.cause, first.metrics) == (Cause.TIMEOUT, {"cpu_seconds": 0.5})
    assert (second.cause, second.try_number) == (Cause.LOST, 2)
    assert None not in {first.started_at, first.ended_at, second.started_at, second.ended_at}
    assert (third.number, third.started_at, third.ended_at) == (3, None, None)
    _is_stored(yard, told)


def test_a_waiting_retry_that_is_cancelled_keeps_the_cause_of_its_last_attempt(
    yard: Yard,
) -> None:
    told = yard.take()
    told.run = Run.fresh(SPEC.graph(), {A: RetryPolicy(retries=1)})
    yard.turn(
        told,
        *(Began(), Admitted((A,)), Started(A, 1), Failed(A, 1)),
        attempts={(A, 1): an_attempt()},
    )
    yard.turn(told, CancelAsked("ann"))
    assert told.run.status is RunStatus.CANCELLED
    (attempt,) = _attempts(yard, told)
    assert attempt.cause is Cause.USER
    assert _block(yard, told, A).ended_at is not None


def test_times_of_an_executor_are_believed_within_reason(yard: Yard) -> None:
    told = yard.take()
    yard.turn(told, Began(), Admitted((A,)), attempts={(A, 1): an_attempt()})
    with yard.store.read() as unit:
        now = unit.now()
    began, ended = now - timedelta(seconds=3), now - timedelta(seconds=1)
    outcome = Outcome(started_at=began, ended_at=ended)
    yard.turn(told, Started(A, 1), Succeeded(A, 1), outcomes={(A, 1): outcome})
    block = _block(yard, told, A)
    assert (block.started_at, block.completed_at) == (began, ended)
    (attempt,) = _attempts(yard, told)
    assert (attempt.started_at, attempt.ended_at) == (began, ended)
    yard.turn(told, Admitted((B,)), Started(B, 1))
    future = Outcome(ended_at=now + timedelta(days=1), started_at=now + timedelta(days=2))
    yard.turn(told, Succeeded(B, 1), outcomes={(B, 1): future})
    late = _block(yard, told, B)
    assert late.started_at is not None
    assert late.ended_at is not None
    assert late.started_at <= late.ended_at <= late.updated_at
    yard.turn(told, Admitted((C,)), Started(C, 1))
    slow = Outcome(ended_at=began)
    yard.turn(told, Succeeded(C, 1), outcomes={(C, 1): slow})
    slowest = _block(yard, told, C)
    assert slowest.ended_at == slowest.started_at is not None


def test_only_accepted_outputs_are_seen(yard: Yard) -> None:
    told = yard.take()
    outputs = (an_output("output_10"), an_output("output_2", rows=None, schema=None, sample=None))
    yard.turn(told, Began(), Admitted((A,)), attempts={(A, 1): an_attempt()})
    stale = Outcome(outputs=(an_output("stale"),))
    yard.turn(
        told,
        *(Started(A, 1), Lost(A, 1)),
        attempts={(A, 2): an_attempt()},
        outcomes={(A, 1): stale},
    )
    with yard.store.read() as unit:
        assert unit.artifacts.of_run(told.claim.run_id) == {}
    outcome = Outcome(outputs=outputs)
    yard.turn(told, Started(A, 2), Succeeded(A, 2), outcomes={(A, 2): outcome, (A, 1): stale})
    block_id = _block(yard, told, A).id
    with yard.store.read() as unit:
        kept = unit.artifacts.of_run(told.claim.run_id)
        assert list(kept) == [A]
        assert tuple(a.output for a in kept[A]) == outputs[::-1]
        assert unit.artifacts.of_block_run(block_id) == kept[A]
        assert {a.attempt for a in kept[A]} == {2}
        assert kept[A][0].partition == told.partition


def test_a_block_resolves_to_what_was_accepted_last(yard: Yard) -> None:
    def a_run(partition: str, uri: str) -> None:
        told = yard.take()
        told.partition = partition
        yard.finish(told, {A: Outcome(outputs=(an_output(uri=uri),))})

    a_run("monday", "m")
    a_run("tuesday", "t")
    with yard.store.read() as unit:

        def newest(partition: str | None, block: BlockUuid = A) -> list[str]:
            found = unit.artifacts.newest(yard.project_id, PIPELINE, partition, block)
            return [artifact.output.uri for artifact in found]

        assert newest("monday") == ["m"]
        assert newest(None) == ["t"]
        assert newest("friday") == newest("monday", B) == []


def test_a_retried_block_shows_its_old_outputs_until_it_has_new_ones(yard: Yard) -> None:
    told = yard.take()
    yard.finish(told, {A: Outcome(outputs=(an_output("x"), an_output("y")))})
    yard.turn(told, RetryAsked("ann", SPEC.graph(), {}, from_block=A))

    def seen() -> list[str]:
        with yard.store.read() as unit:
            kept = unit.artifacts.of_run(told.claim.run_id).get(A, ())
        return [artifact.output.name for artifact in kept]

    assert seen() == ["x", "y"]
    told.claim = yard.claim()[0].claim
    yard.turn(
        told,
        *(Admitted((A,)), Started(A, 2), Succeeded(A, 2)),
        attempts={(A, 2): an_attempt()},
        outcomes={(A, 2): Outcome(outputs=(an_output("x"),))},
    )
    assert seen() == ["x"]


def test_a_retry_clears_times_and_frees_the_run(yard: Yard) -> None:
    told = yard.take()
    yard.finish(told)
    with yard.store.write() as unit:
        newer = unit.catalog.pin(yard.project_id, LOADED)
        assert newer == yard.version_id
    ended = _stored(yard, told).run
    yard.turn(told, RetryAsked("ann", SPEC.graph(), {}, from_block=B), version_id=newer)
    found = _stored(yard, told)
    assert (found.run.status, found.run.epoch) == (RunStatus.RUNNING, 2)
    assert (found.run.completed_at, found.run.ended_at) == (None, None)
    assert found.run.started_at is not None
    assert ended.ended_at is not None
    assert found.run.started_at > ended.ended_at
    by_name = {block.block_uuid: block for block in found.blocks}
    assert by_name[A].completed_at is not None
    for uuid in (B, C):
        block = by_name[uuid]
        assert (block.started_at, block.completed_at, block.ended_at) == (None, None, None)
    # Whoever asked for it need not be an engine; one will take it up.
    assert [claimed.claim.run_id for claimed in yard.claim()] == [told.claim.run_id]


def test_a_retry_may_bring_blocks_that_the_run_did_not_have(yard: Yard) -> None:
    told = yard.take()
    yard.finish(told)
    more = Graph.of([(A, ()), (B, (A,)), (C, (B,)), (BlockUuid("d"), (C,))])
    yard.turn(told, RetryAsked("ann", more, {}))
    _is_stored(yard, told)
    found = _stored(yard, told)
    assert [b.block_uuid for b in found.blocks] == ["a", "b", "c", "d"]
    assert found.blocks[3].ready_at is not None


def test_another_version_may_be_taken_up(yard: Yard) -> None:
    told = yard.take()
    yard.finish(told)
    with yard.store.write() as unit:
        changed = type(LOADED)(spec=type(SPEC)(uuid=PIPELINE, blocks=SPEC.blocks[:2]), code={})
        newer = unit.catalog.pin(yard.project_id, changed)
    assert newer != yard.version_id
    graph = changed.spec.graph()
    yard.turn(told, RetryAsked("ann", graph, {}, from_block=B), version_id=newer)
    assert _stored(yard, told).run.version_id == newer


def test_a_save_after_a_takeover_writes_nothing_while_its_neighbour_is_saved(
    yard: Yard,
) -> None:
    stale, fresh = yard.take(), yard.take()
    with yard.store.write() as unit:
        assert unit.engines.renew(yard.me, -TTL)
    (taken, _) = yard.claim(yard.enlist("other"))
    assert taken.claim == Claim(stale.claim.run_id, 2)
    fresh.claim = Claim(fresh.claim.run_id, 2)
    before = _stored(yard, stale)
    void = yard.save(
        stale.plan(Began(), Admitted((A,)), attempts={(A, 1): an_attempt()}, store=yard.store),
        fresh.plan(Began(), Admitted((A,)), attempts={(A, 1): an_attempt()}, store=yard.store),
    )
    assert void == {stale.claim.run_id}
    assert _stored(yard, stale) == before
    assert _attempts(yard, stale) == []
    assert yard.cues(stale.claim.run_id) == [(None, "create")]
    _is_stored(yard, fresh)
    assert len(_attempts(yard, fresh)) == 1


def test_a_save_of_a_run_that_is_gone_is_void(yard: Yard) -> None:
    told = yard.take()
    told.claim = Claim(RunId(999), 1)
    assert yard.save(told.plan(Began(), store=yard.store)) == {999}
    assert yard.save() == frozenset()


def test_a_save_that_begins_where_the_run_is_not_is_void(yard: Yard) -> None:
    told = yard.take()
    behind = Told(told.claim, told.run)
    yard.turn(told, Began(), Admitted((A,)), attempts={(A, 1): an_attempt()})
    before = _stored(yard, told)
    assert yard.save(behind.plan(CancelAsked("ann"), store=yard.store)) == {told.claim.run_id}
    assert _stored(yard, told) == before


def test_a_save_repeated_because_its_commit_was_in_doubt_is_done_once(yard: Yard) -> None:
    told = yard.take()
    turns = [
        told.plan(*events, store=yard.store, **said)
        for events, said in (
            ((Began(), Admitted((A,))), {"attempts": {(A, 1): an_attempt()}}),
            (
                (Started(A, 1), Succeeded(A, 1)),
                {"outcomes": {(A, 1): Outcome(outputs=(an_output(),))}},
            ),
            ((Admitted((B,)), Started(B, 1), Failed(B, 1)), {"attempts": {(B, 1): an_attempt()}}),
        )
    ]
    for save in turns:
        assert yard.save(save) == frozenset()
        count = len(yard.cues(told.claim.run_id))
        before = _stored(yard, told)
        assert yard.save(save) == frozenset()
        assert _stored(yard, told) == before
        assert len(yard.cues(told.claim.run_id)) == count
    with yard.store.write() as unit:
        assert len(unit.outbox.take(10, TTL)) == 1


@pytest.mark.parametrize(
    ("events", "status", "reason"),
    [
        ([CancelAsked("ann")], "cancelled", "asked by ann"),
        ([Began(), Admitted((A,)), Started(A, 1), Failed(A, 1)], "failed", "Failed blocks: a."),
    ],
)
def test_the_end_of_a_run_is_announced_once(
    yard: Yard, events: list[Event], status: str, reason: str
) -> None:
    told = yard.take()
    for event in events:
        with yard.store.write() as unit:
            assert unit.outbox.take(10, TTL) == []
        yard.turn(told, event)
    with yard.store.write() as unit:
        (said,) = unit.outbox.take(10, TTL)
    assert said.topic == f"pipeline_run.{status}"
    assert said.payload == {
        "run_id": told.claim.run_id,
        "pipeline_uuid": PIPELINE,
        "status": status,
        "reason": reason,
    }
    assert said.project_id == yard.project_id


def test_a_schedule_for_once_is_over_when_its_run_is(yard: Yard) -> None:
    once = yard.schedule(schedule_interval="@once")
    daily = yard.schedule()
    for schedule in (once, daily):
        told = yard.take(schedule_id=schedule.id)
        with yard.store.read() as unit:
            before = unit.schedules.revision()
            assert unit.schedules.get(schedule.id).status == "active"
        yard.finish(told)
        with yard.store.read() as unit:
            assert (unit.schedules.revision() > before) is (schedule is once)
    with yard.store.read() as unit:
        assert unit.schedules.get(once.id).status == "inactive"
        assert unit.schedules.get(daily.id).status == "active"


def test_a_turn_over_many_runs_is_one_call(yard: Yard) -> None:
    many = [yard.take() for _ in range(20)]
    saves = [told.plan(Began(), Admitted((A,)), store=yard.store) for told in many]
    assert yard.save(*saves) == frozenset()
    for told in many:
        _is_stored(yard, told)


_NAMES = st.sampled_from([A, B, C])
_NUMBERS = st.integers(1, 3)
_EVENTS = st.one_of(
    st.just(Began()),
    st.just(Woke()),
    st.just(CancelAsked("ann")),
    st.builds(lambda uuid: Admitted((uuid,)), _NAMES),
    st.builds(Started, _NAMES, _NUMBERS),
    st.builds(Succeeded, _NAMES, _NUMBERS),
    st.builds(Failed, _NAMES, _NUMBERS),
    st.builds(Lost, _NAMES, _NUMBERS),
    st.builds(Stopped, _NAMES, _NUMBERS),
)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(turns=st.lists(st.lists(_EVENTS, min_size=1, max_size=4), min_size=1, max_size=12))
def test_whatever_is_decided_is_what_is_stored(yard: Yard, turns: list[list[Event]]) -> None:
    told = yard.take()
    told.run = Run.fresh(SPEC.graph(), {A: RetryPolicy(retries=2, delay=0)})
    moves = 0
    for events in [[Began(), Admitted((A,))], *turns]:
        save = told.plan(*events, store=yard.store)
        moves += len(save.moves)
        assert yard.save(save) == frozenset()
        assert yard.save(save) == frozenset()
    _is_stored(yard, told)
    assert len(yard.cues(told.claim.run_id)) == 1 + moves
    run = _stored(yard, told).run
    assert (run.ended_at is not None) is (run.status in RUN_ENDED)
