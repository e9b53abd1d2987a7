"""What importing costs: users pay for it at every command, children at every block."""

from __future__ import annotations

import subprocess
import sys

import pytest

BEST_OF = 5
WEFT_MS, HELP_MS = 60, 150

_CPU = """
import time
begun = time.process_time()
import {module}
print((time.process_time() - begun) * 1000)
"""
_HEAVY = """
import sys
import {module}
print(*sorted({{name.partition(".")[0] for name in sys.modules}}))
"""


def _python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


def _least_ms(module: str) -> float:
    return min(float(_python(_CPU.format(module=module))) for _ in range(BEST_OF))


def test_importing_weft_is_cheap() -> None:
    assert _least_ms("weft") < WEFT_MS


def test_a_worker_imports_little() -> None:
    """Linux pages are shared after the fork, but the zygote's start is waited for."""
    assert _least_ms("weft.worker.runtime") < 120


@pytest.mark.parametrize("module", ["weft", "weft.worker.runtime"])
def test_a_worker_never_loads_the_server(module: str) -> None:
    loaded = set(_python(_HEAVY.format(module=module)).split())
    assert not loaded & {"sqlalchemy", "alembic", "fastapi", "starlette", "pydantic", "uvicorn"}
    assert not loaded & {"pandas", "polars", "pyarrow", "duckdb", "numpy"}


def test_help_imports_no_command() -> None:
    code = """
import sys
from weft.cli.main import main
try:
    main(["--help"])
except SystemExit:
    pass
print()
print(*sorted(name for name in sys.modules if name.startswith(("weft.", "rich", "sqlalchemy"))))
"""
    loaded = _python(code).splitlines()[-1].split()
    assert "weft.cli.main" in loaded
    assert [name for name in loaded if name.startswith("weft.cli.commands.")] == []
    assert "sqlalchemy" not in loaded


def test_help_is_instant() -> None:
    code = """
import resource, subprocess, sys
subprocess.run([sys.executable, "-m", "weft", "--help"], check=True, stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print((used.ru_utime + used.ru_stime) * 1000)
"""
    assert min(float(_python(code)) for _ in range(BEST_OF)) < HELP_MS
