"""A database is made at a stroke or step by step, and either way it is the same one."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.stores import a_database

from weft.core.errors import Conflict, Invalid, Unavailable
from weft.store import migrate, open_store
from weft.store.address import parse
from weft.store.engine import connect_postgres, connect_sqlite
from weft.store.migrations.run import script, upgrade

KINDS = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]

_SHAPE_OF_SQLITE = """
    SELECT type, name, tbl_name, sql FROM sqlite_master
    WHERE name NOT LIKE 'sqlite_%' ORDER BY type, name
"""
_SHAPE_OF_POSTGRES = """
    SELECT 'column', c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
           a.attnotnull::text, pg_get_expr(d.adbin, d.adrelid)
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relnamespace = '{schema}'::regnamespace AND c.relkind = 'r' AND a.attnum > 0
    UNION ALL
    SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid), '', ''
    FROM pg_constraint WHERE connamespace = '{schema}'::regnamespace
    UNION ALL
    SELECT 'index', tablename, indexname, indexdef, '', ''
    FROM pg_indexes WHERE schemaname = '{schema}'
    ORDER BY 1, 2, 3
"""


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def url(kind: str, tmp_path: Path) -> Iterator[str]:
    with a_database(kind, tmp_path) as found:
        yield found


def _do(url: str, *statements: str) -> list[Any]:
    """Run SQL in one transaction; return the rows of the last statement."""
    address = parse(url)
    engine = connect_postgres(address) if address.schema else connect_sqlite(address)
    try:
        with engine.connect() as connection:
            if address.schema:
                connection.exec_driver_sql("SET search_path TO " + address.schema)
            for statement in statements:
                result = connection.exec_driver_sql(statement)
            return [tuple(row) for row in result] if result.returns_rows else []
    finally:
        engine.dispose()


def _shape(url: str) -> list[tuple[str, ...]]:
    """Everything that the database's own catalogue says, without the schema's name."""
    schema = parse(url).schema
    if schema is None:
        rows = _do(url, _SHAPE_OF_SQLITE)
    else:
        rows = _do(url, _SHAPE_OF_POSTGRES.format(schema=schema))
    names = (schema or "\0", "")
    plain = [tuple(" ".join(str(value).replace(*names).split()) for value in row) for row in rows]
    return sorted((*row[:3], _pieces(row[3]), *row[4:]) for row in plain)


def _pieces(sql: str) -> str:
    """Put the parts of a CREATE TABLE in order: that of constraints means nothing."""
    if not sql.startswith("CREATE TABLE"):
        return sql
    head, _, rest = sql.partition("(")
    body, _, tail = rest.rpartition(")")
    return f"{head}({', '.join(sorted(part.strip() for part in body.split(', ')))}){tail}"


def _step_by_step(url: str) -> None:
    address = parse(url)
    engine = connect_postgres(address) if address.schema else connect_sqlite(address)
    try:
        with engine.connect() as connection:
            if address.schema:
                connection.exec_driver_sql(f"CREATE SCHEMA {address.schema}")
            connection.exec_driver_sql("BEGIN")
            upgrade(connection, address.schema)
            connection.exec_driver_sql("COMMIT")
    finally:
        engine.dispose()


def test_both_ways_lead_to_the_same_database(kind: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with a_database(kind, tmp_path / "a") as one, a_database(kind, tmp_path / "b") as other:
        migrate.prepare(one, upgrade=False)
        _step_by_step(other)
        made, stepped = _shape(one), _shape(other)
        assert len(made) > 20
        assert made == stepped
        # What was made step by step is of the present version, and nothing is left to do.
        assert migrate.prepare(other, upgrade=False) == migrate.VERSIONS[-1]


def test_the_versions_known_without_alembic_are_those_of_the_chain() -> None:
    chain = [step.revision for step in script().walk_revisions()]
    assert tuple(reversed(chain)) == migrate.VERSIONS


def test_preparing_twice_changes_nothing(url: str) -> None:
    assert migrate.prepare(url, upgrade=True) == migrate.VERSIONS[-1]
    before = _shape(url)
    assert migrate.prepare(url, upgrade=True) == migrate.VERSIONS[-1]
    assert _shape(url) == before


def test_two_that_prepare_at_once_wait_for_each_other(url: str) -> None:
    done: list[str] = []
    threads = [
        threading.Thread(target=lambda: done.append(migrate.prepare(url, upgrade=True)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert done == [migrate.VERSIONS[-1]] * 4


def test_a_database_of_a_newer_weft_is_refused(url: str) -> None:
    migrate.prepare(url, upgrade=True)
    _do(url, "UPDATE schema_version SET version_num = '9999'")
    with pytest.raises(Conflict, match="9999") as caught:
        migrate.prepare(url, upgrade=True)
    assert caught.value.hint
    assert "newer" in caught.value.hint


def test_tables_that_are_not_ours_are_left_alone(url: str) -> None:
    address = parse(url)
    begin = [f"CREATE SCHEMA {address.schema}"] if address.schema else []
    _do(url, *begin, "CREATE TABLE somebody (id INTEGER)")
    with pytest.raises(Conflict, match="holds tables"):
        migrate.prepare(url, upgrade=True)
    assert _do(url, "SELECT count(*) FROM somebody") == [(0,)]


def test_an_older_database_is_upgraded_only_when_asked_and_copied_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'weft.db'}"
    migrate.prepare(url, upgrade=True)
    _do(url, "INSERT INTO engine VALUES ('kept', 1, '2026-01-01', 'h', 1, '/data')")
    monkeypatch.setattr(migrate, "VERSIONS", ("0001", "0002"))
    ran: list[str | None] = []
    monkeypatch.setattr(
        "weft.store.migrations.run.upgrade", lambda _connection, schema: ran.append(schema)
    )
    with pytest.raises(Conflict, match="older") as caught:
        migrate.prepare(url, upgrade=False)
    assert caught.value.hint == "Run `weft db upgrade`."
    assert ran == []
    migrate.prepare(url, upgrade=True)
    assert ran == [None]
    with sqlite3.connect(tmp_path / "weft.db.0001.bak") as copy:
        assert copy.execute("SELECT id FROM engine").fetchall() == [("kept",)]
    copy.close()


@pytest.mark.parametrize(
    "url", ["mysql://localhost/x", "no url at all", "sqlite://", "sqlite:///:memory:"]
)
def test_a_url_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(Invalid) as caught:
        open_store(url)
    assert caught.value.hint


def test_a_schema_must_have_a_plain_name() -> None:
    with pytest.raises(Invalid, match="schema"):
        open_store('postgresql://localhost/x?weft_schema=a"b')


def test_a_server_that_does_not_answer_is_unavailable() -> None:
    with pytest.raises(Unavailable) as caught:
        migrate.prepare("postgresql://nobody@127.0.0.1:1/none", upgrade=True)
    assert caught.value.hint


def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "weft.db").write_text("Dear diary, " * 100)
    with pytest.raises(Unavailable) as caught:
        migrate.prepare(f"sqlite:///{tmp_path / 'weft.db'}", upgrade=True)
    assert caught.value.hint


def test_a_normal_start_does_not_load_alembic(tmp_path: Path) -> None:
    code = f"""
import sys
from weft.store import open_store
from weft.store.migrate import prepare
url = "sqlite:///{tmp_path / "weft.db"}"
prepare(url, upgrade=True)
store = open_store(url)
with store.write() as unit:
    unit.now()
store.close()
print([name for name in ("alembic", "psycopg", "mako") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
