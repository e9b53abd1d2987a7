"""The engine: one thread, one mailbox, no polling.

A turn: wait for a note or the earliest deadline; in one transaction take up free
runs, plan what is due, decide every report and admit what is ready; commit; only
then act. Whatever the database does in between, a report stays in the mailbox until
a commit has it.

Killing an engine at any point costs nothing but its lease: before the commit
nothing happened, after it the next owner finds attempts that nobody holds and hands
them out again. `Engine.checkpoint` names these points, for the tests that crash at
each of them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never

from weft.core.calendar import CronFactory
from weft.core.effects import Announce, Dispatch, Effect, Stop
from weft.core.errors import Unavailable
from weft.core.events import CancelAsked, Woke
from weft.core.ids import BlockUuid, EngineId, RunId
from weft.core.records import RunWithBlocks
from weft.core.states import RunStatus
from weft.engine.attempts import Attempts, executor_of
from weft.engine.dispatcher import Dispatcher
from weft.engine.draft import Draft
from weft.engine.held import Held, ServedProject
from weft.engine.leases import LeaseKeeper
from weft.engine.mailbox import Mailbox
from weft.engine.notes import Drain, Note, Nudge, Own, Sweep
from weft.engine.planner import Planner
from weft.engine.recovery import Recovery, left_behind, orphaned
from weft.engine.teller import Teller
from weft.ports.channels import Channel
from weft.ports.clock import Clock
from weft.ports.executor import Executor, Report
from weft.ports.registry import Registry
from weft.ports.runs import Claim, EngineRef
from weft.ports.signals import MOVED, RUNS, SCHEDULES, Signals
from weft.ports.unit import Store, Unit

log = logging.getLogger(__name__)

CLAIM_AT_ONCE = 100
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0


@dataclass(frozen=True, slots=True)
class World:
    """All that an engine needs from outside.

    `exclusive` says that no other engine can reach the store (SQLite): then a lease
    that could not be renewed for a while puts nothing in doubt.
    """

    store: Store
    executors: Registry[Executor]
    signals: Signals
    clock: Clock
    cron: CronFactory
    channels: Collection[Channel]
    exclusive: bool


@dataclass(frozen=True, slots=True)
class Health:
    """How the engine is getting on; times in seconds."""

    since_last_turn: float
    work_overdue: float
    lease_age: float
    runs_held: int
    attempts_in_flight: int
    triggers_set_aside: Mapping[int, str]


class Engine:
    """Moves the runs that it owns. Several may share a PostgreSQL store.

    With `claim=False` it owns only what `own` gives it (as `weft run` does).
    `on_death` is called with a reason when a thread ends that never should; the
    process is to end then, for half an engine is worse than none.
    """

    def __init__(
        self,
        world: World,
        *,
        engine_id: EngineId,
        projects: Iterable[ServedProject],
        dispatcher: Dispatcher,
        on_death: Callable[[str], None],
        host: str,
        pid: int,
        ttl: timedelta = timedelta(seconds=15),
        claim: bool = True,
        checkpoint: Callable[[str], None] = lambda _name: None,
    ) -> None:
        self._world = world
        self._served = {served.project.id: served for served in projects}
        self._dispatcher = dispatcher
        self._on_death = on_death
        self._ttl = ttl
        self._claims_others = claim
        self.checkpoint = checkpoint
        self._mailbox: Mailbox[Note] = Mailbox()
        self._held: dict[RunId, Held] = {}
        self._attempts = Attempts(world.executors, self._mailbox.put)
        self._recovery = Recovery(self._served)
        self._planner = Planner(self._served, world.cron)
        self._teller = Teller(
            store=world.store, channels=world.channels, signals=world.signals, clock=world.clock
        )
        self._pause: float | None = None
        self._draining = False
        self._idle = threading.Condition()
        self._stopped = threading.Event()
        self._last_turn = world.clock.monotonic()
        self._due_since: float | None = None
        with world.store.write() as unit:
            self.me: EngineRef = unit.engines.enlist(engine_id, ttl, host=host, pid=pid)
        self._lease = LeaseKeeper(
            self.me,
            store=world.store,
            clock=world.clock,
            ttl=ttl,
            exclusive=world.exclusive,
            beat=self._attempts.beat,
            sweep=lambda: self._mailbox.put(Sweep()),
            overdue=self._overdue,
            lost=self._die,
        )
        self._threads: list[threading.Thread] = []
        self._unlisten: Callable[[], None] = lambda: None

    # Called from any thread.

    def start(self) -> None:
        """Begin to take turns, in threads of the engine's own."""
        self._unlisten = self._world.signals.listen(lambda topic: self._mailbox.put(Nudge(topic)))
        if self._claims_others:
            self._mailbox.put(Nudge(SCHEDULES))
            self._mailbox.put(Nudge(RUNS))
        for name, target in (
            ("weft-engine", self._serve),
            ("weft-lease", self._lease.run),
            ("weft-teller", self._teller.run),
        ):
            thread = threading.Thread(target=self._guarded(name, target), name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def own(self, run_id: RunId) -> None:
        """Take charge of a run that was made with this engine as its owner."""
        self._mailbox.put(Own(run_id))

    def wait_until_idle(self, seconds: float | None = None) -> bool:
        """Wait until the engine owns no run; False if it still does after `seconds`."""
        with self._idle:
            return self._idle.wait_for(lambda: not self._held, seconds)

    def stop(self, *, grace: float = 10.0) -> None:
        """Begin nothing new, give what runs `grace` seconds, hand the rest back."""
        self._unlisten()
        self._mailbox.put(Drain())
        with self._idle:
            self._idle.wait_for(lambda: self._draining and not len(self._attempts), grace)
        self._attempts.close()
        with self._idle:
            self._idle.wait_for(lambda: not len(self._attempts), grace + 5)
        self._stopped.set()
        self._mailbox.put(Drain())
        self._lease.stop()
        self._join("weft-engine")
        self._teller.stop()
        self._join("weft-teller")
        self._give_back()

    def health(self) -> Health:
        """Return how the engine is getting on."""
        return Health(
            since_last_turn=self._world.clock.monotonic() - self._last_turn,
            work_overdue=self._overdue(),
            lease_age=self._lease.age,
            runs_held=len(self._held),
            attempts_in_flight=len(self._attempts),
            triggers_set_aside={int(id_): why for id_, why in self._planner.set_aside.items()},
        )

    # The loop.

    def _serve(self) -> None:
        while not self._stopped.is_set():
            self._mailbox.wait(self._patience())
            self._due_since = self._world.clock.monotonic()
            notes = self._mailbox.peek()
            try:
                self._turn(notes)
            except Unavailable as error:
                self._pause = min(_LONGEST_PAUSE, 2 * (self._pause or _FIRST_PAUSE))
                log.warning("the database does not answer; nothing is lost: %s", error)
                self._stopped.wait(self._pause)
                # The notes are still there: wake at once.
                self._mailbox.again()
            else:
                self._pause = None
                self._mailbox.done(len(notes))
            self._due_since = None
            self._last_turn = self._world.clock.monotonic()

    def _turn(self, notes: Sequence[Note]) -> None:
        self._draining = self._draining or any(isinstance(note, Drain) for note in notes)
        now = self._world.clock.now()
        if not self._has_work(notes, now):
            self._tell_idle()
            return
        with self._world.store.write() as unit:
            self.checkpoint("turn.begun")
            drafts = {id_: Draft(held, str(self.me.id), now) for id_, held in self._held.items()}
            self._hear(unit, notes, drafts, now)
            self._decide(unit, drafts)
            changed = [draft for draft in drafts.values() if draft.changed]
            self.checkpoint("turn.decided")
            lost = unit.runs.save([draft.save() for draft in changed]) if changed else frozenset()
            self.checkpoint("turn.saved")
        self.checkpoint("turn.committed")
        self._attempts.landed(note for note in notes if isinstance(note, Report))
        self._settle(drafts, lost)
        self._tell(changed)
        self._tell_idle()

    def _has_work(self, notes: Sequence[Note], now: datetime) -> bool:
        return any(_matters(note) for note in notes) or any(at <= now for at in self._deadlines())

    def _hear(
        self, unit: Unit, notes: Sequence[Note], drafts: dict[RunId, Draft], now: datetime
    ) -> None:
        """Take in all that happened: new runs, due schedules, requests, reports, time."""
        news = _news(notes)
        if self._claims_others and not self._draining:
            self._find_runs(unit, news, drafts, now)
        for note in notes:
            if isinstance(note, Own):
                self._hold_mine(unit, note.run_id, drafts, now)
        if drafts and RUNS in news:
            claims = [draft.held.claim for draft in drafts.values()]
            for run_id, by in unit.runs.cancels(claims).items():
                drafts[run_id].apply(CancelAsked(by))
        for note in notes:
            if isinstance(note, Report) and note.run_id in drafts:
                drafts[note.run_id].report(note)
        for draft in drafts.values():
            due = draft.run.wake_at is not None and draft.run.wake_at <= now
            if due and self._may_begin:
                draft.apply(Woke())

    @property
    def _may_begin(self) -> bool:
        return not self._draining and not self._lease.in_doubt

    def _find_runs(
        self, unit: Unit, news: Collection[str], drafts: dict[RunId, Draft], now: datetime
    ) -> None:
        """Claim what is free, make what is due."""
        if RUNS in news:
            for claimed in unit.runs.claim(self.me, list(self._served), CLAIM_AT_ONCE):
                self._hold(unit, claimed.claim, claimed.stored, drafts, now)
        if SCHEDULES in news:
            self._planner.reload(unit, now)
            for draft in drafts.values():
                if draft.run.status is RunStatus.INITIAL:
                    self._recovery.refresh(unit, draft.held)
        for run_id in self._planner.plan(unit, self.me, now):
            self.checkpoint("planned")
            self._hold_mine(unit, run_id, drafts, now)

    def _hold_mine(
        self, unit: Unit, run_id: RunId, drafts: dict[RunId, Draft], now: datetime
    ) -> None:
        stored = unit.runs.get(run_id)
        self._hold(unit, Claim(run_id, stored.run.fence), stored, drafts, now)

    def _hold(
        self,
        unit: Unit,
        claim: Claim,
        stored: RunWithBlocks,
        drafts: dict[RunId, Draft],
        now: datetime,
    ) -> None:
        held = self._recovery.take_up(unit, claim, stored)
        draft = drafts[claim.run_id] = Draft(held, str(self.me.id), now)
        for block, attempt in left_behind(held.run):
            if not self._adopt(draft, block, attempt):
                draft.apply(orphaned(block, attempt))

    def _adopt(self, draft: Draft, block: BlockUuid, attempt: int) -> bool:
        """Whether an executor still holds an attempt of an earlier life."""
        _, job = self._dispatcher.envelope(draft, Dispatch(block, attempt), draft.held.outputs)
        return self._attempts.adopt(job, executor_of(draft.held, block))

    def _decide(self, unit: Unit, drafts: Mapping[RunId, Draft]) -> None:
        if self._may_begin:
            self._dispatcher.begin(drafts.values(), unit.limits)
            self._dispatcher.admit(drafts.values(), unit.limits)
        for draft in drafts.values():
            self._dispatcher.write(draft)

    # After the commit.

    def _settle(self, drafts: Mapping[RunId, Draft], lost: Collection[RunId]) -> None:
        """Remember what was committed, forget what was lost, then act."""
        for run_id, draft in drafts.items():
            if run_id in lost:
                log.warning("a run was taken over by another engine", extra={"run": run_id})
                self._held.pop(run_id, None)
                self._attempts.forget(run_id)
                continue
            draft.held.keep(draft.run, draft.outcomes)
            self._held[run_id] = draft.held
            for effect in draft.effects:
                self._carry_out(draft, effect)
            if draft.held.over:
                del self._held[run_id]
                self._planner.run_ended(draft.held.record.schedule_id, draft.now)

    def _carry_out(self, draft: Draft, effect: Effect) -> None:
        match effect:
            case Dispatch(block, attempt):
                if not self._draining:
                    self.checkpoint("act.dispatch")
                    job = draft.jobs[block, attempt]
                    self._attempts.submit(job, executor_of(draft.held, block))
                    self.checkpoint("act.dispatched")
            case Stop(block, attempt):
                self._attempts.stop(draft.held.id, block, attempt)
            case Announce():
                pass  # a row of the outbox; the teller tells it
            case _:
                assert_never(effect)

    def _tell(self, changed: Sequence[Draft]) -> None:
        if changed:
            ended = any(draft.held.over for draft in changed)
            self._teller.ring([MOVED], outbox=ended)

    def _tell_idle(self) -> None:
        with self._idle:
            self._idle.notify_all()

    # Time.

    def _deadlines(self) -> Iterable[datetime]:
        if self._draining:
            return
        for held in self._held.values():
            if held.run.wake_at is not None:
                yield held.run.wake_at
        if self._planner.look_at is not None:
            yield self._planner.look_at

    def _patience(self) -> float | None:
        soonest = min(self._deadlines(), default=None)
        if soonest is None:
            return None
        return max(0.0, (soonest - self._world.clock.now()).total_seconds())

    def _overdue(self) -> float:
        since = self._due_since
        return 0.0 if since is None else self._world.clock.monotonic() - since

    def _guarded(self, name: str, target: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            try:
                target()
            except BaseException as error:
                log.exception("%s died", name)
                self._die(f"{name}: {error!r}")
                raise

        return run

    def _die(self, reason: str) -> None:
        self._stopped.set()
        self._mailbox.put(Drain())
        self._on_death(reason)

    def _join(self, name: str) -> None:
        for thread in self._threads:
            if thread.name == name and thread is not threading.current_thread():
                thread.join()

    def _give_back(self) -> None:
        """Free what is still owned, so that nobody waits for the lease to end."""
        try:
            with self._world.store.write() as unit:
                unit.runs.release([held.claim for held in self._held.values()])
                unit.engines.retire(self.me)
        except Unavailable as error:
            log.warning("runs not given back; their lease will end: %s", error)
        self._held.clear()


def _news(notes: Sequence[Note]) -> frozenset[str]:
    """The topics to look into; a sweep looks into all of them."""
    if any(isinstance(note, Sweep) for note in notes):
        return frozenset({RUNS, SCHEDULES})
    return frozenset(note.topic for note in notes if isinstance(note, Nudge))


def _matters(note: Note) -> bool:
    match note:
        case Nudge(topic):
            return topic in {RUNS, SCHEDULES}
        case Drain():
            return False
        case Report() | Own() | Sweep():
            return True
        case _:
            assert_never(note)
