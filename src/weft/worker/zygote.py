"""The zygote: imports once, forks one child per attempt, and watches over each.

One thread, one loop, which sleeps until a descriptor or the earliest deadline. It lives
no longer than its engine: it ends its children and itself when the socket closes, when
no beat came for too long, and, by the kernel's hand, when the engine's thread dies.
"""

from __future__ import annotations

import contextlib
import os
import select
import selectors
import signal
import socket
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from typing import Literal

from weft.core.errors import Invalid
from weft.core.states import Cause
from weft.wire.envelope import PROTOCOL
from weft.wire.messages import (
    Answered,
    Asked,
    Died,
    Goodbye,
    Hello,
    Message,
    Ready,
    Reported,
    Retire,
    Started,
    Stop,
    Submit,
    Welcome,
)
from weft.worker import kernel, strays
from weft.worker.attempt import Attempt
from weft.worker.crash import Fates
from weft.worker.link import EngineGone, Link
from weft.worker.nest import Nest
from weft.worker.preload import Preloaded, preload
from weft.worker.verdict import Order

_LAST_WORDS = 1.0


def serve(fd: int, *, proof_fd: int, parent: int) -> int:
    """Be a zygote until the engine at the other end of `fd` is gone; return an exit code.

    `proof_fd` is a pipe that all children keep open: when its other end reads an end of
    file, none of them is left.
    """
    kernel.die_with_parent(parent)
    kernel.adopt_orphans()
    # Ctrl-C and the service manager speak to the engine, which decides what becomes of us.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    warnings.filterwarnings("ignore", message=".*use of fork.*", category=DeprecationWarning)
    os.dup2(2, 1)
    link = Link(fd)
    try:
        link.send(Hello(os.getpid()))
        welcome = link.wait_for_welcome()
        if welcome.protocol != PROTOCOL:
            link.send(Goodbye(_stranger(welcome.protocol)))
            return 1
        link.last_beat = welcome.beat_at
        with _watched(link, welcome.silence):
            preloaded = preload(welcome.preload)
        link.send(Ready(preloaded.seconds, preloaded.notes))
        zygote = Zygote(link, welcome, preloaded, proof_fd=proof_fd)
        # From now on there are children, whom a mere SIGKILL would leave to themselves.
        signal.signal(signal.SIGUSR1, lambda *_: os._exit(zygote.abandon(0)))
        kernel.die_with_parent(parent, signal.SIGUSR1)
        return zygote.run()
    except EngineGone:
        return 0


def _stranger(protocol: int) -> str:
    return (
        f"the zygote speaks protocol {PROTOCOL} and the engine {protocol}: "
        "both must come from the same version of weft"
    )


def _silent(seconds: float) -> Goodbye:
    return Goodbye(f"the engine was silent for {seconds:g} s", Cause.ENGINE)


@contextlib.contextmanager
def _watched(link: Link, silence: float) -> Iterator[None]:
    """End the process, still without children, when the engine is dead or silent.

    A thread watches, because imports keep the main one from its loop; it is gone before
    the first fork.
    """
    bell, ringer = socket.socketpair()

    def watch() -> None:
        while True:
            patience = max(0.0, link.last_beat + silence - time.monotonic())
            readable, _, _ = select.select([link.fileno(), bell.fileno()], [], [], patience)
            if bell.fileno() in readable:
                return
            try:
                link.read()
            except (EngineGone, Invalid):
                os._exit(0)
            if time.monotonic() > link.last_beat + silence:
                link.send(_silent(silence))
                os._exit(0)

    watcher = threading.Thread(target=watch, name="weft-watch")
    watcher.start()
    try:
        yield
    finally:
        ringer.close()
        watcher.join()
        bell.close()


