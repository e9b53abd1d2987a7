"""Floors hold, and the pages written from the code are current."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=110
    )


def test_every_import_points_down() -> None:
    done = _run(str(Path(sys.executable).with_name("lint-imports")), "--no-cache")
    assert done.returncode == 0, done.stdout


def test_generated_pages_are_current() -> None:
    done = _run(sys.executable, "docs/generate.py", "--check")
    assert done.returncode == 0, done.stderr
