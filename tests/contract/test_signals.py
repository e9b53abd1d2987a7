"""One suite for every way to tell that the store has news."""

from __future__ import annotations

import os
import socket
import sqlite3
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from weft.ports.signals import MOVED, RUNS, SCHEDULES, Signals
from weft.signals.bell import BellSignals
from weft.signals.local import LocalSignals
from weft.signals.postgres import PostgresSignals
from weft.signals.sqlite import SqliteSignals

PATIENCE = 10.0


class Ear:
    """Remembers topics, and lets a test wait for one."""

    def __init__(self) -> None:
        self._news = threading.Condition()
        self._heard: list[str] = []

    def __call__(self, topic: str) -> None:
        with self._news:
            self._heard.append(topic)
            self._news.notify_all()

    def waits_for(self, topic: str) -> bool:
        with self._news:
            return self._news.wait_for(lambda: topic in self._heard, PATIENCE)

    def heard(self) -> list[str]:
        with self._news:
            return list(self._heard)

    def forget(self) -> None:
        with self._news:
            self._heard.clear()


@dataclass(frozen=True)
class Pair:
    """Two ends of one transport (the same object when it lives in one process)."""

    teller: Signals
    hearer: Signals
    commit: Callable[[], None]


def _local(_: Path) -> Pair:
    signals = LocalSignals()
    return Pair(signals, signals, lambda: None)


def _sqlite(tmp_path: Path) -> Pair:
    path = tmp_path / "weft.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE t (n INTEGER)")
    connection.close()

    def commit() -> None:
        writer = sqlite3.connect(path)
        with writer:
            writer.execute("INSERT INTO t VALUES (1)")
        writer.close()

    return Pair(SqliteSignals(path), SqliteSignals(path), commit)


def _bell(tmp_path: Path) -> Pair:
    folder = tmp_path / ("deep" * 40)
    teller = BellSignals(folder, LocalSignals(), ear=True)
    return Pair(teller, BellSignals(folder, LocalSignals(), ear=True), lambda: None)


def _postgres_url() -> str:
    url = os.environ.get("WEFT_TEST_POSTGRES_URL")
    if not url:
        pytest.skip("WEFT_TEST_POSTGRES_URL is not set")
    return url


def _postgres(_: Path) -> Pair:
    url, channel = _postgres_url(), f"weft-test-{uuid.uuid4().hex}"
    return Pair(
        PostgresSignals(url, channel=channel), PostgresSignals(url, channel=channel), lambda: None
    )


@pytest.fixture(
    params=[_local, _sqlite, _bell, pytest.param(_postgres, marks=pytest.mark.postgres)],
    ids=["local", "sqlite", "bell", "postgres"],
)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    made: Pair = request.param(tmp_path)
    yield made
    made.teller.close()
    made.hearer.close()


def _tell(pair: Pair, topic: str) -> None:
    pair.commit()
    pair.teller.notify(topic)


@pytest.mark.parametrize("topic", [RUNS, SCHEDULES, MOVED])
def test_a_listener_hears_each_topic(pair: Pair, topic: str) -> None:
    ear = Ear()
    pair.hearer.listen(ear)
    _tell(pair, topic)
    assert ear.waits_for(topic)


def test_every_listener_hears(pair: Pair) -> None:
    ears = [Ear(), Ear()]
    for ear in ears:
        pair.hearer.listen(ear)
    _tell(pair, RUNS)
    assert all(ear.waits_for(RUNS) for ear in ears)


def test_the_teller_hears_itself(pair: Pair) -> None:
    ear = Ear()
    pair.teller.listen(ear)
    _tell(pair, RUNS)
    assert ear.waits_for(RUNS)


def test_nobody_hears_after_it_stopped(pair: Pair) -> None:
    stopped, other = Ear(), Ear()
    stop = pair.hearer.listen(stopped)
    pair.hearer.listen(other)
    stop()
    _tell(pair, RUNS)
    assert other.waits_for(RUNS)
    assert stopped.heard() == []


def test_stopping_twice_is_harmless(pair: Pair) -> None:
    stop = pair.hearer.listen(Ear())
    stop()
    stop()


def test_silence_is_silent(pair: Pair) -> None:
    ear, other = Ear(), Ear()
    pair.hearer.listen(ear)
    assert ear.heard() == []
    pair.hearer.listen(other)
    _tell(pair, MOVED)
    assert other.waits_for(MOVED)


def test_closing_ends_the_listeners_thread(pair: Pair) -> None:
    ear = Ear()
    pair.hearer.listen(ear)
    before = {thread for thread in threading.enumerate() if thread.name == "weft-signals"}
    pair.hearer.close()
    pair.teller.close()
    assert not any(thread.is_alive() for thread in before)
    pair.hearer.close()


def test_a_commit_of_another_process_is_heard_on_sqlite(tmp_path: Path) -> None:
    pair = _sqlite(tmp_path)
    ear = Ear()
    pair.hearer.listen(ear)
    pair.commit()
    assert all(ear.waits_for(topic) for topic in (RUNS, SCHEDULES, MOVED))
    pair.hearer.close()


def test_a_bell_whose_process_died_is_taken_away(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dead:
        dead.bind(str(tmp_path / "1.sock"))
    teller = BellSignals(tmp_path, LocalSignals(), ear=False)
    teller.notify(RUNS)
    assert list(tmp_path.glob("*.sock")) == []
    teller.close()


def test_a_deaf_bell_tells_and_leaves_nothing_behind(tmp_path: Path) -> None:
    hearer = BellSignals(tmp_path, LocalSignals(), ear=True)
    teller = BellSignals(tmp_path, LocalSignals(), ear=False)
    ear = Ear()
    hearer.listen(ear)
    teller.listen(Ear())
    teller.notify(RUNS)
    assert ear.waits_for(RUNS)
    teller.close()
    hearer.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.postgres
def test_after_a_broken_connection_every_topic_is_heard() -> None:
    import psycopg  # noqa: PLC0415 - an extra

    url = _postgres_url()
    name = f"weft-test-{uuid.uuid4().hex}"
    signals = PostgresSignals(f"{url}?application_name={name}", channel=name)
    ear = Ear()
    signals.listen(ear)
    signals.notify(RUNS)
    assert ear.waits_for(RUNS)
    ear.forget()
    with psycopg.connect(url, autocommit=True) as admin:
        killed = admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s",
            (name,),
        ).fetchall()
    assert len(killed) == 2  # one listens, one tells
    assert all(ear.waits_for(topic) for topic in (RUNS, SCHEDULES, MOVED))
    ear.forget()
    signals.notify(MOVED)
    assert ear.waits_for(MOVED)
    signals.close()
