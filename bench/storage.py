"""What the bench asks of the databases themselves: the price of a commit, a full table."""

from __future__ import annotations

import json
import os
import sqlite3
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg


def commit_seconds(url: str | None, data: Path, rounds: int = 50) -> float:
    """Return the median price of a transaction that inserts one row."""
    found = []
    if url is None:
        path = data / "commit-probe.db"
        with sqlite3.connect(path, isolation_level=None) as link:
            link.execute("PRAGMA journal_mode=WAL")
            link.execute("PRAGMA synchronous=NORMAL")
            link.execute("CREATE TABLE IF NOT EXISTS probe (a TEXT)")
            for _ in range(rounds):
                began = time.perf_counter()
                link.execute("BEGIN IMMEDIATE")
                link.execute("INSERT INTO probe VALUES ('x')")
                link.execute("COMMIT")
                found.append(time.perf_counter() - began)
        link.close()
        return statistics.median(found)
    with psycopg.connect(url) as link:
        link.execute("CREATE TEMP TABLE temporary_probe (a text)")
        link.execute("CREATE TABLE IF NOT EXISTS weft_commit_probe (a text)")
        link.commit()
        for _ in range(rounds):
            began = time.perf_counter()
            link.execute("INSERT INTO weft_commit_probe VALUES ('x')")
            link.commit()
            found.append(time.perf_counter() - began)
        link.execute("DROP TABLE weft_commit_probe")
    return statistics.median(found)


def transactions(env: Mapping[str, str]) -> int | None:
    """Return how many transactions the database has committed; None on SQLite."""
    url = env.get("WEFT_DATABASE_URL")
    if url is None:
        return None
    with psycopg.connect(url, autocommit=True) as link:
        time.sleep(1.1)  # statistics reach the view about once a second
        row = link.execute(
            "SELECT xact_commit + xact_rollback FROM pg_stat_database"
            " WHERE datname = current_database()"
        ).fetchone()
    return int(row[0]) if row else None


def fill(url: str | None, data: Path, count: int) -> None:
    """Copy the newest finished run `count` times, with its block runs, attempts and events."""
    link: Any = sqlite3.connect(data / "weft.db") if url is None else psycopg.connect(url)
    prefix, mark = ("", "?") if url is None else ("weft.", "%s")
    cursor = link.cursor()
    cursor.execute(f"SELECT max(id) FROM {prefix}pipeline_run WHERE status = 'completed'")
    model = cursor.fetchone()[0]
    for table, key in (("pipeline_run", "id"), ("block_run", "run_id")):
        cursor.execute(f"SELECT * FROM {prefix}{table} WHERE {key} = {mark}", (model,))
        names = [column[0] for column in cursor.description]
        rows = cursor.fetchall()
        kept = [n for n, name in enumerate(names) if name not in _OWN]
        columns = ", ".join(names[n] for n in kept)
        if table == "pipeline_run":
            values = [_adapted(rows[0][n]) for n in kept]
            _repeat_runs(cursor, prefix, mark, columns, values, count)
        else:
            _repeat_blocks(cursor, prefix, columns, model)
    link.commit()
    if url is not None:
        link.autocommit = True
        cursor.execute("VACUUM ANALYZE")  # as autovacuum does within the minute
    link.close()


def _adapted(value: Any) -> Any:
    """Write a JSON value of PostgreSQL back as JSON."""
    return json.dumps(value) if isinstance(value, dict | list) else value


_OWN = {"id", "fire_key", "idempotency_key"}


def _repeat_runs(
    cursor: Any, prefix: str, mark: str, columns: str, values: list[Any], count: int
) -> None:
    marks = ", ".join([mark] * len(values))
    statement = f"INSERT INTO {prefix}pipeline_run ({columns}) VALUES ({marks})"
    for _ in range(0, count, 1000):
        cursor.executemany(statement, [values] * 1000)


def _repeat_blocks(cursor: Any, prefix: str, columns: str, model: int) -> None:
    names = columns.split(", ")
    chosen = ", ".join("r.id" if name == "run_id" else f"b.{name}" for name in names)
    cursor.execute(
        f"INSERT INTO {prefix}block_run ({columns}) SELECT {chosen}"
        f" FROM {prefix}pipeline_run r, {prefix}block_run b"
        f" WHERE r.id > {model} AND b.run_id = {model}"
    )


def clear(url: str) -> None:
    """Remove what Weft made in a PostgreSQL database."""
    with psycopg.connect(url) as link:
        link.execute("DROP SCHEMA IF EXISTS weft CASCADE")


def fresh_database(url: str, name: str = f"weft_bench_{os.getpid()}") -> str:
    """Create a database beside the one of `url`; return its URL."""
    with psycopg.connect(url, autocommit=True) as link:
        link.execute(f'DROP DATABASE IF EXISTS "{name}"')
        link.execute(f'CREATE DATABASE "{name}"')
    return url.rpartition("/")[0] + f"/{name}"


def drop_database(url: str, name: str) -> None:
    """Remove a database made by `fresh_database`."""
    with psycopg.connect(url, autocommit=True) as link:
        link.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
