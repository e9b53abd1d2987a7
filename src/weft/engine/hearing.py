"""The first half of a turn: take in all that happened, as events of the runs it concerns."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import assert_never

from weft.core.effects import Dispatch
from weft.core.events import CancelAsked, Woke
from weft.core.ids import BlockUuid, ProjectId, RunId
from weft.core.records import RunWithBlocks
from weft.core.states import RunStatus
from weft.engine.attempts import Attempts, executor_of
from weft.engine.dispatcher import Dispatcher
from weft.engine.draft import Draft
from weft.engine.held import Held, ServedProject
from weft.engine.notes import Distrust, Drain, Note, Nudge, Own, Sweep
from weft.engine.planner import Planner
from weft.engine.recovery import Recovery, left_behind, orphaned
from weft.ports.executor import Report
from weft.ports.runs import Claim, EngineRef
from weft.ports.signals import RUNS, SCHEDULES
from weft.ports.unit import Unit

log = logging.getLogger(__name__)

CLAIM_AT_ONCE = 100


class Hearing:
    """Turns notes, the database's news and the time into drafts with events applied.

    With `claim=False` runs of others are never taken up, nor schedules planned.
    """

    def __init__(
        self,
        me: EngineRef,
        *,
        served: Mapping[ProjectId, ServedProject],
        planner: Planner,
        attempts: Attempts,
        dispatcher: Dispatcher,
        checkpoint: Callable[[str], None],
        claim: bool,
    ) -> None:
        self._me = me
        self._served = served
        self._planner = planner
        self._attempts = attempts
        self._dispatcher = dispatcher
        self._checkpoint = checkpoint
        self._claims = claim
        self._recovery = Recovery(served)

    def hear(
        self,
        unit: Unit,
        notes: Sequence[Note],
        held: Mapping[RunId, Held],
        *,
        now: datetime,
        may_begin: bool,
    ) -> dict[RunId, Draft]:
        """Return a draft of every run that this engine owns now."""
        if any(isinstance(note, Distrust) for note in notes):
            drafts = self._look_again(unit, now)
        else:
            drafts = {run_id: self._draft(one, now) for run_id, one in held.items()}
        news = _news(notes)
        if self._claims and may_begin:
            self._find_runs(unit, news, drafts, now)
        for note in notes:
            if isinstance(note, Own):
                self._take_mine(unit, note.run_id, drafts, now)
        if drafts and RUNS in news:
            claims = [draft.held.claim for draft in drafts.values()]
            for run_id, by in unit.runs.cancels(claims).items():
                drafts[run_id].apply(CancelAsked(by))
        _believe(notes, drafts)
        if may_begin:
            for draft in drafts.values():
                if draft.run.wake_at is not None and draft.run.wake_at <= now:
                    draft.apply(Woke())
        return drafts

    def _look_again(self, unit: Unit, now: datetime) -> dict[RunId, Draft]:
        """Read every owned run anew: it is not known what the last commit did.

        What an executor of ours still holds goes on; what was committed as handed
        out and never was, is handed out again.
        """
        self._planner.reload(unit, now, anyway=True)
        drafts: dict[RunId, Draft] = {}
        for claimed in unit.runs.owned(self._me):
            self._take_up(unit, claimed.claim, claimed.stored, drafts, now)
        log.info("the database is back; %d runs go on", len(drafts))
        return drafts

    def _find_runs(
        self, unit: Unit, news: Collection[str], drafts: dict[RunId, Draft], now: datetime
    ) -> None:
        """Claim what is free, make what is due."""
        if RUNS in news:
            for claimed in unit.runs.claim(self._me, list(self._served), CLAIM_AT_ONCE):
                self._take_up(unit, claimed.claim, claimed.stored, drafts, now)
        if SCHEDULES in news:
            self._planner.reload(unit, now)
            for draft in drafts.values():
                if draft.run.status is RunStatus.INITIAL:
                    self._recovery.refresh(unit, draft.held)
        for planned in self._planner.plan(unit, self._me, now):
            self._checkpoint("planned")
            self._take_mine(unit, planned.run_id, drafts, now)
            if planned.overlaps:
                drafts[planned.run_id].apply(CancelAsked("trigger: its previous run still runs"))

    def _take_mine(
        self, unit: Unit, run_id: RunId, drafts: dict[RunId, Draft], now: datetime
    ) -> None:
        stored = unit.runs.get(run_id)
        self._take_up(unit, Claim(run_id, stored.run.fence), stored, drafts, now)

    def _take_up(
        self,
        unit: Unit,
        claim: Claim,
        stored: RunWithBlocks,
        drafts: dict[RunId, Draft],
        now: datetime,
    ) -> None:
        held = self._recovery.take_up(unit, claim, stored)
        draft = drafts[claim.run_id] = self._draft(held, now)
        for block, attempt in left_behind(held.run):
            if self._attempts.holds(held.id, block, attempt):
                continue
            if not self._adopt(draft, block, attempt):
                draft.apply(orphaned(block, attempt))

    def _adopt(self, draft: Draft, block: BlockUuid, attempt: int) -> bool:
        """Whether an executor still holds an attempt of an earlier life."""
        _, job = self._dispatcher.envelope(draft, Dispatch(block, attempt), draft.held.outputs)
        return self._attempts.adopt(job, executor_of(draft.held, block))

    def _draft(self, held: Held, now: datetime) -> Draft:
        return Draft(held, str(self._me.id), now)


def _believe(notes: Sequence[Note], drafts: Mapping[RunId, Draft]) -> None:
    for note in notes:
        if isinstance(note, Report) and note.run_id in drafts:
            drafts[note.run_id].report(note)


def matters(note: Note) -> bool:
    """Whether a note alone makes a turn worth a transaction."""
    match note:
        case Nudge(topic):
            return topic in {RUNS, SCHEDULES}
        case Drain():
            return False
        case Report() | Own() | Sweep() | Distrust():
            return True
        case _:
            assert_never(note)


def _news(notes: Sequence[Note]) -> frozenset[str]:
    """The topics to look into; a sweep looks into all of them."""
    if any(isinstance(note, Sweep | Distrust) for note in notes):
        return frozenset({RUNS, SCHEDULES})
    return frozenset(note.topic for note in notes if isinstance(note, Nudge))
