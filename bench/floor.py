"""The floor: the same blocks, each in a fork of a prepared process, and nothing else.

No database, no scheduler, no log, no isolation: a child reads its upstreams' values,
calls the block, writes the value (Arrow IPC for a frame, JSON for a plain value) and
writes one byte. What Weft takes beyond this is what Weft costs.
"""

from __future__ import annotations

import json
import os
import selectors
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from bench.workloads import Workload, chain, fanout


def _namespace() -> tuple[dict[str, Any], list[Callable[..., Any]]]:
    found: list[Callable[..., Any]] = []
    return {"data_loader": found.append, "transformer": found.append}, found


def _read(path: Path) -> Any:
    arrow = path.with_suffix(".arrow")
    if arrow.exists():
        with pa.memory_map(str(arrow)) as source:
            return pa.ipc.open_file(source).read_all().to_pandas()
    return json.loads(path.with_suffix(".json").read_text())


def _write(value: Any, path: Path) -> None:
    if isinstance(value, pd.DataFrame):
        table = pa.Table.from_pandas(value)
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with (
            pa.OSFile(str(path.with_suffix(".arrow")), "wb") as sink,
            pa.ipc.new_file(sink, table.schema, options=options) as writer,
        ):
            writer.write_table(table)
    else:
        path.with_suffix(".json").write_text(json.dumps(value))


def _child(code: str, inputs: list[Path], output: Path) -> None:
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - the child lives for one block
    names, found = _namespace()
    exec(compile(code, "block.py", "exec"), names)  # noqa: S102 - this is what running a block is
    _write(found[0](*map(_read, inputs)), output)


def run(workloads: list[Workload], folder: Path, *, places: int = 20) -> list[float]:
    """Run all workloads together, at most `places` blocks at once; return when each ended."""
    began = time.perf_counter()
    waiting = {(n, uuid) for n, w in enumerate(workloads) for uuid in w.blocks}
    done: set[tuple[int, str]] = set()
    ended = [0.0] * len(workloads)
    live = 0
    poll = selectors.DefaultSelector()
    while waiting or live:
        for key in sorted(waiting):
            n, uuid = key
            block = workloads[n].blocks[uuid]
            if live < places and all((n, up) in done for up in block.upstream):
                waiting.discard(key)
                inputs = [folder / f"{n}_{up}" for up in block.upstream]
                _fork(poll, key, block.code, inputs, folder / f"{n}_{uuid}")
                live += 1
        for event, _ in poll.select():
            n, uuid = event.data[0]
            poll.unregister(event.fileobj)
            if os.read(event.fd, 1) != b"+":
                raise RuntimeError(f"block {uuid} failed")
            os.close(event.fd)
            os.waitpid(event.data[1], 0)
            done.add((n, uuid))
            live -= 1
            ended[n] = time.perf_counter() - began
    return ended


def _fork(
    poll: selectors.BaseSelector,
    key: tuple[int, str],
    code: str,
    inputs: list[Path],
    output: Path,
) -> None:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            _child(code, inputs, output)
            os.write(writer, b"+")
        finally:
            os._exit(0)
    os.close(writer)
    poll.register(reader, selectors.EVENT_READ, (key, pid))


def measure(name: str, rounds: int) -> list[float]:
    """Return seconds per round of the named workload (`burst50` is 50 chains together)."""
    made = {w.name: [w] for w in (chain(4, "trivial"), chain(4, "frame"), chain(50, "trivial"))}
    made |= {w.name: [w] for w in (fanout(50, "trivial"), fanout(50, "frame"), chain(50, "frame"))}
    made |= {f"burst50_{v}": [chain(4, v)] * 50 for v in ("trivial", "frame")}
    seconds = []
    for _ in range(rounds + 1):
        folder = Path(tempfile.mkdtemp())
        try:
            seconds.append(max(run(made[name], folder)))
        finally:
            shutil.rmtree(folder)
    return seconds[1:]


if __name__ == "__main__":
    # A process of its own: a fork must not carry the bench's threads.
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
