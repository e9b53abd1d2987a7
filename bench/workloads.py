"""The pipelines that are measured: the same block code for Weft and for the floor."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

ROWS, COLUMNS = 900, 12

TRIVIAL_LOAD = """
@data_loader
def load(*args, **kwargs):
    print('begun')
    return 1
"""
TRIVIAL_STEP = """
@transformer
def step(*values, **kwargs):
    return 1
"""
FRAME_LOAD = f"""
import numpy as np
import pandas as pd

@data_loader
def load(*args, **kwargs):
    print('begun')
    rng = np.random.default_rng(7)
    return pd.DataFrame(
        rng.random(({ROWS}, {COLUMNS})), columns=[f'column_{{n}}' for n in range({COLUMNS})]
    )
"""
FRAME_STEP = """
@transformer
def step(frame, *others, **kwargs):
    return frame.assign(column_0=frame['column_0'] + 1)
"""


@dataclass(frozen=True, slots=True)
class Block:
    """One block: its type, code and upstreams."""

    type: str
    code: str
    upstream: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Workload:
    """A pipeline to be measured."""

    name: str
    blocks: dict[str, Block]

    @property
    def depth(self) -> int:
        """How many blocks lie on the longest path."""
        found: dict[str, int] = {}
        for uuid, block in self.blocks.items():
            found[uuid] = 1 + max((found[up] for up in block.upstream), default=0)
        return max(found.values())


def chain(length: int, value: str) -> Workload:
    """Return blocks that each wait for the one before."""
    load, step = _codes(value)
    blocks = {"b0": Block("data_loader", load)}
    for n in range(1, length):
        blocks[f"b{n}"] = Block("transformer", step, (f"b{n - 1}",))
    return Workload(f"chain{length}_{value}", blocks)


def fanout(width: int, value: str) -> Workload:
    """Return one block, `width` that wait for it, and one that waits for them all."""
    load, step = _codes(value)
    blocks = {"first": Block("data_loader", load)}
    blocks |= {f"m{n}": Block("transformer", step, ("first",)) for n in range(width)}
    blocks["last"] = Block("transformer", step, tuple(f"m{n}" for n in range(width)))
    return Workload(f"fanout{width}_{value}", blocks)


def _codes(value: str) -> tuple[str, str]:
    return (TRIVIAL_LOAD, TRIVIAL_STEP) if value == "trivial" else (FRAME_LOAD, FRAME_STEP)


def write_project(folder: Path, workloads: list[Workload]) -> None:
    """Write a project with these pipelines, as a user would have it on disk."""
    folder.mkdir(parents=True)
    (folder / "metadata.yaml").write_text("project_type: standalone\n")
    for workload in workloads:
        entries = []
        for uuid, block in workload.blocks.items():
            own = f"{workload.name}_{uuid}"
            path = folder / f"{block.type}s" / f"{own}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(block.code)
            entries.append(
                {
                    "uuid": own,
                    "type": block.type,
                    "language": "python",
                    "upstream_blocks": [f"{workload.name}_{up}" for up in block.upstream],
                }
            )
        home = folder / "pipelines" / workload.name
        home.mkdir(parents=True)
        # JSON is YAML: no library is needed to write it.
        document = {"name": workload.name, "type": "python", "blocks": entries}
        (home / "metadata.yaml").write_text(json.dumps(document, indent=1))
