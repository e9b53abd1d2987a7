"""Decide what one event means for one pipeline run: a pure function.

    decide(run, event, now) -> Decision(run, moves, effects)

The caller commits the decision and only then carries out its effects. After each
event consequences ripple until nothing moves, so nobody ever has to poke a
downstream block. `decide` stops at *ready*; admission (see `admission`) chooses
among the ready and comes back with `Admitted`.

How a run ends (docs/explanation/life-of-a-run.md tells it in pictures):

* all blocks completed (or skipped by a condition): `completed`;
* a block failed for good: its descendants become `upstream_failed`, whatever has
  not begun `cancelled`, live siblings are told to stop; once the last of them is
  proven to be over the run is `failed`;
* a cancel was asked: the same without `upstream_failed`; the run is `cancelled`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

from weft.core.effects import Announce, Dispatch, Effect, Stop
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

LOSSES_ALLOWED = 2
"""The third death in a row of child, zygote or worker fails the block."""


@dataclass(frozen=True, slots=True)
class BlockRun:
    """One block of one run, as far as deciding goes.

    `attempt` numbers the times it was handed to an executor and never falls.
    `failures` counts the user's tries spent, `losses` the deaths in a row, both
    within the epoch.
    """

    status: BlockStatus = BlockStatus.INITIAL
    attempt: int = 0
    failures: int = 0
    losses: int = 0
    ready_at: datetime | None = None
    not_before: datetime | None = None

    @property
    def in_flight(self) -> bool:
        """Whether an executor holds an attempt of it (a waiting retry is not held)."""
        return self.status in BLOCK_LIVE and self.not_before is None


@dataclass(frozen=True, slots=True)
class Run:
    """All that deciding needs to know of a pipeline run."""

    graph: Graph
    blocks: Mapping[BlockUuid, BlockRun]
    retries: Mapping[BlockUuid, RetryPolicy]
    status: RunStatus = RunStatus.INITIAL
    epoch: int = 1
    cancel_requested_at: datetime | None = None

    @classmethod
    def fresh(cls, graph: Graph, retries: Mapping[BlockUuid, RetryPolicy] | None = None) -> Run:
        """Return a run none of whose blocks has moved."""
        return cls(graph, dict.fromkeys(graph.upstream, BlockRun()), retries or {})

    @property
    def ready(self) -> tuple[BlockUuid, ...]:
        """The blocks that wait for admission, in the author's order."""
        if self.status is not RunStatus.RUNNING:
            return ()
        return tuple(
            uuid
            for uuid, block in self.blocks.items()
            if block.status is BlockStatus.INITIAL and block.ready_at is not None
        )

    @property
    def wake_at(self) -> datetime | None:
        """The earliest time at which a waiting retry is due."""
        waits = [b.not_before for b in self.blocks.values() if b.not_before is not None]
        return min(waits, default=None)

    @property
    def stopping(self) -> bool:
        """Whether nothing new may begin: a block failed, or a cancel was asked."""
        return self.cancel_requested_at is not None or any(
            block.status is BlockStatus.FAILED for block in self.blocks.values()
        )


@dataclass(frozen=True, slots=True)
class Moved:
    """One move: one event row. `block` is None when the run itself moved."""

    block: BlockUuid | None
    attempt: int
    before: BlockStatus | RunStatus
    after: BlockStatus | RunStatus
    cue: Cue
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """The run after the event, every move in order, and what to do once committed."""

    run: Run
    moves: tuple[Moved, ...] = ()
    effects: tuple[Effect, ...] = ()


