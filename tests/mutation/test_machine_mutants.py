"""The property test of the machine, tested: each of these faults must make it fail.

A property test that never saw a fault proves nothing. Every entry replaces one
piece of text of `core/machine.py`; the run machine test is then run against that
copy. A mutant that survives is a hole in the test, or equal to the original.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MACHINE = Path("weft/core/machine.py")

MUTANTS = {
    "begins a run being cancelled": (
        "self.run.status is RunStatus.INITIAL and not self.cancelling:",
        "self.run.status is RunStatus.INITIAL:",
    ),
    "admits while stopping": (
        "if self.run.status is not RunStatus.RUNNING or self.stopping:",
        "if self.run.status is not RunStatus.RUNNING:",
    ),
    "admits what is not ready": (
        (
            "if block.status is BlockStatus.INITIAL and block.ready_at is not None:\n"
            "                self.dispatch"
        ),
        "if block.status is BlockStatus.INITIAL:\n                self.dispatch",
    ),
    "believes an old attempt": ("and block.attempt == attempt", ""),
    "believes a report on what is not in flight": (
        "block is not None and block.in_flight and",
        "block is not None and",
    ),
    "counts waiting retries as in flight": (
        "return self.status in BLOCK_LIVE and self.not_before is None",
        "return self.status in BLOCK_LIVE",
    ),
    "forgets to count a failure": (
        "failures = self.blocks[uuid].failures + 1",
        "failures = self.blocks[uuid].failures",
    ),
    "retries what is final": ("if final or self.stopping else", "if self.stopping else"),
    "retries while stopping": ("if final or self.stopping else", "if final else"),
    "waits the wrong time": ("else self.now + wait,", "else self.now + wait + wait,"),
    "failure keeps the losses": (
        "            failures=failures,\n            losses=0,",
        "            failures=failures,",
    ),
    "success keeps the losses": (
        "self.blocks[uuid] = replace(self.blocks[uuid], losses=0)",
        "pass",
    ),
    "one loss more": ("if losses > LOSSES_ALLOWED:", "if losses > LOSSES_ALLOWED + 1:"),
    "losing an engine counts": ("+ (cause is not Cause.ENGINE)", "+ 1"),
    "a loss is not handed out again": (
        "if losses <= LOSSES_ALLOWED:\n            self.dispatch(uuid)",
        "if False:\n            self.dispatch(uuid)",
    ),
    "hands out a loss while stopping": (
        (
            "if self.stopping:\n            self.move(uuid, Cue.CANCEL, cause)\n"
            "            return\n"
            "        losses"
        ),
        "losses",
    ),
    "an unordered stop cancels": (
        "        if self.stopping:\n            self.move(uuid, Cue.CANCEL, Cause.CANCELLED)",
        "        if True:\n            self.move(uuid, Cue.CANCEL, Cause.CANCELLED)",
    ),
    "wakes too early": ("block.not_before <= self.now", "True"),
    "wakes too late": ("block.not_before <= self.now", "block.not_before < self.now"),
    "does not stop what runs": (
        "if self.stopping and not self.was_stopping:\n            self._stop_live()",
        "if False:\n            self._stop_live()",
    ),
    "does not look at all when it begins to stop": (
        "if self.stopping and not self.was_stopping:\n            self.touched.update(self.blocks)",
        "if False:\n            self.touched.update(self.blocks)",
    ),
    "stops ripples early": ("while self.touched:", "if self.touched:"),
    "keeps waiting retries while stopping": (
        "elif block.not_before is not None and self.stopping:",
        "elif False:",
    ),
    "cancels what a failure reaches": (
        "if not self._below_failure(uuid):\n                self.move(uuid, Cue.CANCEL)",
        "self.move(uuid, Cue.CANCEL)",
    ),
    "leaves what a failure does not reach": (
        "if not self._below_failure(uuid):\n                self.move(uuid, Cue.CANCEL)",
        "pass",
    ),
    "ready when one upstream is done": (
        "above <= {BlockStatus.COMPLETED}",
        "(not above or BlockStatus.COMPLETED in above)",
    ),
    "spoiled upstreams are not seen": ("elif above & _SPOILED:", "elif False:"),
    "ends while something lives": ("if not statuses <= BLOCK_ENDED:", "if False:"),
    "cancelled though all completed": (
        "if self.run.status is RunStatus.RUNNING and statuses <= _GOOD:",
        "if self.run.status is RunStatus.RUNNING and statuses <= _GOOD and not self.cancelling:",
    ),
    "failed although cancelled": (
        "elif self.cancelling:\n            self.move_run(Cue.CANCEL)",
        "elif self.cancelling and not self.has_failed:\n            self.move_run(Cue.CANCEL)",
    ),
    "does not announce": ("self.effects.append(Announce(self.run.status))", "pass"),
    "cancels twice": (
        "if self.run.status not in RUN_ENDED and not self.cancelling:",
        "if not self.cancelling:",
    ),
    "keeps the epoch": ("epoch=self.run.epoch + 1", "epoch=self.run.epoch"),
    "retry forgets attempt numbers": ("BlockRun(attempt=self.blocks[uuid].attempt)", "BlockRun()"),
    "retry keeps descendants": (
        "spread = chosen.union(*(asked.graph.descendants(uuid) for uuid in chosen))",
        "spread = chosen",
    ),
    "retry keeps the cancel request": ("            cancel_requested_at=None,\n", ""),
    "retries a run that lives": (
        "if self.run.status not in RUN_ENDED:\n            raise",
        "if False:\n            raise",
    ),
    "a move keeps the time to wait": (
        "replace(block, status=after, ready_at=None, not_before=None)",
        "replace(block, status=after, ready_at=None)",
    ),
    "an end overtakes its start": (
        (
            "        if self.blocks[uuid].status is BlockStatus.QUEUED:\n"
            "            self.move(uuid, Cue.START)"
        ),
        "        if False:\n            self.move(uuid, Cue.START)",
    ),
    "numbers no attempt": (
        "replace(block, attempt=block.attempt + 1)",
        "replace(block, attempt=block.attempt)",
    ),
}

EQUIVALENT = {
    "cancelled though all completed": "a matter of taste, pinned by a unit test",
    "begins a run being cancelled": "a cancel ends a run that has not begun in the same decision",
    "success keeps the losses": "nothing looks at them again before a retry clears them",
    "admits while stopping": "once a run stops, nothing of it is ready any more",
    "retries a run that lives": "the table refuses it too; the guard is there for its words",
}


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", sorted(set(MUTANTS) - set(EQUIVALENT)))
def test_the_property_test_notices(name: str, tmp_path: Path) -> None:
    old, new = MUTANTS[name]
    shutil.copytree(ROOT / "src" / "weft", tmp_path / "weft")
    text = (tmp_path / MACHINE).read_text()
    assert text.count(old) == 1, f"the text to replace stands {text.count(old)} times"
    (tmp_path / MACHINE).write_text(text.replace(old, new))
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-x",
            "-n0",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:randomly",
            "--rootdir",
            str(ROOT),
            "-c",
            str(ROOT / "pyproject.toml"),
            str(ROOT / "tests/property/test_run_machine.py"),
        ],
        env={**os.environ, "PYTHONPATH": str(tmp_path), "WEFT_TEST_EXAMPLES": "1000"},
        # Not where examples of earlier faults are kept: each mutant is to be found anew.
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, f"survived:\n{done.stdout[-2000:]}\n{done.stderr[-500:]}"
