"""No statement of the store walks through history, whatever the planner knows of it."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from importlib import import_module
from pathlib import Path

import pytest
from sqlalchemy.dialects import sqlite

import weft.store
from weft.store.migrate import prepare
from weft.store.prepared import Prepared

GROWING = {"pipeline_run", "block_run", "attempt", "artifact", "artifact_use", "event"}
FOLDER = Path(weft.store.__file__).parent


def _statements() -> Iterator[tuple[str, Prepared]]:
    for path in sorted(FOLDER.glob("*.py")):
        module = import_module(f"weft.store.{path.stem}".removesuffix(".__init__"))
        for name, value in vars(module).items():
            if isinstance(value, Prepared):
                yield f"{path.stem}.{name}", value


STATEMENTS = dict(_statements())


HISTORY = """
    INSERT INTO project VALUES (1, 'u', 1, '/p', '2026');
    INSERT INTO pipeline_version VALUES (1, 1, 'p', 'hash', '{}', '2026');
    INSERT INTO pipeline_run (project_id, pipeline_uuid, version_id, hidden, status, passed_sla,
        executor_type, epoch, fence, created_at, updated_at)
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
    SELECT 1, 'p', 1, 0, 'completed', 0, 'x', 1, 1, '2026', '2026' FROM n;
    INSERT INTO block_run (project_id, run_id, block_uuid, status, attempt, failures, losses,
        created_at, updated_at)
    SELECT 1, id, 'a', 'completed', 1, 0, 0, '2026', '2026' FROM pipeline_run;
    INSERT INTO event (project_id, actor, object_type, object_id, cue, at, reason, run_id)
    SELECT 1, 'x', 'pipeline_run', id, 'create', '2026', '', id FROM pipeline_run;
    ANALYZE;
"""


@pytest.fixture(scope="module", params=["fresh", "analysed"])
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plans") / "weft.db"
    prepare(f"sqlite:///{path}", upgrade=True)
    if request.param == "analysed":
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(HISTORY)
    return path


def _plan(file: Path, statement: Prepared) -> list[str]:
    dialect = sqlite.dialect(paramstyle="named")
    dialect.default_schema_name = "main"
    text = statement.on(dialect, None).text
    params = dict.fromkeys(re.findall(r":(\w+)", text), "[1]")
    with closing(sqlite3.connect(file)) as connection:
        return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {text}", params)]


def _walks(plan: list[str]) -> list[str]:
    """A scan of a partial index is none: it holds only what is open."""
    scans = [re.match(r"SCAN (?:main\.)?(\w+)(.*)", step) for step in plan]
    return [
        scan[0]
        for scan in scans
        if scan and scan[1] in GROWING and not re.search(r"_(open|live|running)\b", scan[2])
    ]


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_statement_finds_what_it_wants_by_an_index(file: Path, name: str) -> None:
    assert _walks(_plan(file, STATEMENTS[name])) == []


def test_a_walk_would_be_noticed(file: Path) -> None:
    assert len(STATEMENTS) > 40
    with closing(sqlite3.connect(file)) as connection:
        rows = connection.execute("EXPLAIN QUERY PLAN SELECT * FROM event WHERE actor = 'x'")
        assert _walks([row[3] for row in rows]) == ["SCAN event"]