class Zygote:
    """The loop, and the children it watches."""

    def __init__(
        self, link: Link, welcome: Welcome, preloaded: Preloaded, *, proof_fd: int
    ) -> None:
        self._link = link
        self._welcome = welcome
        self._nest = Nest(link.fileno(), proof_fd=proof_fd, environment=preloaded.environment)
        self._oom_kills = kernel.oom_kills()
        self._fates = Fates(welcome.crash_at)
        self._attempts: dict[str, Attempt] = {}
        self._waiting: deque[Submit] = deque()
        self._leaving: Goodbye | None = None
        self._silent = False
        self._rung = False
        self._selector = selectors.DefaultSelector()
        self._bell, ringer = socket.socketpair()
        self._ringer = ringer
        self._bell.settimeout(0)
        ringer.settimeout(0)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(ringer.fileno(), warn_on_full_buffer=False)
        self._selector.register(self._bell, selectors.EVENT_READ, self._on_bell)
        self._selector.register(link, selectors.EVENT_READ, self._on_link)

    def run(self) -> int:
        """Serve until there is nobody to serve; return an exit code."""
        try:
            self._hear()
            while not self._finished():
                self._turn()
        except EngineGone:
            return self.abandon(0)
        except Invalid as error:
            os.write(2, f"weft zygote: the engine cannot be understood: {error}\n".encode())
            return self.abandon(1)
        assert self._leaving is not None  # noqa: S101  finished means leaving
        self._link.send(self._leaving)
        self._link.drain(_LAST_WORDS)
        return 0

    def _turn(self) -> None:
        if self._waiting and len(self._attempts) < self._welcome.max_children:
            self._fork(self._waiting.popleft())
        for key, mask in self._selector.select(self._patience()):
            key.data(mask)
        # Only now may descriptors be closed: none of this turn's events speaks of them.
        if self._rung:
            self._rung = False
            self._reap()
        self._expire()

    def _patience(self) -> float | None:
        if self._waiting and len(self._attempts) < self._welcome.max_children:
            return 0
        deadlines = [a.deadline for a in self._attempts.values() if a.deadline is not None]
        if not self._silent:
            deadlines.append(self._link.last_beat + self._welcome.silence)
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def _finished(self) -> bool:
        return self._leaving is not None and not self._attempts and not self._waiting

    def _expire(self) -> None:
        now = time.monotonic()
        if not self._silent and now >= self._link.last_beat + self._welcome.silence:
            # A beat may lie unread because we were the ones that did not run.
            self._hear()
            if now >= self._link.last_beat + self._welcome.silence:
                self._leave_silent()
        for attempt in list(self._attempts.values()):
            if attempt.deadline is not None and now >= attempt.deadline:
                self._listen(attempt)
                attempt.expire()
                self._settle(attempt)

    def _leave_silent(self) -> None:
        self._silent = True
        self._leaving = _silent(self._welcome.silence)
        self._waiting.clear()
        for attempt in self._attempts.values():
            attempt.end(Order.SILENCE)
            attempt.kill()

    def _on_link(self, mask: int) -> None:
        if mask & selectors.EVENT_WRITE:
            self._link.flush()
            self._mind_link()
        if mask & selectors.EVENT_READ:
            self._hear()

    def _hear(self) -> None:
        self._link.read()
        for message in self._link.take():
            self._obey(message)

    def _obey(self, message: Message) -> None:
        match message:
            case Submit():
                if self._leaving is None:
                    self._waiting.append(message)
            case Stop(id=job_id, token=token):
                self._stop(job_id, token)
            case Answered(id=job_id):
                if attempt := self._attempts.get(job_id):
                    attempt.answer(message)
                    self._mind_channel(attempt)
            case Retire():
                self._leaving = Goodbye("retired")
            case _:
                raise Invalid(f"an engine does not say {type(message).__name__}")

    def _stop(self, job_id: str, token: str) -> None:
        for submit in self._waiting:
            if submit.id == job_id and submit.envelope.token == token:
                self._waiting.remove(submit)
                self._tell_unborn(submit, "stopped", Cause.CANCELLED, "stopped before it began")
                return
        attempt = self._attempts.get(job_id)
        if attempt is not None and attempt.envelope.token == token:
            self._listen(attempt)
            attempt.end(Order.STOP)

    def _fork(self, submit: Submit) -> None:
        try:
            attempt = self._nest.hatch(submit, self._fates.of_next_child())
        except OSError as error:
            self._tell_unborn(submit, "lost", Cause.LOST, f"the zygote could not fork: {error}")
            return
        self._fates.checkpoint("zygote.forked")
        self._attempts[submit.id] = attempt
        for fd, react in (
            (attempt.channel, self._on_channel(attempt)),
            (attempt.stdout, self._on_output(attempt, attempt.stdout, "stdout")),
            (attempt.stderr, self._on_output(attempt, attempt.stderr, "stderr")),
        ):
            self._selector.register(fd, selectors.EVENT_READ, react)
        self._tell(Started(submit.id, attempt.envelope.token, attempt.pid, time.time()))

    def _on_channel(self, attempt: Attempt) -> Callable[[int], None]:
        def react(mask: int) -> None:
            if mask & selectors.EVENT_WRITE:
                attempt.flush()
                self._mind_channel(attempt)
            if mask & selectors.EVENT_READ:
                self._listen(attempt)

        return react

    def _on_output(self, attempt: Attempt, fd: int, stream: str) -> Callable[[int], None]:
        def react(_: int) -> None:
            if not attempt.read_output(stream):
                self._unwatch(fd)

        return react

    def _listen(self, attempt: Attempt) -> None:
        try:
            for message in attempt.listen():
                match message:
                    case Asked():
                        self._tell(message)
                    case Reported():
                        self._on_report(attempt, message)
        except EOFError:
            self._unwatch(attempt.channel)

    def _on_report(self, attempt: Attempt, report: Reported) -> None:
        if attempt.report is not None or attempt.order is not None:
            return
        self._fates.checkpoint("zygote.heard")
        attempt.report = report
        attempt.deadline = time.monotonic() + attempt.envelope.grace
        if report.completed is not None:
            # Its outputs are complete: who waits for them need not wait for its funeral.
            attempt.drain()
            attempt.capture.finish()
            attempt.told = True
            self._tell(report)

    def _on_bell(self, _: int) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._bell.recv(4096):
                pass
        self._rung = True

    def _reap(self) -> None:
        by_pid = {attempt.pid: attempt for attempt in self._attempts.values()}
        adopted = False
        while True:
            try:
                info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                break
            if info is None:
                break
            attempt = by_pid.get(info.si_pid)
            if attempt is None or attempt.dead:
                os.waitpid(info.si_pid, 0)
                adopted = True
                continue
            self._listen(attempt)
            attempt.drain()
            attempt.bury(self._oom_grew)
        for attempt in list(self._attempts.values()):
            self._settle(attempt)
        if adopted:
            # What the dead one had started is ours now.
            strays.sweep(self._attempts.values())

    def _settle(self, attempt: Attempt) -> None:
        """Let go of an attempt whose end is proven, and tell of it."""
        if not attempt.vanished():
            return
        attempt.drain()
        end = None if attempt.told else attempt.end_told()
        attempt.capture.close()
        for fd in (attempt.channel, attempt.stdout, attempt.stderr):
            self._unwatch(fd)
            os.close(fd)
        del self._attempts[attempt.id]
        strays.sweep(self._attempts.values())
        if end is not None:
            self._tell(end)

    def _oom_grew(self) -> bool:
        before, self._oom_kills = self._oom_kills, kernel.oom_kills()
        return self._oom_kills > before

    def abandon(self, code: int) -> int:
        """End all children because the engine is gone, see them dead, and return `code`."""
        for attempt in list(self._attempts.values()):
            attempt.end(Order.SILENCE)
            attempt.kill()
        with contextlib.suppress(ChildProcessError):
            while True:
                # With each death, the children of the dead become ours.
                strays.kill_children()
                os.wait()
        for attempt in list(self._attempts.values()):
            attempt.drain()
            attempt.capture.close()
        return code

    def _tell(self, message: Message) -> None:
        self._link.send(message)
        self._mind_link()

    def _tell_unborn(
        self, submit: Submit, how: Literal["lost", "stopped"], cause: Cause, reason: str
    ) -> None:
        token = submit.envelope.token
        self._tell(Died(submit.id, token, time.time(), how, cause, reason, {}))

    def _mind_link(self) -> None:
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._link.congested else 0)
        if self._selector.get_key(self._link).events != wanted:
            self._selector.modify(self._link, wanted, self._on_link)

    def _mind_channel(self, attempt: Attempt) -> None:
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if attempt.congested else 0)
        key = self._selector.get_map().get(attempt.channel)
        if key is not None and key.events != wanted:
            self._selector.modify(attempt.channel, wanted, key.data)

    def _unwatch(self, fd: int) -> None:
        with contextlib.suppress(KeyError):
            self._selector.unregister(fd)
