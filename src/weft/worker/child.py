"""The child: one process, one attempt. It never returns into the zygote that forked it."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NoReturn

from weft.core import errors
from weft.core.checkpoints import Checkpoint
from weft.core.json import Json, JsonMap
from weft.wire.ending import raised
from weft.wire.envelope import Envelope
from weft.wire.frames import Frames, encode
from weft.wire.mark import VARIABLE, mark_of
from weft.wire.messages import Answered, Asked, Message, Refusal, Reported
from weft.wire.result import Completed, Result
from weft.worker import kernel, runtime

OOM_SCORE = 500
_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Birth:
    """What a child is given. Descriptors are numbers.

    `close` holds the ranges (first, past the last) of those that belong to others.
    """

    job_id: str
    envelope: Envelope
    zygote: int
    channel: int
    stdout: int
    stderr: int
    close: Iterable[tuple[int, int]]
    environment: Mapping[str, str | None]
    open_files: tuple[int, int]
    checkpoint: Checkpoint


def live(birth: Birth) -> NoReturn:
    """Carry out the attempt in this freshly forked process, report, and exit."""
    code = 70
    try:
        _settle(birth)
        channel = _Channel(birth)
        result = _carry_out(birth.envelope, channel, birth.checkpoint)
        if channel.is_mine():
            _flush()
            birth.checkpoint("output.stored")
            channel.report(result)
            birth.checkpoint("child.reported")
        code = 0
    except BaseException:  # noqa: BLE001  nothing may return into the zygote's loop; the trace goes to the log
        with contextlib.suppress(Exception):
            os.write(2, traceback.format_exc().encode("utf-8", "replace"))
    finally:
        os._exit(code)


def _settle(birth: Birth) -> None:
    """Part from the zygote: own session, own streams, own limits."""
    os.setsid()
    kernel.die_with_parent(birth.zygote)
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGUSR1):
        signal.signal(number, signal.SIG_DFL)
    for low, high in birth.close:
        os.closerange(low, high)
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (birth.stdout, 1), (birth.stderr, 2)):
        os.dup2(source, target)
        os.close(source)
    # A stop may have been ordered before the group existed: it is pending, and comes now.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    kernel.refuse_new_privileges()
    kernel.offer_to_oom_killer(OOM_SCORE)
    resource.setrlimit(resource.RLIMIT_NOFILE, birth.open_files)
    for name, value in birth.environment.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    os.environ[VARIABLE] = mark_of(birth.envelope.token)
    if numpy_random := sys.modules.get("numpy.random"):
        # All children would draw the same numbers; the standard library sees to itself.
        numpy_random.seed()


def _carry_out(envelope: Envelope, channel: _Channel, checkpoint: Checkpoint) -> Result:
    try:
        os.chdir(envelope.project_path)
    except OSError as error:
        return replace(raised(error), final=True)
    if envelope.memory_limit is not None:
        kernel.limit_memory(envelope.memory_limit)
    try:
        return runtime.execute(envelope, ask=channel.ask, checkpoint=checkpoint)
    except BaseException as error:  # noqa: BLE001  whatever a block raises, SystemExit too, is its result
        return raised(error)


def _flush() -> None:
    for stream in (sys.__stdout__, sys.__stderr__, sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            if stream is not None:
                stream.flush()


def _measures() -> JsonMap:
    own = resource.getrusage(resource.RUSAGE_SELF)
    below = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = own.ru_utime + own.ru_stime + below.ru_utime + below.ru_stime
    return {"cpu_seconds": round(cpu, 6), "peak_memory_bytes": own.ru_maxrss * 1024}


class _Channel:
    """The child's end of its socket: questions, and the one report."""

    def __init__(self, birth: Birth) -> None:
        self._id = birth.job_id
        self._token = birth.envelope.token
        self._fd = birth.channel
        self._pid = os.getpid()
        self._frames = Frames()
        self._turn = threading.Lock()
        self._number = 0

    def is_mine(self) -> bool:
        """Whether this is the child itself, not a copy that the block forked."""
        return os.getpid() == self._pid

    def ask(self, name: str, **arguments: Json) -> Json:
        """Put a question to the engine and wait for its answer.

        Raises the `WeftError` with which the engine refuses, `Malformed` when the
        arguments cannot travel, `Conflict` in a process that the block forked.
        """
        if not self.is_mine():
            raise errors.Conflict(
                "only the block's own process may ask the engine",
                hint="Ask before you fork, and hand the answer over.",
            )
        with self._turn:
            self._number += 1
            self._send(Asked(self._id, self._token, self._number, name, arguments))
            while True:
                chunk = os.read(self._fd, _CHUNK)
                if not chunk:
                    raise errors.Unavailable("the engine is gone")
                for message in self._frames.feed(chunk):
                    if isinstance(message, Answered) and message.number == self._number:
                        return _answer(message)

    def report(self, result: Result) -> None:
        """Tell how the block ended."""
        metrics = {**_measures(), **result.metrics}
        try:
            self._send(self._reported(replace(result, metrics=metrics)))
        except errors.Invalid as error:
            untold = replace(raised(error), final=True, metrics=_measures())
            self._send(self._reported(untold))

    def _reported(self, result: Result) -> Reported:
        now = time.time()
        if isinstance(result, Completed):
            return Reported(self._id, self._token, now, completed=result)
        return Reported(self._id, self._token, now, errored=result)

    def _send(self, message: Message) -> None:
        rest = memoryview(encode(message))
        while rest:
            rest = rest[os.write(self._fd, rest) :]


def _answer(message: Answered) -> Json:
    match message.refusal:
        case None:
            return message.value
        case Refusal(code, text, hint):
            raise _CLASSES.get(code, errors.WeftError)(text, hint=hint)


def _family(root: type[errors.WeftError]) -> dict[str, type[errors.WeftError]]:
    found = {root.code: root}
    for child in root.__subclasses__():
        found.update(_family(child))
    return found


_CLASSES = _family(errors.WeftError)
