"""The engine: one thread, one mailbox, no polling.

A turn: wait for a note or the earliest deadline; in one transaction take up free
runs, plan what is due, decide every report and admit what is ready; commit; only
then act. Whatever the database does in between, a report stays in the mailbox until
a commit has it.

When the database breaks off, nobody knows whether it had committed: the engine then
trusts nothing that it remembers and reads its runs anew.

Killing an engine at any point costs nothing but its lease: before the commit
nothing happened, after it the next owner finds attempts that nobody holds and hands
them out again. `World.checkpoint` is told of these points, for the tests that crash
at each of them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import assert_never

from weft.core.effects import Announce, Dispatch, Effect, Stop
from weft.core.errors import Unavailable
from weft.core.ids import EngineId, RunId
from weft.engine.attempts import Attempts, executor_of
from weft.engine.dispatcher import Dispatcher
from weft.engine.draft import Draft
from weft.engine.hearing import Hearing, matters
from weft.engine.held import Held, ServedProject
from weft.engine.leases import LeaseKeeper
from weft.engine.mailbox import Mailbox
from weft.engine.notes import Distrust, Drain, Note, Nudge, Own, Sweep
from weft.engine.planner import Planner
from weft.engine.teller import Teller
from weft.engine.world import Health, World
from weft.ports.executor import Report
from weft.ports.runs import EngineRef
from weft.ports.signals import MOVED, RUNS, SCHEDULES

log = logging.getLogger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0


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
        data_dir: str,
        ttl: timedelta = timedelta(seconds=15),
        claim: bool = True,
    ) -> None:
        served = {one.project.id: one for one in projects}
        self._world = world
        self._checkpoint = world.checkpoint
        self._dispatcher = dispatcher
        self._on_death = on_death
        self._claims_others = claim
        self._mailbox: Mailbox[Note] = Mailbox()
        self._held: dict[RunId, Held] = {}
        self._attempts = Attempts(world.executors, self._mailbox.put)
        self._planner = Planner(served, world.cron)
        self._teller = Teller(world)
        self._pause: float | None = None
        self._draining = False
        self._idle = threading.Condition()
        self._stopped = threading.Event()
        self._last_turn = world.clock.monotonic()
        self._due_since: float | None = None
        with world.store.write() as unit:
            self.me: EngineRef = unit.engines.enlist(
                engine_id, ttl, host=host, pid=pid, data_dir=data_dir
            )
        self._hearing = Hearing(
            self.me,
            served=served,
            planner=self._planner,
            attempts=self._attempts,
            dispatcher=dispatcher,
            checkpoint=world.checkpoint,
            claim=claim,
        )
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
                self._mailbox.put(Distrust())
            else:
                self._pause = None
                self._mailbox.done(len(notes))
            self._due_since = None
            self._last_turn = self._world.clock.monotonic()

    def _turn(self, notes: Sequence[Note]) -> None:
        self._draining = self._draining or any(isinstance(note, Drain) for note in notes)
        now = self._world.clock.now()
        if any(map(matters, notes)) or any(at <= now for at in self._deadlines()):
            self._take_turn(notes, now)
        with self._idle:
            self._idle.notify_all()

    def _take_turn(self, notes: Sequence[Note], now: datetime) -> None:
        may_begin = not self._draining and not self._lease.in_doubt
        with self._world.store.write() as unit:
            self._checkpoint("turn.begun")
            drafts = self._hearing.hear(unit, notes, self._held, now=now, may_begin=may_begin)
            if may_begin:
                self._dispatcher.begin(drafts.values(), unit.limits)
                self._dispatcher.admit(drafts.values(), unit.limits)
            for draft in drafts.values():
                self._dispatcher.write(draft)
            changed = [draft for draft in drafts.values() if draft.changed]
            self._checkpoint("turn.decided")
            lost = unit.runs.save([draft.save() for draft in changed]) if changed else frozenset()
            self._checkpoint("turn.saved")
        self._checkpoint("turn.committed")
        self._attempts.landed(note for note in notes if isinstance(note, Report))
        self._settle(drafts, lost)
        if changed:
            self._teller.ring([MOVED], outbox=any(draft.held.over for draft in changed))

    # After the commit.

    def _settle(self, drafts: Mapping[RunId, Draft], lost: frozenset[RunId]) -> None:
        """Remember what was committed, forget what was lost, then act."""
        kept = {run_id: draft for run_id, draft in drafts.items() if run_id not in lost}
        for run_id in (self._held.keys() | lost) - kept.keys():
            log.warning("run %d was taken over by another engine", run_id)
            self._attempts.forget(run_id)
        for draft in kept.values():
            draft.held.keep(draft.run, draft.outcomes)
        self._held = {id_: draft.held for id_, draft in kept.items() if not draft.held.over}
        for draft in kept.values():
            for effect in draft.effects:
                self._carry_out(draft, effect)
            if draft.held.over:
                self._planner.run_ended(draft.held.record.schedule_id, draft.now)

    def _carry_out(self, draft: Draft, effect: Effect) -> None:
        match effect:
            case Dispatch(block, attempt):
                if not self._draining:
                    self._checkpoint("act.dispatch")
                    job = draft.jobs[block, attempt]
                    self._attempts.submit(job, executor_of(draft.held, block))
                    self._checkpoint("act.dispatched")
            case Stop(block, attempt):
                self._attempts.stop(draft.held.id, block, attempt)
            case Announce():
                pass  # a row of the outbox; the teller tells it
            case _:
                assert_never(effect)

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
