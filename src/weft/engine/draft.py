"""One run during one turn: what was decided so far, and not yet committed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from weft.core.effects import Dispatch, Effect
from weft.core.events import Event, Started
from weft.core.ids import BlockUuid
from weft.core.machine import Moved, Run, decide
from weft.core.records import Outcome
from weft.core.states import BLOCK_LIVE
from weft.engine.held import Held
from weft.ports.executor import Job, Report
from weft.ports.runs import NewAttempt, Save

Key: TypeAlias = tuple[BlockUuid, int]


@dataclass(slots=True)
class Draft:
    """Collects the decisions of one turn about one run; lives for that turn only."""

    held: Held
    actor: str
    now: datetime
    run: Run = field(init=False)
    moves: list[Moved] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    outcomes: dict[Key, Outcome] = field(default_factory=dict)
    attempts: dict[Key, NewAttempt] = field(default_factory=dict)
    jobs: dict[Key, Job] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.run = self.held.run

    def apply(self, event: Event) -> None:
        """Decide one event."""
        decision = decide(self.run, event, self.now)
        self.run = decision.run
        self.moves += decision.moves
        self.effects += decision.effects

    def report(self, report: Report) -> None:
        """Decide an executor's report, and keep its outcome if it was believed."""
        event = report.event
        moved = len(self.moves)
        self.apply(event)
        if len(self.moves) > moved and not isinstance(event, Started):
            self.outcomes[event.block, event.attempt] = report.outcome

    @property
    def handed_out(self) -> list[Dispatch]:
        """The attempts to hand out once this is committed."""
        return [effect for effect in self.effects if isinstance(effect, Dispatch)]

    @property
    def newly_live(self) -> int:
        """By how many the run's live blocks will have grown."""
        return live_blocks(self.run) - live_blocks(self.held.run)

    @property
    def changed(self) -> bool:
        """Whether there is anything to commit."""
        return self.run != self.held.run or bool(self.moves)

    def save(self) -> Save:
        """Return what the store is to write."""
        return Save(
            claim=self.held.claim,
            before=self.held.run,
            after=self.run,
            moves=tuple(self.moves),
            partition=self.held.partition,
            actor=self.actor,
            outcomes=self.outcomes,
            attempts=self.attempts,
        )


def live_blocks(run: Run) -> int:
    """Count the blocks of a run that occupy a place."""
    return sum(block.status in BLOCK_LIVE for block in run.blocks.values())
