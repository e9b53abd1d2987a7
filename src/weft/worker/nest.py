"""Where children come from: what all of them get of their zygote, and the fork itself."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import sys
import time
from collections.abc import Mapping

from weft.core.checkpoints import Checkpoint
from weft.wire.messages import Submit
from weft.worker import kernel
from weft.worker.attempt import Attempt
from weft.worker.capture import Capture
from weft.worker.child import Birth, live

_NO_END = 2**31 - 1
_FDS = "/proc/self/fd" if sys.platform == "linux" else "/dev/fd"


class Nest:
    """Made once, after preloading and before the zygote opens descriptors of its own.

    `link_fd` is the zygote's alone; `proof_fd` is what every child keeps open to prove
    that it lives; `environment` holds the variables to restore.
    """

    def __init__(
        self, link_fd: int, *, proof_fd: int, environment: Mapping[str, str | None]
    ) -> None:
        self._pid = os.getpid()
        self._environment = environment
        self._born_with = kernel.own_resident()
        # Libraries may keep descriptors of their own, which children need too.
        self._keep = _open_descriptors() - {link_fd} | {proof_fd}
        self._open_files = _open_many_files()

    def hatch(self, submit: Submit, checkpoint: Checkpoint) -> Attempt:
        """Fork a child for an attempt, which passes its points to `checkpoint`.

        Raises `OSError` when there is no room for one.
        """
        fds: list[int] = []
        try:
            fds += [end.detach() for end in socket.socketpair()]
            fds += os.pipe()
            fds += os.pipe()
            pid = os.fork()
        except OSError:
            for fd in fds:
                os.close(fd)
            raise
        channel, childs_channel, out, childs_out, err, childs_err = fds
        if pid == 0:
            try:
                fds_of_child = (childs_channel, childs_out, childs_err)
                live(self._birth(submit, fds_of_child, checkpoint))
            finally:
                os._exit(1)
        for fd in (childs_channel, childs_out, childs_err):
            os.close(fd)
        for fd in (channel, out, err):
            os.set_blocking(fd, False)
        envelope = submit.envelope
        return Attempt(
            id=submit.id,
            envelope=envelope,
            pid=pid,
            channel=channel,
            stdout=out,
            stderr=err,
            capture=Capture(envelope.log_path, envelope.tags),
            born_with=self._born_with,
            deadline=None if envelope.timeout is None else time.monotonic() + envelope.timeout,
        )

    def _birth(self, submit: Submit, fds: tuple[int, int, int], checkpoint: Checkpoint) -> Birth:
        channel, stdout, stderr = fds
        mine = self._keep | {0, 1, 2, *fds}
        return Birth(
            job_id=submit.id,
            envelope=submit.envelope,
            zygote=self._pid,
            channel=channel,
            stdout=stdout,
            stderr=stderr,
            close=_gaps(mine),
            environment=self._environment,
            open_files=self._open_files,
            checkpoint=checkpoint,
        )


def _gaps(kept: set[int]) -> list[tuple[int, int]]:
    """Return the ranges of descriptors between those that are kept, the last one open-ended."""
    edges = sorted(kept)
    ends = [*edges[1:], _NO_END]
    return [(low + 1, high) for low, high in zip(edges, ends, strict=True) if low + 1 < high]


def _open_descriptors() -> set[int]:
    found = set()
    for name in os.listdir(_FDS):  # noqa: PTH208  once per fork: no time for pathlib
        with contextlib.suppress(OSError):
            # The listing's own descriptor is in it, and is closed by now.
            os.fstat(int(name))
            found.add(int(name))
    return found


def _open_many_files() -> tuple[int, int]:
    """Allow this process all descriptors it can have; return the limits as they were."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return soft, hard
