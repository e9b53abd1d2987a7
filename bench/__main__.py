"""`python -m bench [sqlite] [postgres] [--quick]`: print every figure as a JSON line."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from bench import figures, storage


def main() -> None:
    """Measure on each database that was named, or on all that can be reached."""
    chosen = {word for word in sys.argv[1:] if not word.startswith("-")} or {"sqlite", "postgres"}
    quick = "--quick" in sys.argv
    rounds, filled = (5, 0) if quick else (20, 100_000)
    cores = os.cpu_count()
    figures.emit("machine", cores=cores, load=[round(n, 2) for n in os.getloadavg()])
    figures.command_line(10)
    if "sqlite" in chosen:
        folder = Path(tempfile.mkdtemp(prefix="weft-bench-")) / "sqlite"
        figures.measure("sqlite", None, folder, rounds=rounds, filled=filled)
    server = os.environ.get("WEFT_TEST_POSTGRES_URL")
    if "postgres" in chosen and server is None:
        figures.emit("postgres", skipped="set WEFT_TEST_POSTGRES_URL to measure it")
    elif "postgres" in chosen and server is not None:
        url = storage.fresh_database(server)
        try:
            folder = Path(tempfile.mkdtemp(prefix="weft-bench-")) / "postgres"
            figures.measure("postgres", url, folder, rounds=rounds, filled=filled)
        finally:
            storage.drop_database(server, url.rpartition("/")[2])


main()
