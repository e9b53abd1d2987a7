"""One child, as the zygote sees it: its descriptors, its orders, its remains."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from weft.core.errors import Invalid
from weft.core.json import JsonMap
from weft.wire.envelope import Envelope
from weft.wire.frames import Frames, encode
from weft.wire.messages import Answered, Asked, Died, Reported
from weft.worker import kernel
from weft.worker.capture import Capture
from weft.worker.verdict import Order, Remains, verdict

_CHUNK = 1 << 16
_BITES = 64
_PROOF = 5.0
"""Seconds that a killed group may take to vanish before we go on without it."""


@dataclass(slots=True)
class Attempt:
    """A child from its fork to the proof of its end. Deadlines are monotonic seconds."""

    id: str
    envelope: Envelope
    pid: int
    channel: int
    stdout: int
    stderr: int
    capture: Capture
    born_with: int
    """Bytes in memory at the fork."""
    deadline: float | None = None
    order: Order | None = None
    report: Reported | None = None
    told: bool = False
    """The engine has heard the end."""
    remains: Remains | None = None
    metrics: JsonMap = field(default_factory=dict)
    _killed: bool = False
    _frames: Frames = field(default_factory=Frames)
    _outbox: bytearray = field(default_factory=bytearray)

    @property
    def dead(self) -> bool:
        """The child was waited for; its group may still have members."""
        return self.remains is not None

    @property
    def congested(self) -> bool:
        """An answer waits for the child to read."""
        return bool(self._outbox)

    def end(self, order: Order) -> None:
        """Ask the group to end; it is forced after the grace. Does nothing a second time."""
        if self.order is not None or self.report is not None or self.dead:
            return
        self.order = order
        if order is Order.SILENCE:
            self.kill()
            return
        kernel.signal_group(self.pid, signal.SIGTERM)
        # A stopped process would take note of nothing but SIGKILL.
        kernel.signal_group(self.pid, signal.SIGCONT)
        self.deadline = time.monotonic() + self.envelope.grace

    def kill(self) -> None:
        """Force the group to end."""
        if self.dead:
            return
        self._killed = True
        self.deadline = None
        kernel.signal_group(self.pid, signal.SIGKILL)

    def expire(self) -> None:
        """Do what is due at the deadline."""
        if self.dead:
            self.deadline = None
        elif self.order is None and self.report is None:
            self.end(Order.TIMEOUT)
        else:
            self.kill()

    def bury(self, oom_grew: Callable[[], bool]) -> None:
        """Wait for the child, known to be dead, after killing what is left of its group.

        `oom_grew` tells whether the kernel killed for want of memory since it was last
        asked; it is asked only about a SIGKILL that was not ours.
        """
        # Its number cannot be given to anybody else until it is waited for.
        kernel.signal_group(self.pid, signal.SIGKILL)
        _, status, usage = os.wait4(self.pid, 0)
        peak = usage.ru_maxrss * 1024
        self.metrics = {
            "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 6),
            "peak_memory_bytes": peak,
        }
        self.remains = Remains(
            status,
            order=self.order,
            timeout=self.envelope.timeout,
            memory_limit=self.envelope.memory_limit,
            grown=peak - self.born_with,
            last_words=self.capture.tail,
            code_path=self.envelope.code_path,
            oom_killed=not self._killed and _by_sigkill(status) and oom_grew(),
        )
        self.deadline = time.monotonic() + _PROOF

    def vanished(self) -> bool:
        """Whether nothing of the group is left, or waiting for that makes no sense any more."""
        return self.dead and (self.deadline is None or not kernel.group_lives(self.pid))

    def end_told(self) -> Reported | Died:
        """Return the end of a dead child, in its own words if it found any.

        Words of ours become the last line of its log, which is still open.
        """
        assert self.remains is not None  # noqa: S101  only the dead are asked
        if self.report is not None and self.order is None:
            return self.report
        judged = verdict(self.remains)
        self.capture.finish()
        self.capture.note(
            f"The block's process ended: {judged.reason}.",
            level="ERROR" if judged.how == "failed" else "WARNING",
        )
        return Died(
            self.id,
            self.envelope.token,
            time.time(),
            how=judged.how,
            cause=judged.cause,
            reason=judged.reason,
            metrics=self.metrics,
        )

    def listen(self) -> Iterator[Asked | Reported]:
        """Yield what the child says now; what does not bear its token is dropped.

        Raises `EOFError` when the channel is of no more use.
        """
        while True:
            try:
                chunk = os.read(self.channel, _CHUNK)
            except BlockingIOError:
                return
            except OSError as error:
                raise EOFError from error
            if not chunk:
                raise EOFError
            try:
                for message in self._frames.feed(chunk):
                    if isinstance(message, Asked | Reported) and self._is_ours(message):
                        yield message
                    else:
                        self.capture.note("A message without the attempt's token was dropped.")
            except Invalid as error:
                self.capture.note(f"The block disturbed its own channel: {error}")
                raise EOFError from error

    def answer(self, message: Answered) -> None:
        """Pass an answer down, the part that does not fit later."""
        if message.token == self.envelope.token:
            self._outbox += encode(message)
            self.flush()

    def flush(self) -> None:
        """Go on writing answers."""
        with contextlib.suppress(BlockingIOError):
            try:
                while self._outbox:
                    del self._outbox[: os.write(self.channel, self._outbox)]
            except ConnectionError:
                self._outbox.clear()

    def read_output(self, stream: str) -> bool:
        """Take one bite of what the child wrote; return whether there may be more."""
        try:
            chunk = os.read(self.stdout if stream == "stdout" else self.stderr, _CHUNK)
        except BlockingIOError:
            return False
        self.capture.feed(stream, chunk)
        return bool(chunk)

    def drain(self) -> None:
        """Take what the child has written so far, but not for ever."""
        for stream in ("stdout", "stderr"):
            for _ in range(_BITES):
                if not self.read_output(stream):
                    break

    def _is_ours(self, message: Asked | Reported) -> bool:
        return message.token == self.envelope.token and message.id == self.id


def _by_sigkill(status: int) -> bool:
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
