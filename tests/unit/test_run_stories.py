"""Stories of single runs: what a user sees when this or that happens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from weft.core.effects import Announce, Dispatch, Stop
from weft.core.errors import IllegalMove
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
from weft.core.ids import BlockUuid as B
from weft.core.machine import Run, decide
from weft.core.retry import RetryPolicy
from weft.core.states import Cause, Cue, RunStatus

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DIAMOND = Graph.of(
    [(B("a"), []), (B("b"), [B("a")]), (B("c"), [B("a")]), (B("d"), [B("b"), B("c")])]
)


def tell(run: Run, *events: Event, now: datetime = NOW) -> Run:
    for event in events:
        run = decide(run, event, now).run
    return run


def statuses(run: Run) -> dict[str, str]:
    return {uuid: str(block.status) for uuid, block in run.blocks.items()}


def begun(**retries: int) -> Run:
    policies = {B(block): RetryPolicy(retries=n) for block, n in retries.items()}
    return tell(Run.fresh(DIAMOND, policies), Began())


def with_a_done(**retries: int) -> Run:
    return tell(begun(**retries), Admitted((B("a"),)), Started(B("a"), 1), Succeeded(B("a"), 1))


def both_admitted() -> Run:
    return tell(with_a_done(), Admitted((B("b"), B("c"))))


def test_only_roots_are_ready_at_first_then_what_follows() -> None:
    assert begun().ready == ("a",)
    assert with_a_done().ready == ("b", "c")
    one = tell(with_a_done(), Admitted((B("b"), B("c"))), Succeeded(B("b"), 1))
    assert one.ready == ()
    assert tell(one, Succeeded(B("c"), 1)).ready == ("d",)


def test_an_empty_pipeline_completes_at_once() -> None:
    decision = decide(Run.fresh(Graph.of([])), Began(), NOW)
    assert decision.run.status is RunStatus.COMPLETED
    assert decision.effects == (Announce(RunStatus.COMPLETED),)


def test_a_failure_ends_siblings_before_the_run_says_failed() -> None:
    running = tell(
        with_a_done(), Admitted((B("b"), B("c"))), Started(B("b"), 1), Started(B("c"), 1)
    )
    decision = decide(running, Failed(B("b"), 1), NOW)
    assert statuses(decision.run) == {
        "a": "completed",
        "b": "failed",
        "c": "running",
        "d": "upstream_failed",
    }
    assert decision.run.status is RunStatus.RUNNING
    assert decision.effects == (Stop(B("c"), 1),)
    last = decide(decision.run, Stopped(B("c"), 1), NOW)
    assert last.run.status is RunStatus.FAILED
    assert statuses(last.run)["c"] == "cancelled"
    assert last.moves[-1].reason == "Failed blocks: b."


def test_a_sibling_that_finishes_before_it_is_stopped_keeps_its_result() -> None:
    running = tell(with_a_done(), Admitted((B("b"), B("c"))), Failed(B("b"), 1))
    ended = tell(running, Succeeded(B("c"), 1))
    assert statuses(ended)["c"] == "completed"
    assert ended.status is RunStatus.FAILED


def test_a_failed_try_waits_then_goes_out_under_a_new_number() -> None:
    run = tell(begun(a=1), Admitted((B("a"),)), Started(B("a"), 1), Failed(B("a"), 1))
    assert statuses(run)["a"] == "queued"
    assert run.wake_at == NOW + timedelta(seconds=5)
    due = decide(run, Woke(), NOW + timedelta(seconds=5))
    assert due.effects == (Dispatch(B("a"), 2),)
    assert tell(due.run, Failed(B("a"), 2)).status is RunStatus.FAILED


def test_losing_an_engine_any_number_of_times_fails_nothing() -> None:
    run = tell(begun(), Admitted((B("a"),)))
    for attempt in range(1, 20):
        run = tell(run, Lost(B("a"), attempt, Cause.ENGINE))
    assert statuses(run)["a"] == "queued"
    assert run.blocks[B("a")].failures == 0


def test_the_third_death_in_a_row_fails_the_block_with_its_cause() -> None:
    run = tell(begun(a=5), Admitted((B("a"),)))
    run = tell(run, Lost(B("a"), 1), Lost(B("a"), 2))
    decision = decide(run, Lost(B("a"), 3), NOW)
    assert statuses(decision.run)["a"] == "failed"
    failure = next(move for move in decision.moves if move.cue is Cue.FAIL)
    assert failure.reason == "lost 3 times in a row"


def test_cancel_before_the_start_ends_everything_at_once() -> None:
    decision = decide(Run.fresh(DIAMOND), CancelAsked("ada"), NOW)
    assert decision.run.status is RunStatus.CANCELLED
    assert set(statuses(decision.run).values()) == {"cancelled"}
    assert decision.moves[0].reason == "asked by ada"


def test_cancel_waits_for_proof_that_what_ran_is_over() -> None:
    running = tell(with_a_done(), Admitted((B("b"),)), Started(B("b"), 1))
    asked = decide(running, CancelAsked("ada"), NOW)
    assert asked.effects == (Stop(B("b"), 1),)
    assert asked.run.status is RunStatus.RUNNING
    assert tell(asked.run, Stopped(B("b"), 1)).status is RunStatus.CANCELLED


def test_a_cancel_that_came_too_late_changes_nothing() -> None:
    run = tell(
        with_a_done(), Admitted((B("b"), B("c"))), Succeeded(B("b"), 1), Succeeded(B("c"), 1)
    )
    run = tell(run, Admitted((B("d"),)), CancelAsked("ada"), Succeeded(B("d"), 1))
    assert run.status is RunStatus.COMPLETED


def test_a_late_report_of_an_old_epoch_is_not_believed() -> None:
    failed = tell(begun(), Admitted((B("a"),)), Failed(B("a"), 1))
    again = tell(failed, RetryAsked("ada", DIAMOND, {}), Admitted((B("a"),)))
    assert again.epoch == 2
    assert tell(again, Succeeded(B("a"), 1)) == again
    assert statuses(tell(again, Succeeded(B("a"), 2)))["a"] == "completed"


def test_a_run_that_lives_cannot_be_retried() -> None:
    with pytest.raises(IllegalMove, match="running cannot be retried"):
        decide(begun(), RetryAsked("ada", DIAMOND, {}), NOW)


def test_a_run_that_completed_is_not_disturbed_by_a_retry() -> None:
    graph = Graph.of([(B("a"), [])])
    done = tell(Run.fresh(graph), Began(), Admitted((B("a"),)), Succeeded(B("a"), 1))
    with pytest.raises(IllegalMove, match="nothing to retry"):
        decide(done, RetryAsked("ada", graph, {}), NOW)
