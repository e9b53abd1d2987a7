"""Whatever happens to a run, and in whatever order, its promises hold."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

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
from weft.core.ids import BlockUuid
from weft.core.machine import LOSSES_ALLOWED, Decision, Run, decide
from weft.core.retry import RetryPolicy
from weft.core.states import (
    BLOCK_ENDED,
    BLOCK_LIVE,
    BLOCK_MOVES,
    RUN_ENDED,
    RUN_MOVES,
    BlockStatus,
    Cause,
    Cue,
    RunStatus,
)

RETRIES = 2
SPOILED = {BlockStatus.FAILED, BlockStatus.UPSTREAM_FAILED}
REPORTS = st.sampled_from([Started, Succeeded, Failed, Lost, Stopped])


class RunMachine(RuleBasedStateMachine):
    """Drives `decide` with every report that an executor could ever send."""

    @initialize(data=st.data(), size=st.sampled_from([3, 4, 5, 7, 2, 1, 0]))
    def create(self, data: st.DataObject, size: int) -> None:
        ids = [BlockUuid(f"b{n}") for n in range(size)]
        entries = [
            (
                block,
                data.draw(st.lists(st.sampled_from(ids[:n]), unique=True) if n else st.just([])),
            )
            for n, block in enumerate(ids)
        ]
        # Authors do not write their blocks down in the order of the data.
        self.graph = Graph.of(data.draw(st.permutations(entries)))
        policy = RetryPolicy(retries=RETRIES, delay=3, max_delay=5)
        self.retries = dict.fromkeys(ids, policy)
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.run = Run.fresh(self.graph, self.retries)
        self.sent: set[tuple[BlockUuid, int]] = set()
        self.over: set[tuple[BlockUuid, int]] = set()
        self.stopped: set[tuple[BlockUuid, int]] = set()
        self.accepted: dict[tuple[BlockUuid, int], int] = {}
        self.losses: dict[BlockUuid, int] = dict.fromkeys(ids, 0)
        self.failures: dict[BlockUuid, int] = dict.fromkeys(ids, 0)

    def apply(self, event: Event) -> Decision:
        """Decide, then check what must hold of every single decision."""
        before = self.run
        decision = decide(before, event, self.now)
        self.run = decision.run
        self._check_moves(before, decision)
        self._check_effects(before, decision)
        if not before.stopping and self.run.cancel_requested_at is None:
            self._check_first_failure(before)
        return decision

    def _check_first_failure(self, before: Run) -> None:
        """What had not begun is blamed on the first failure, or cancelled if not below it."""
        failed = [u for u, b in self.run.blocks.items() if b.status is BlockStatus.FAILED]
        if not failed:
            return
        below = set().union(*(self.graph.descendants(uuid) for uuid in failed))
        for uuid, block in before.blocks.items():
            if block.status is BlockStatus.INITIAL:
                blamed = uuid in below
                end = BlockStatus.UPSTREAM_FAILED if blamed else BlockStatus.CANCELLED
                assert self.run.blocks[uuid].status is end

    def _check_moves(self, before: Run, decision: Decision) -> None:
        at = {uuid: block.status for uuid, block in before.blocks.items()}
        status = before.status
        for move in decision.moves:
            if move.block is None:
                assert move.before == status, "a move of the run from where it was not"
                status = RUN_MOVES[status][move.cue]
                assert move.after == status, "a move of the run that its table does not have"
                continue
            was = at.get(move.block, BlockStatus.INITIAL)
            assert move.before == was, "a move from where the block was not"
            at[move.block] = BLOCK_MOVES[was][move.cue]
            assert move.after == at[move.block], "a move that the table does not have"
            if move.cue is Cue.COMPLETE:
                key = (move.block, self.run.epoch)
                self.accepted[key] = self.accepted.get(key, 0) + 1
            if move.cue is not Cue.RETRY:
                assert was not in BLOCK_ENDED, "left a terminal status without a retry"
        assert status == self.run.status, "the run's status changed without a move"
        for uuid, block in self.run.blocks.items():
            assert at.get(uuid, BlockStatus.INITIAL) == block.status, "changed without a move"

    def _check_effects(self, before: Run, decision: Decision) -> None:
        for effect in decision.effects:
            match effect:
                case Dispatch(block, attempt):
                    assert (block, attempt) not in self.sent, "dispatched twice"
                    assert attempt == before.blocks[block].attempt + 1, "attempt does not rise"
                    assert self.run.blocks[block].status in BLOCK_LIVE
                    assert self.run.blocks[block].attempt == attempt
                    assert not self.run.stopping, "began something while stopping"
                    ups = self.graph.upstream[block]
                    assert all(self.run.blocks[u].status is BlockStatus.COMPLETED for u in ups)
                    self.sent.add((block, attempt))
                case Stop(block, attempt):
                    assert self.run.blocks[block].attempt == attempt
                    assert (block, attempt) in self.sent, "stopped what nobody holds"
                    assert self.run.stopping
                    self.stopped.add((block, attempt))
                case Announce(status):
                    assert status is self.run.status
                    assert before.status not in RUN_ENDED, "announced twice"
        announced = any(isinstance(effect, Announce) for effect in decision.effects)
        ended = self.run.status in RUN_ENDED and before.status not in RUN_ENDED
        assert announced == ended, "an end is announced exactly once"

    @precondition(lambda self: self.run.status is RunStatus.INITIAL)
    @rule()
    def begin(self) -> None:
        self.apply(Began())

    @precondition(lambda self: self.run.status is not RunStatus.INITIAL)
    @rule()
    def begin_again(self) -> None:
        before = self.run
        assert self.apply(Began()).run == before

    @precondition(lambda self: self.run.ready)
    @rule()
    def admit_all(self) -> None:
        ready = self.run.ready
        self.apply(Admitted(ready))
        assert all(self.run.blocks[block].status is BlockStatus.QUEUED for block in ready)

    @rule(data=st.data())
    def admit(self, data: st.DataObject) -> None:
        """Admit some of the ready, and now and then one that is not."""
        if not self.run.blocks:
            return
        anything = st.lists(st.sampled_from(sorted(self.run.blocks)), unique=True, max_size=2)
        ready = list(self.run.ready)
        chosen = data.draw(st.one_of(st.just(ready), st.just(ready[:1]), anything))
        before = self.run
        self.apply(Admitted(tuple(chosen)))
        for block in chosen:
            if block in before.ready and not before.stopping:
                assert self.run.blocks[block].status is BlockStatus.QUEUED

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), kind=REPORTS, cause=st.sampled_from(list(Cause)), final=st.booleans())
    def report(self, data: st.DataObject, kind: type, cause: Cause, *, final: bool) -> None:
        """Report on any attempt ever dispatched: late, twice, out of order."""
        block, attempt = data.draw(st.sampled_from(sorted(self.sent)))
        self._report(block, attempt, kind, cause, final=final)

    @precondition(lambda self: any(b.in_flight for b in self.run.blocks.values()))
    @rule(data=st.data())
    def succeed_now(self, data: st.DataObject) -> None:
        """Let one that is in flight succeed, so that runs get somewhere."""
        live = sorted(u for u, b in self.run.blocks.items() if b.in_flight)
        block = data.draw(st.sampled_from(live))
        attempt = self.run.blocks[block].attempt
        self._report(block, attempt, Succeeded, Cause.USER, final=False)

    @precondition(lambda self: any(b.in_flight for b in self.run.blocks.values()))
    @rule(data=st.data(), kind=st.sampled_from([Failed, Lost]))
    def keep_dying(self, data: st.DataObject, kind: type) -> None:
        """Let one block die again and again, as often as it comes back at once."""
        live = sorted(u for u, b in self.run.blocks.items() if b.in_flight)
        block = data.draw(st.sampled_from(live))
        causes = [Cause.USER] if kind is Failed else [Cause.LOST, Cause.ENGINE]
        for _ in range(data.draw(st.integers(1, 5))):
            if self.run.blocks[block].in_flight:
                cause = data.draw(st.sampled_from(causes))
                self._report(block, self.run.blocks[block].attempt, kind, cause, final=False)

    @precondition(lambda self: any(b.in_flight for b in self.run.blocks.values()))
    @rule(data=st.data(), kind=REPORTS, cause=st.sampled_from([Cause.USER, Cause.LOST]))
    def report_now(self, data: st.DataObject, kind: type, cause: Cause) -> None:
        """Report on an attempt that is in flight."""
        live = sorted(u for u, b in self.run.blocks.items() if b.in_flight)
        block = data.draw(st.sampled_from(live))
        self._report(block, self.run.blocks[block].attempt, kind, cause, final=False)

    def _report(
        self, block: BlockUuid, attempt: int, kind: type, cause: Cause, *, final: bool
    ) -> None:
        was = self.run.blocks[block]
        stopping = self.run.stopping
        stale = was.attempt != attempt or not was.in_flight
        event: Event
        if kind is Failed:
            event = Failed(block, attempt, cause, final)
        elif kind is Lost:
            event = Lost(block, attempt, cause)
        else:
            event = kind(block, attempt)
        decision = self.apply(event)
        now = self.run.blocks[block]
        if stale:
            assert not decision.moves, "believed a stale report"
            return
        match event:
            case Succeeded():
                assert now.status is BlockStatus.COMPLETED
                self.losses[block] = 0
            case Failed():
                self._check_failure(event, stopping=stopping)
            case Lost() | Stopped():
                self._check_loss(event, stopping=stopping)
            case _:
                assert now.status is BlockStatus.RUNNING

    def _check_failure(self, event: Failed, *, stopping: bool) -> None:
        now = self.run.blocks[event.block]
        if stopping and event.cause is Cause.CANCELLED:
            assert now.status is BlockStatus.CANCELLED
            return
        self.failures[event.block] += 1
        self.losses[event.block] = 0
        assert now.failures == self.failures[event.block], "a failure spends exactly one try"
        assert now.losses == 0, "a failure is not a death: the row of deaths is broken"
        again = not event.final and not stopping and self.failures[event.block] <= RETRIES
        if again:
            assert now.status is BlockStatus.QUEUED
            assert now.not_before is not None
            waits = [timedelta(seconds=3), timedelta(seconds=5)]
            assert now.not_before == self.now + waits[now.failures - 1]
        else:
            assert now.status is BlockStatus.FAILED

    def _check_loss(self, event: Lost | Stopped, *, stopping: bool) -> None:
        now = self.run.blocks[event.block]
        cause = event.cause if isinstance(event, Lost) else Cause.ENGINE
        if stopping:
            assert now.status is BlockStatus.CANCELLED
            return
        assert now.failures == self.failures[event.block], "a loss spends no try"
        if cause is not Cause.ENGINE:
            self.losses[event.block] += 1
        if self.losses[event.block] > LOSSES_ALLOWED:
            assert now.status is BlockStatus.FAILED
        else:
            assert now.status is BlockStatus.QUEUED
            assert now.attempt == event.attempt + 1
            assert now.not_before is None

    @rule(seconds=st.integers(0, 5))
    def pass_time(self, seconds: int) -> None:
        """Let time pass, mostly to the very moment of a wake-up."""
        self.now = self.run.wake_at or self.now + timedelta(seconds=seconds)
        self.apply(Woke())
        assert self.run.wake_at is None or self.run.wake_at > self.now, "the engine would spin"

    @precondition(lambda self: self.run.wake_at is not None and self.run.wake_at > self.now)
    @rule()
    def wake_early(self) -> None:
        waiting = {u for u, b in self.run.blocks.items() if b.not_before is not None}
        self.apply(Woke())
        assert waiting == {u for u, b in self.run.blocks.items() if b.not_before is not None}

    @precondition(lambda self: self.run.status is RunStatus.INITIAL or len(self.sent) > 1)
    @rule()
    def cancel(self) -> None:
        before = self.run
        self.apply(CancelAsked("a tester"))
        if before.status in RUN_ENDED:
            assert self.run == before
        else:
            assert self.run.cancel_requested_at is not None
            held = {(u, b.attempt) for u, b in before.blocks.items() if b.in_flight}
            assert held <= self.stopped, "something that runs was not told to stop"

    @precondition(lambda self: self.run.status in RUN_ENDED or len(self.sent) > 1)
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        blocks = sorted(self.run.blocks)
        chosen = data.draw(st.sampled_from([None, *blocks]))
        before = self.run
        asked = RetryAsked("a tester", self.graph, self.retries, chosen)
        done = all(b.status is BlockStatus.COMPLETED for b in before.blocks.values())
        if before.status not in RUN_ENDED or (done and chosen is None):
            try:
                decide(before, asked, self.now)
            except IllegalMove:
                return
            raise AssertionError("retried what cannot be")
        self.apply(asked)
        assert self.run.epoch == before.epoch + 1
        assert self.run.cancel_requested_at is None
        if chosen is not None:
            again = {chosen} | self.graph.descendants(chosen)
            assert all(self.run.blocks[u].status is BlockStatus.INITIAL for u in again)
        for uuid, block in self.run.blocks.items():
            kept = before.blocks[uuid].status is BlockStatus.COMPLETED
            assert block.attempt == before.blocks[uuid].attempt, "an attempt number fell"
            assert block.status is BlockStatus.INITIAL or kept
            if block.status is BlockStatus.INITIAL:
                self.failures[uuid] = self.losses[uuid] = 0
                assert (block.failures, block.losses) == (0, 0)

    @precondition(lambda self: self.run.status not in RUN_ENDED)
    @rule(data=st.data())
    def drive_to_the_end(self, data: st.DataObject) -> None:
        """Answer everything that is asked: the run must end, whatever it went through."""
        good = data.draw(st.booleans())
        self.apply(Began())
        for _ in range(40 * (len(self.run.blocks) + 1)):
            if self.run.status in RUN_ENDED:
                return
            self.apply(Admitted(self.run.ready))
            live = [(u, b.attempt) for u, b in self.run.blocks.items() if b.in_flight]
            for block, attempt in live:
                if self.run.blocks[block].attempt == attempt:
                    kind = Stopped if self.run.stopping else Succeeded if good else Failed
                    self._report(block, attempt, kind, Cause.USER, final=False)
            if self.run.wake_at is not None:
                self.pass_time(0)
        raise AssertionError(f"never ended: {self.run}")

    @invariant()
    def never_stuck(self) -> None:
        """A run that has not ended waits for somebody, or for a time."""
        if not hasattr(self, "run") or self.run.status in RUN_ENDED | {RunStatus.INITIAL}:
            return
        flying = any(block.in_flight for block in self.run.blocks.values())
        assert flying or self.run.ready or self.run.wake_at, "nobody will ever move this run"

    @invariant()
    def ready_exactly_when_all_above_completed(self) -> None:
        if not hasattr(self, "run") or self.run.status is not RunStatus.RUNNING:
            return
        for uuid, block in self.run.blocks.items():
            if block.status is BlockStatus.INITIAL:
                ups = {self.run.blocks[up].status for up in self.graph.upstream[uuid]}
                assert (block.ready_at is not None) == (ups <= {BlockStatus.COMPLETED})
                assert not self.run.stopping, "something still waits while the run stops"

    @invariant()
    def ends_mean_what_they_say(self) -> None:
        if not hasattr(self, "run"):
            return
        statuses = {block.status for block in self.run.blocks.values()}
        if self.run.status in RUN_ENDED:
            assert statuses <= BLOCK_ENDED, "ended while something was alive"
        if self.run.status is RunStatus.COMPLETED:
            assert statuses <= {BlockStatus.COMPLETED}
        if self.run.status is RunStatus.FAILED:
            assert BlockStatus.FAILED in statuses
            assert self.run.cancel_requested_at is None
        if self.run.status is RunStatus.CANCELLED:
            assert self.run.cancel_requested_at is not None
        for uuid, block in self.run.blocks.items():
            above = {self.run.blocks[up].status for up in self.graph.upstream[uuid]}
            if block.status is BlockStatus.UPSTREAM_FAILED:
                assert above & SPOILED, "blamed on an upstream that did not fail"
            if above & SPOILED and self.run.cancel_requested_at is None:
                # Cancelled for an earlier failure elsewhere, before its own upstream failed.
                assert block.status in {BlockStatus.UPSTREAM_FAILED, BlockStatus.CANCELLED}

    @invariant()
    def one_result_per_epoch(self) -> None:
        if hasattr(self, "run"):
            assert all(count == 1 for count in self.accepted.values())


EXAMPLES = os.environ.get("WEFT_TEST_EXAMPLES")
# Whoever asks for many wants to know whether there is a fault, not its shortest form.
PHASES = tuple(Phase) if EXAMPLES is None else (Phase.generate,)
RunMachine.TestCase.settings = settings(
    max_examples=int(EXAMPLES or 250), stateful_step_count=40, deadline=None, phases=PHASES
)
TestRunMachine = RunMachine.TestCase


def test_every_status_has_a_row() -> None:
    assert set(BLOCK_MOVES) == set(BlockStatus)
    assert set(RUN_MOVES) == set(RunStatus)


def test_the_ends_are_the_statuses_that_only_a_retry_leaves() -> None:
    assert {"completed", "failed", "cancelled", "upstream_failed", "condition_failed"} == {
        str(status) for status in BLOCK_ENDED
    }
    assert {str(status) for status in RUN_ENDED} == {"completed", "failed", "cancelled"}
