"""The engine's end of one zygote: a thread that starts it, listens, and proves its end."""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from weft.core.errors import Invalid
from weft.core.states import Cause
from weft.executors.process.strays import kill_strays
from weft.wire.envelope import PROTOCOL
from weft.wire.frames import Frames, encode
from weft.wire.messages import Beat, Goodbye, Hello, Message, Ready, Welcome

_log = logging.getLogger(__name__)
_CHUNK = 1 << 18
_EXIT = 10.0
"""Seconds for a zygote to go after its socket closed, and for its children to vanish."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to start a zygote. `silence` in seconds."""

    python: str
    silence: float
    preload: Sequence[str]
    max_children: int
    crash_at: str | None = None


@dataclass(frozen=True, slots=True)
class End:
    """Why a zygote is no more; its children are proven dead."""

    reason: str
    cause: Cause


class Zygote:
    """One zygote process. Messages may be sent at once; they wait until it can read.

    `on_message` and `on_end` are called from the zygote's own thread, which lives as
    long as the process: the kernel kills the zygote when that thread dies. `pids` names
    the children to be killed should the zygote die without them, `marks` what all that
    they started bears.
    """

    def __init__(
        self,
        recipe: Recipe,
        *,
        on_message: Callable[[Zygote, Message], None],
        on_end: Callable[[Zygote, End], None],
        pids: Callable[[Zygote], Iterable[int]],
        marks: Callable[[Zygote], Collection[str]],
    ) -> None:
        self._recipe = recipe
        self._on_message = on_message
        self._on_end = on_end
        self._pids = pids
        self._marks = marks
        self._lock = threading.Lock()
        self._outbox = bytearray()
        self._shut = False
        self._ours, self._theirs = socket.socketpair()
        self._ours.settimeout(0)
        self._bell, self._ringer = socket.socketpair()
        self._bell.settimeout(0)
        self._ringer.settimeout(0)
        self._process: subprocess.Popen[bytes] | None = None
        self._goodbye: Goodbye | None = None
        self._greeted = False
        self.ready = threading.Event()
        """Set once all is imported, or the zygote is dead."""
        self.gone = False
        """Nobody listens any more: whatever is sent now is lost."""
        self._thread = threading.Thread(target=self._live, name="weft-zygote", daemon=True)
        self.send(
            Welcome(
                silence=recipe.silence,
                preload=tuple(recipe.preload),
                max_children=recipe.max_children,
                beat_at=time.monotonic(),
                crash_at=recipe.crash_at,
            )
        )

    @property
    def pid(self) -> int | None:
        """The process, once it was started."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def send(self, message: Message) -> None:
        """Say something, from any thread, without waiting.

        Raises `Malformed` and `TooLarge`. A zygote that is dead does not answer; its
        end is told to `on_end`.
        """
        frame = encode(message)
        with self._lock:
            if self._shut:
                return
            waiting = bool(self._outbox)
            self._outbox += frame
            if waiting:
                return
            self._flush()
            left = bool(self._outbox)
        if left:
            self._ring()

    def beat(self) -> None:
        """Say that the engine lives."""
        self.send(Beat(time.monotonic()))

    def shut(self) -> None:
        """Close the socket: the zygote ends its children and itself."""
        with self._lock:
            if self._shut:
                return
            self._shut = True
            self._outbox.clear()
            with contextlib.suppress(OSError):
                self._ours.shutdown(socket.SHUT_RDWR)
        self._ring()

    def join(self, timeout: float) -> None:
        """Wait for the thread, after `shut`."""
        if self._thread is not threading.current_thread() and self._thread.ident is not None:
            self._thread.join(timeout)

    def _live(self) -> None:
        proof, children_proof = os.pipe()
        reason = "the zygote could not be watched any more"
        try:
            try:
                self._start(children_proof)
            finally:
                self._theirs.close()
                os.close(children_proof)
            self._listen()
            self.gone = True
            reason = self._bury()
        except OSError as error:
            reason = f"the zygote could not be started: {error}"
            _log.exception("The zygote could not be started")
        finally:
            self.gone = True
            self._prove(proof)
            os.close(proof)
            self._release()
            cause = self._goodbye.cause if self._goodbye is not None else Cause.LOST
            self._on_end(self, End(reason, cause))
            self.ready.set()

    def _start(self, proof: int) -> None:
        socket_fd = self._theirs.fileno()
        self._process = subprocess.Popen(  # noqa: S603  our own module, in the Python we were given
            [
                *(self._recipe.python, "-P", "-m", "weft.worker", "zygote"),
                *(str(socket_fd), str(proof), str(os.getpid())),
            ],
            stdin=subprocess.DEVNULL,
            pass_fds=(socket_fd, proof),
            start_new_session=True,
        )

    def _listen(self) -> None:
        frames = Frames()
        with selectors.DefaultSelector() as selector:
            selector.register(self._ours, selectors.EVENT_READ)
            selector.register(self._bell, selectors.EVENT_READ)
            while not self._shut:
                with self._lock:
                    wanted = selectors.EVENT_READ
                    wanted |= selectors.EVENT_WRITE if self._outbox else 0
                selector.modify(self._ours, wanted)
                for key, mask in selector.select():
                    if key.fileobj is self._bell:
                        self._hush()
                        continue
                    if mask & selectors.EVENT_WRITE:
                        with self._lock:
                            self._flush()
                    if mask & selectors.EVENT_READ and not self._read(frames):
                        return

    def _read(self, frames: Frames) -> bool:
        """Take in what has arrived; return whether more can come."""
        try:
            chunk = self._ours.recv(_CHUNK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        try:
            for message in frames.feed(chunk):
                if not self._hear(message):
                    return False
        except Invalid as error:
            self._goodbye = Goodbye(f"the zygote cannot be understood: {error}")
            return False
        return bool(chunk)

    def _hear(self, message: Message) -> bool:
        match message:
            case Hello(protocol=protocol):
                if protocol != PROTOCOL:
                    self._goodbye = Goodbye(
                        f"the zygote speaks protocol {protocol} and the engine {PROTOCOL}: "
                        "both must come from the same version of weft"
                    )
                    return False
                self._greeted = True
            case Goodbye():
                self._goodbye = message
                return False
            case Ready(seconds, notes):
                _log.info("The zygote is ready after %.2f s", seconds)
                for note in notes:
                    _log.warning("Preloading: %s", note)
                self.ready.set()
            case _ if not self._greeted:
                self._goodbye = Goodbye("the zygote did not say hello")
                return False
            case _:
                self._on_message(self, message)
        return True

    def _bury(self) -> str:
        """See the zygote dead, by force if need be; return why it died."""
        process = self._process
        if process is None:
            return "the zygote was never started"
        with contextlib.suppress(OSError):
            self._ours.shutdown(socket.SHUT_RDWR)
        if self._goodbye is not None and self._goodbye.cause is Cause.LOST:
            process.kill()
        try:
            code = process.wait(_EXIT)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        if self._goodbye is not None:
            return self._goodbye.reason
        when = "" if self._greeted else " before it said hello"
        if code < 0:
            return f"the zygote was killed by {_signal_name(-code)}{when}"
        return f"the zygote exited with code {code}{when}"

    def _prove(self, proof: int) -> None:
        """Wait until no child is left: each held the other end of the pipe `proof`."""
        deadline = time.monotonic() + _EXIT
        with contextlib.ExitStack() as watched:
            waiting = {proof}
            for pid in self._pids(self):
                # The kernel kills the children of a dead zygote, but not what they started.
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, signal.SIGKILL)
                # The pipe closes a moment before a process is over, for those we know of.
                with contextlib.suppress(OSError, AttributeError):
                    watch = os.pidfd_open(pid)
                    watched.callback(os.close, watch)
                    waiting.add(watch)
            while waiting and (patience := deadline - time.monotonic()) > 0:
                with selectors.DefaultSelector() as selector:
                    for fd in waiting:
                        selector.register(fd, selectors.EVENT_READ)
                    waiting -= {key.fd for key, _ in selector.select(patience)}
            if marks := self._marks(self):
                kill_strays(marks)
            if waiting:
                _log.error("Processes of a dead zygote are still there after %g s", _EXIT)

    def _release(self) -> None:
        with self._lock:
            self._shut = True
            self._outbox.clear()
            for end in (self._ours, self._bell, self._ringer):
                end.close()

    def _flush(self) -> None:
        while self._outbox:
            try:
                del self._outbox[: self._ours.send(self._outbox)]
            except BlockingIOError:
                return
            except OSError:
                self._outbox.clear()

    def _ring(self) -> None:
        with contextlib.suppress(OSError):
            self._ringer.send(b"!")

    def _hush(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._bell.recv(4096):
                pass


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
