"""PostgreSQL breaks off in the middle of runs: nothing is lost, and all goes on by itself.

The server that is killed here is a private one, started for these tests.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from tests.projects import write_project
from tests.servers import LIMIT, Server

from weft.core.ids import RunId
from weft.core.states import Cause
from weft.store import open_store

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(180)]

LENGTH, RUNS = 6, 3
WORK = 0.2
"""Seconds that each block takes."""


@dataclass(frozen=True)
class PrivateServer:
    """A PostgreSQL of our own, to be killed at will."""

    programs: Path
    folder: Path
    port: int

    @property
    def url(self) -> str:
        """Its one database."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        self._pg_ctl("-l", str(self.folder / "log"), "-o", options, "start")

    def kill(self) -> None:
        """End it as a crash would."""
        self._pg_ctl("-m", "immediate", "stop")

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        """Answer one statement."""
        with psycopg.connect(self.url, autocommit=True, application_name="test") as link:
            return link.execute(statement).fetchall()

    def break_connections(self) -> int:
        """Terminate every connection but ours; return how many there were."""
        return len(
            self.ask(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )

    def is_listened_to(self) -> bool:
        """Whether somebody waits for notifications."""
        return bool(self.ask("SELECT 1 FROM pg_stat_activity WHERE query LIKE 'LISTEN %'"))

    def make(self) -> None:
        """Make its files."""
        owner = _owner()
        if owner is not None:
            shutil.chown(self.folder, owner)
        self._run("initdb", "-D", str(self.folder / "data"), "-U", "postgres", "-A", "trust", "-N")

    def _pg_ctl(self, *arguments: str) -> None:
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-w", "-s", *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        # It refuses to run as root.
        owner = _owner()
        change = ["--reuid", owner, "--regid", str(pwd.getpwnam(owner).pw_gid)] if owner else []
        before = ["setpriv", *change, "--clear-groups"] if owner else []
        subprocess.run(
            [*before, str(self.programs / program), *arguments],
            check=True,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            timeout=LIMIT,
        )


def _owner() -> str | None:
    """Return whose the server is to be, or None for our own."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _programs() -> Path:
    found = sorted(
        (path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")),
        key=lambda path: int(path.parent.name),
    )
    if found:
        return found[-1]
    if "WEFT_TEST_POSTGRES_URL" in os.environ:
        pytest.fail("there is no initdb in /usr/lib/postgresql/*/bin: install postgresql")
    pytest.skip("there is no PostgreSQL to be started in /usr/lib/postgresql")


@pytest.fixture
def database() -> Iterator[PrivateServer]:
    """A private server that runs."""
    programs = _programs()
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    # Its owner must be able to enter: pytest's own folders are closed to others.
    with tempfile.TemporaryDirectory(prefix="weft-pg-") as folder:
        server = PrivateServer(programs, Path(folder), port)
        server.make()
        server.start()
        try:
            yield server
        finally:
            if (Path(folder) / "data" / "postmaster.pid").exists():
                server.kill()


class Work:
    """Runs of a chain on a real `weft start`; each block notes when it begins."""

    def __init__(self, folder: Path, database: PrivateServer, ttl: float) -> None:
        self.database = database
        self.ledger = folder / "ledger"
        self.run_ids: list[int] = []
        blocks: dict[str, Any] = {
            f"b{number}": {
                "code": _noting(self.ledger),
                "upstream": [f"b{number - 1}"] if number else [],
                "type": "custom",
            }
            for number in range(LENGTH)
        }
        self.server = Server(
            write_project(folder / "project", {"chain": {"blocks": blocks}}),
            folder / "data",
            database_url=database.url,
            environment={"WEFT_PRELOAD": "", "WEFT_LEASE_TTL": str(ttl)},
        )

    def begin(self) -> None:
        """Start the runs and wait until blocks are at work."""
        self.trigger = self.server.trigger_of("chain")
        self.run_ids = [self.server.fire(self.trigger) for _ in range(RUNS)]
        self.until_begun(RUNS)

    def begun(self) -> list[tuple[str, str]]:
        """Return (run, block) of each time that a block began."""
        lines = self.ledger.read_text().splitlines() if self.ledger.exists() else []
        return [(line.split()[0], line.split()[1]) for line in lines]

    def until_begun(self, count: int) -> None:
        """Wait until blocks have begun so many times."""
        self.server.until(lambda: len(self.begun()) >= count or None)

    def children(self) -> list[psutil.Process]:
        """Return the processes of the blocks that are at work."""
        found = []
        for line in self.ledger.read_text().splitlines():
            try:
                found.append(psutil.Process(int(line.split()[2])))
            except psutil.NoSuchProcess:
                continue
        return found

    def ended(self) -> None:
        """Wait until every run has completed, whatever the API says in between."""
        for run_id in self.run_ids:
            assert self.server.until(lambda r=run_id: self._status(r)) == "completed"

    def answers_again(self) -> None:
        """Look that all is as ever, without a restart: requests, news, a fresh run."""
        self.server.until(lambda: self.database.is_listened_to() or None, 10)
        before = len(self.begun())
        clock = time.monotonic()
        self.run_ids.append(self.server.fire(self.trigger))
        self.until_begun(before + 1)
        assert time.monotonic() - clock < 4.0, "it began only with a sweep"
        self.ended()

    def accepted_once(self) -> Sequence[Any]:
        """Look that each block was accepted once and no try was spent; return the attempts."""
        store = open_store(self.database.url)
        try:
            with store.read() as unit:
                events = unit.events.since(0, limit=100_000)
                found = [unit.runs.get(RunId(run_id)) for run_id in self.run_ids]
                attempts = [a for i in self.run_ids for a in unit.runs.attempts(RunId(i))]
                outputs = [unit.artifacts.of_run(RunId(run_id)) for run_id in self.run_ids]
        finally:
            store.close()
        accepted = Counter(
            (e.run_id, e.block_uuid) for e in events if e.cue == "complete" and e.block_uuid
        )
        assert accepted == {
            (run_id, f"b{number}"): 1 for run_id in self.run_ids for number in range(LENGTH)
        }
        assert {block.failures for run in found for block in run.blocks} == {0}
        assert {attempt.try_number for attempt in attempts} == {1}
        assert [sorted(kept) for kept in outputs] == [
            [f"b{number}" for number in range(LENGTH)] for _ in self.run_ids
        ]
        return attempts

    def _status(self, run_id: int) -> str | None:
        code, body = self.server.request("GET", f"/api/pipeline_runs/{run_id}")
        if code == HTTPStatus.SERVICE_UNAVAILABLE:
            refused(code, body)
            return None
        assert code == HTTPStatus.OK, body
        status = str(body["pipeline_run"]["status"])
        return None if status in {"initial", "running"} else status


def _noting(ledger: Path) -> str:
    return f"""
import os, time
fd = os.open({str(ledger)!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
line = f"{{kwargs['pipeline_run_id']}} {{kwargs['block_uuid']}} {{os.getpid()}}\\n"
os.write(fd, line.encode())
time.sleep({WORK})
return 1
"""


def refused(code: int, body: Any) -> None:
    """Look that an answer says clearly that the database is away."""
    assert code == HTTPStatus.SERVICE_UNAVAILABLE, body
    error = body["error"]
    assert error["type"] == "unavailable"
    assert "database" in error["message"]
    assert "PostgreSQL" in error["hint"]
    assert "Traceback" not in str(body)


def is_refused_everywhere(work: Work) -> None:
    """Look that reading and triggering both say so, and at once."""
    began = time.monotonic()
    token = f"{work.trigger['id']}/pipeline_runs/{work.trigger['token']}"
    refused(*work.server.request("GET", "/api/pipeline_runs"))
    refused(*work.server.request("GET", f"/api/pipeline_runs/{work.run_ids[0]}"))
    refused(*work.server.request("POST", f"/api/pipeline_schedules/{token}", {"pipeline_run": {}}))
    assert time.monotonic() - began < 5


def test_broken_connections_cost_nothing(tmp_path: Path, database: PrivateServer) -> None:
    work = Work(tmp_path, database, ttl=15)
    with work.server:
        work.begin()
        for _ in range(6):
            assert database.break_connections() > 0
            work.until_begun(min(len(work.begun()) + 2, RUNS * LENGTH))
        work.ended()
        work.answers_again()
        attempts = work.accepted_once()
    assert set(Counter(work.begun()).values()) == {1}, "a report was lost"
    assert not [attempt.cause for attempt in attempts if attempt.cause]


def test_connections_broken_all_the_time_cost_nothing(
    tmp_path: Path, database: PrivateServer
) -> None:
    work = Work(tmp_path, database, ttl=15)
    with work.server:
        work.begin()
        stop = threading.Event()
        breaker = threading.Thread(target=_breaking, args=(database, stop))
        breaker.start()
        try:
            work.until_begun(RUNS * LENGTH)
        finally:
            stop.set()
            breaker.join()
        work.ended()
        work.answers_again()
        work.accepted_once()
    assert set(Counter(work.begun()).values()) == {1}, "a report was lost"


def _breaking(database: PrivateServer, stop: threading.Event) -> None:
    while not stop.wait(0.05):
        database.break_connections()


def test_a_restart_of_the_database_costs_nothing(tmp_path: Path, database: PrivateServer) -> None:
    work = Work(tmp_path, database, ttl=15)
    with work.server:
        work.begin()
        work.until_begun(2 * RUNS)
        database.kill()
        away = time.monotonic()
        is_refused_everywhere(work)
        _rest_of(2.0, since=away)
        database.start()
        work.ended()
        work.answers_again()
        attempts = work.accepted_once()
    assert set(Counter(work.begun()).values()) == {1}, "a report was lost"
    assert not [attempt.cause for attempt in attempts if attempt.cause]


def test_a_database_away_for_longer_than_the_lease_ends_children_and_no_more(
    tmp_path: Path, database: PrivateServer
) -> None:
    work = Work(tmp_path, database, ttl=3)
    with work.server:
        work.begin()
        # Blocks that wait to be stopped: nobody may work on without a lease.
        held = [process for process in work.children() if process.is_running()]
        for process in held:
            process.send_signal(signal.SIGSTOP)
        database.kill()
        away = time.monotonic()
        _, alive = psutil.wait_procs(held, timeout=10)
        assert not alive, "a block outlived its engine's lease"
        is_refused_everywhere(work)
        _rest_of(4.0, since=away)
        database.start()
        work.ended()
        work.answers_again()
        attempts = work.accepted_once()
    causes = Counter(attempt.cause for attempt in attempts if attempt.cause)
    assert set(causes) == {Cause.ENGINE}
    assert len(work.begun()) == len(work.run_ids) * LENGTH + causes[Cause.ENGINE]


def _rest_of(seconds: float, *, since: float) -> None:
    # The database is away: there is no event to wait for but the time itself.
    time.sleep(max(0.0, since + seconds - time.monotonic()))
