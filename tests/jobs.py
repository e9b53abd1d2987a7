"""Attempts for tests of executors: jobs made of a few lines, and an ear for their reports."""

from __future__ import annotations

import itertools
import os
import queue
import select
import textwrap
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from weft.core.errors import NotFound
from weft.core.events import Started
from weft.core.ids import RunId
from weft.core.json import Json, JsonMap
from weft.ports.executor import Job, Report
from weft.wire.envelope import Envelope

PATIENCE = 20.0
"""Seconds after which something that should have happened counts as missing."""

_ASK = """
import gc, os
from weft.ports.blocks import Task
ask = next(o for o in gc.get_objects() if type(o) is Task and o.envelope.code_path == __file__).ask
"""
"""How a block of these tests reaches the engine."""

_numbers = itertools.count(1)


class Ear:
    """Takes the reports of one attempt and wakes whoever waits for them."""

    def __init__(self) -> None:
        self.heard: list[Report] = []
        self._changed = threading.Condition()

    def __call__(self, report: Report) -> None:
        with self._changed:
            self.heard.append(report)
            self._changed.notify_all()

    @property
    def ends(self) -> list[Report]:
        return [report for report in self.heard if not isinstance(report.event, Started)]

    def end(self, timeout: float = PATIENCE) -> Report:
        with self._changed:
            assert self._changed.wait_for(lambda: self.ends, timeout), "it never ended"
            return self.ends[0]


class Desk:
    """Answers questions: `echo` returns its arguments, `missing` is refused, the rest breaks.

    `tell` hands its arguments to the test, which takes them with `told`.
    """

    def __init__(self) -> None:
        self._told: queue.Queue[Mapping[str, Any]] = queue.Queue()

    def __call__(self, run_id: RunId, name: str, arguments: JsonMap) -> Json:
        match name:
            case "echo":
                return {"run_id": run_id, **arguments}
            case "missing":
                raise NotFound("no such thing", hint="Look elsewhere.")
            case "tell":
                self._told.put(arguments)
                return None
            case _:
                raise ZeroDivisionError("a fault of the engine's own")

    def told(self, timeout: float = PATIENCE) -> Mapping[str, Any]:
        return self._told.get(timeout=timeout)


def make_job(folder: Path, body: str, **fields: Any) -> Job:
    """Make an attempt of a block whose function has this body; it may use `ask` and `os`.

    `type="sensor"` and the like give the block another type than `custom`.
    """
    number = next(_numbers)
    block_type = fields.pop("type", "custom")
    head = f"{_ASK}\n@{block_type}\ndef block(*args, **kwargs):\n"
    envelope = Envelope(
        token=f"token-{number}-{os.urandom(8).hex()}",
        project_path=fields.pop("project_path", str(folder)),
        pipeline_uuid="pipeline",
        run_id=7,
        block_run_id=number,
        block_uuid="block",
        block_type=block_type,
        language="python",
        attempt=1,
        try_number=1,
        code=head + textwrap.indent(textwrap.dedent(body), "    "),
        code_path=str(folder / f"block_{number}.py"),
        output_dir=str(folder / f"out-{number}"),
        log_path=fields.pop("log_path", str(folder / f"log-{number}.jsonl")),
        tags={"block_uuid": "block", "block_run_id": number},
        **{"fsync": False, "grace": 1.0, **fields},
    )
    return Job(f"weft-test-{number}-1", RunId(7), envelope)


def wait_gone(pid: int, timeout: float = PATIENCE) -> None:
    """Wait until a process is no more; it need not be our child."""
    try:
        watch = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        readable, _, _ = select.select([watch], [], [], timeout)
    finally:
        os.close(watch)
    assert readable, f"process {pid} is still there after {timeout} s"
