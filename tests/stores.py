"""Databases for tests: a file of its own, or a schema of its own."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from weft.ports.unit import Store
from weft.store import open_store
from weft.store.migrate import prepare


@contextmanager
def a_database(kind: str, folder: Path) -> Iterator[str]:
    """Yield the URL of an empty database of this kind; skip the test if there is none."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'weft.db'}"
        return
    server = os.environ.get("WEFT_TEST_POSTGRES_URL")
    if server is None:
        pytest.skip("WEFT_TEST_POSTGRES_URL is not set")
    schema = f"test_{uuid.uuid4().hex}"
    try:
        yield f"{server}?weft_schema={schema}"
    finally:
        with psycopg.connect(server, autocommit=True) as link:
            link.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE')


@contextmanager
def a_store(kind: str, folder: Path) -> Iterator[Store]:
    """Yield an empty store of this kind."""
    with a_database(kind, folder) as url:
        prepare(url, upgrade=True)
        store = open_store(url)
        try:
            yield store
        finally:
            store.close()