def decide(run: Run, event: Event, now: datetime) -> Decision:  # noqa: C901, PLR0912
    """Return what `event` means for `run` at `now` (an aware time).

    Stale and doubled reports decide nothing. Raises `IllegalMove` only for a
    request that makes no sense, such as retrying a run that has not ended.
    """
    draft = _Draft(run, now)
    match event:
        case Began():
            draft.begin()
        case Admitted(blocks):
            draft.admit(blocks)
        case Started(block, attempt):
            draft.start(block, attempt)
        case Succeeded(block, attempt):
            draft.succeed(block, attempt)
        case Failed(block, attempt, cause, final):
            draft.fail(block, attempt, cause, final=final)
        case Lost(block, attempt, cause):
            draft.lose(block, attempt, cause)
        case Stopped(block, attempt):
            draft.stop(block, attempt)
        case Woke():
            draft.wake()
        case CancelAsked(by):
            draft.cancel(by)
        case RetryAsked():
            draft.retry(event)
        case _:
            assert_never(event)
    return draft.settle()


class _Draft:
    """A run being decided; lives for one call of `decide`."""

    def __init__(self, run: Run, now: datetime) -> None:
        self.run = run
        self.now = now
        self.blocks = dict(run.blocks)
        self.moves: list[Moved] = []
        self.effects: list[Effect] = []
        self.touched: set[BlockUuid] = set()
        self.reason = ""
        self.was_stopping = run.stopping
        self.has_failed = any(b.status is BlockStatus.FAILED for b in run.blocks.values())

    @property
    def cancelling(self) -> bool:
        """Whether somebody asked for the end."""
        return self.run.cancel_requested_at is not None

    @property
    def stopping(self) -> bool:
        """As `Run.stopping`, for the draft."""
        return self.cancelling or self.has_failed

    def begin(self) -> None:
        """Start a run that has not started."""
        if self.run.status is RunStatus.INITIAL and not self.cancelling:
            self.move_run(Cue.BEGIN)
        self.touched.update(self.blocks)

    def admit(self, blocks: tuple[BlockUuid, ...]) -> None:
        """Give places to ready blocks; those no longer ready are passed over."""
        if self.run.status is not RunStatus.RUNNING or self.stopping:
            return
        for uuid in blocks:
            block = self.blocks[uuid]
            if block.status is BlockStatus.INITIAL and block.ready_at is not None:
                self.dispatch(uuid)
                self.move(uuid, Cue.ADMIT)

    def start(self, uuid: BlockUuid, attempt: int) -> None:
        """Note that an attempt began."""
        if self.current(uuid, attempt) and self.blocks[uuid].status is BlockStatus.QUEUED:
            self.move(uuid, Cue.START)

    def succeed(self, uuid: BlockUuid, attempt: int) -> None:
        """Accept a result, once, from the present attempt only."""
        if self.current(uuid, attempt):
            self.begin_if_queued(uuid)
            self.move(uuid, Cue.COMPLETE)
            self.blocks[uuid] = replace(self.blocks[uuid], losses=0)

    def fail(self, uuid: BlockUuid, attempt: int, cause: Cause, *, final: bool) -> None:
        """Spend a try; wait for the next one if the policy grants it."""
        if not self.current(uuid, attempt):
            return
        if self.stopping and cause is Cause.CANCELLED:
            self.move(uuid, Cue.CANCEL, cause)
            return
        failures = self.blocks[uuid].failures + 1
        policy = self.run.retries.get(uuid, RetryPolicy())
        wait = None if final or self.stopping else policy.wait(failures)
        self.begin_if_queued(uuid)
        self.move(uuid, Cue.FAIL if wait is None else Cue.TRY_AGAIN, cause)
        self.blocks[uuid] = replace(
            self.blocks[uuid],
            failures=failures,
            losses=0,
            not_before=None if wait is None else self.now + wait,
        )

    def lose(self, uuid: BlockUuid, attempt: int, cause: Cause) -> None:
        """Hand a vanished attempt out again, unless it keeps dying."""
        if not self.current(uuid, attempt):
            return
        if self.stopping:
            self.move(uuid, Cue.CANCEL, cause)
            return
        losses = self.blocks[uuid].losses + (cause is not Cause.ENGINE)
        if losses > LOSSES_ALLOWED:
            self.move(uuid, Cue.FAIL, f"{cause} {losses} times in a row")
        else:
            self.move(uuid, Cue.LOSE, cause)
        self.blocks[uuid] = replace(self.blocks[uuid], losses=losses)
        if losses <= LOSSES_ALLOWED:
            self.dispatch(uuid)

    def stop(self, uuid: BlockUuid, attempt: int) -> None:
        """Believe that an attempt is over because it was told to be."""
        if not self.current(uuid, attempt):
            return
        if self.stopping:
            self.move(uuid, Cue.CANCEL, Cause.CANCELLED)
        else:
            # Stopped by no order that still stands (an engine draining, say): as
            # if lost with its engine, it is handed out again at no cost.
            self.lose(uuid, attempt, Cause.ENGINE)

    def wake(self) -> None:
        """Hand out the retries that are due."""
        for uuid, block in self.run.blocks.items():
            if block.not_before is not None and block.not_before <= self.now:
                self.dispatch(uuid)
                self.move(uuid, Cue.RETRY_DUE)

    def cancel(self, by: str) -> None:
        """Let nothing new begin, and end what runs."""
        if self.run.status not in RUN_ENDED and not self.cancelling:
            self.run = replace(self.run, cancel_requested_at=self.now)
            self.reason = f"asked by {by}"

    def retry(self, asked: RetryAsked) -> None:
        """Take an ended run up again under a new epoch and the current code."""
        if self.run.status not in RUN_ENDED:
            raise IllegalMove(
                f"a run that is {self.run.status} cannot be retried",
                hint="Cancel it first, or wait for its end.",
            )
        self.reason = f"asked by {asked.by}"
        old = self.blocks
        self.blocks = {uuid: old.get(uuid, BlockRun()) for uuid in asked.graph.upstream}
        again = self._again(asked)
        if not again:
            raise IllegalMove(
                "there is nothing to retry: every block completed",
                hint="Name the block to run again from.",
            )
        self.run = replace(
            self.run,
            graph=asked.graph,
            retries=asked.retries,
            epoch=self.run.epoch + 1,
            cancel_requested_at=None,
        )
        self.move_run(Cue.RETRY)
        for uuid in again:
            if self.blocks[uuid].status is not BlockStatus.INITIAL:
                self.move(uuid, Cue.RETRY)
            self.blocks[uuid] = BlockRun(attempt=self.blocks[uuid].attempt)
        self.touched.update(self.blocks)
        self.has_failed = self.was_stopping = False

    def _again(self, asked: RetryAsked) -> list[BlockUuid]:
        if asked.from_block is None:
            chosen = {u for u, b in self.blocks.items() if b.status is not BlockStatus.COMPLETED}
        elif asked.from_block in self.blocks:
            # What else has not completed runs too: a run cannot end well without it.
            chosen = {u for u, b in self.blocks.items() if b.status is not BlockStatus.COMPLETED}
            chosen.add(asked.from_block)
        else:
            raise IllegalMove(f"the run has no block {asked.from_block!r}")
        # A block cannot keep its result while something it was made from runs again.
        spread = chosen.union(*(asked.graph.descendants(uuid) for uuid in chosen))
        return [uuid for uuid in self.blocks if uuid in spread]

    def settle(self) -> Decision:
        """Let consequences ripple until nothing moves; end the run if all is over."""
        if self.stopping and not self.was_stopping:
            self.touched.update(self.blocks)
        while self.touched:
            reached = self.touched.union(*(self.run.graph.downstream[u] for u in self.touched))
            self.touched = set()
            self._ripple([uuid for uuid in self.blocks if uuid in reached])
        if self.stopping and not self.was_stopping:
            self._stop_live()
        self._end_if_over()
        after = replace(self.run, blocks=self.blocks)
        return Decision(after, tuple(self.moves), tuple(self.effects))

    def _ripple(self, reached: list[BlockUuid]) -> None:
        if self.run.status in RUN_ENDED:
            return
        for uuid in reached:
            block = self.blocks[uuid]
            if block.status is BlockStatus.INITIAL:
                self._follow(uuid, block)
            elif block.not_before is not None and self.stopping:
                self.move(uuid, Cue.CANCEL)

    def _follow(self, uuid: BlockUuid, block: BlockRun) -> None:
        """Let a block that has not begun follow from what stands above it."""
        above = {self.blocks[up].status for up in self.run.graph.upstream[uuid]}
        if self.cancelling:
            self.move(uuid, Cue.CANCEL)
        elif above & _SPOILED:
            self.move(uuid, Cue.UPSTREAM_FAIL)
        elif BlockStatus.CONDITION_FAILED in above:
            self.move(uuid, Cue.CONDITION_FAIL)
        elif self.has_failed:
            if not self._below_failure(uuid):
                self.move(uuid, Cue.CANCEL)
        elif self._is_ready(block, above):
            self.blocks[uuid] = replace(block, ready_at=self.now)

    def _is_ready(self, block: BlockRun, above: set[BlockStatus]) -> bool:
        running = self.run.status is RunStatus.RUNNING
        return running and block.ready_at is None and above <= {BlockStatus.COMPLETED}

    def _below_failure(self, uuid: BlockUuid) -> bool:
        """Whether a failure above will reach this block on a later ripple."""
        above = self.run.graph.ancestors(uuid)
        return any(self.blocks[up].status in _SPOILED for up in above)

    def _stop_live(self) -> None:
        for uuid, block in self.blocks.items():
            if block.in_flight:
                self.effects.append(Stop(uuid, block.attempt))

    def _end_if_over(self) -> None:
        if self.run.status in RUN_ENDED:
            return
        statuses = {block.status for block in self.blocks.values()}
        if not statuses <= BLOCK_ENDED:
            return
        if self.run.status is RunStatus.RUNNING and statuses <= _GOOD:
            self.move_run(Cue.COMPLETE)
        elif self.cancelling:
            self.move_run(Cue.CANCEL)
        elif self.run.status is RunStatus.RUNNING:
            self.move_run(Cue.FAIL, self._blame())
        else:
            return
        self.effects.append(Announce(self.run.status))

    def _blame(self) -> str:
        failed = [u for u, b in self.blocks.items() if b.status is BlockStatus.FAILED]
        return f"Failed blocks: {', '.join(failed)}."

    def current(self, uuid: BlockUuid, attempt: int) -> bool:
        """Whether a report speaks of the attempt that an executor holds now."""
        block = self.blocks.get(uuid)
        return block is not None and block.in_flight and block.attempt == attempt

    def begin_if_queued(self, uuid: BlockUuid) -> None:
        """Make up for the report of a start that an end overtook."""
        if self.blocks[uuid].status is BlockStatus.QUEUED:
            self.move(uuid, Cue.START)

    def dispatch(self, uuid: BlockUuid) -> None:
        """Number a new attempt and have it handed out."""
        block = self.blocks[uuid]
        self.blocks[uuid] = replace(block, attempt=block.attempt + 1)
        self.effects.append(Dispatch(uuid, block.attempt + 1))

    def move(self, uuid: BlockUuid, cue: Cue, reason: str = "") -> None:
        """Make one move of the table, or refuse it."""
        block = self.blocks[uuid]
        after = BLOCK_MOVES[block.status].get(cue)
        if after is None:
            raise IllegalMove(f"block {uuid!r}: {cue} while {block.status}")
        said = reason or self.reason
        self.moves.append(Moved(uuid, block.attempt, block.status, after, cue, said))
        self.blocks[uuid] = replace(block, status=after, ready_at=None, not_before=None)
        self.touched.add(uuid)
        self.has_failed = self.has_failed or after is BlockStatus.FAILED

    def move_run(self, cue: Cue, reason: str = "") -> None:
        """Make one move of the run's own table, or refuse it."""
        after = RUN_MOVES[self.run.status].get(cue)
        if after is None:
            raise IllegalMove(f"run: {cue} while {self.run.status}")
        self.moves.append(Moved(None, 0, self.run.status, after, cue, reason or self.reason))
        self.run = replace(self.run, status=after)


_SPOILED = frozenset({BlockStatus.FAILED, BlockStatus.UPSTREAM_FAILED})
_GOOD = frozenset({BlockStatus.COMPLETED, BlockStatus.CONDITION_FAILED})
