"""Several engines on one PostgreSQL database, in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from tests.projects import write_project
from tests.servers import LIMIT, Server
from tests.stores import a_database

from weft.app import wiring
from weft.app.datadir import holder
from weft.app.neighbours import check_neighbours
from weft.app.settings import read_settings
from weft.core.errors import Conflict
from weft.core.ids import EngineId
from weft.ports.engines import EngineRow
from weft.ports.runs import EngineRef
from weft.ports.unit import Store
from weft.store import open_store
from weft.store.migrate import prepare

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(180)]

GATED = """
import threading
from pathlib import Path
print('first')
while not Path({gate!r}).exists():
    threading.Event().wait(0.02)
print('second')
return 1
"""
QUICK: Mapping[str, str] = {"WEFT_PRELOAD": "", "WEFT_LEASE_TTL": "3", "WEFT_DRAIN_GRACE": "1"}


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with a_database("postgres", tmp_path) as url:
        yield url


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    return tmp_path / "gate"


@pytest.fixture
def project(tmp_path: Path, gate: Path) -> Path:
    code = GATED.format(gate=str(gate))
    return write_project(tmp_path / "project", {"gated": {"blocks": {"waits": code}}})


@contextmanager
def opened(url: str) -> Iterator[Store]:
    store = open_store(url)
    try:
        yield store
    finally:
        store.close()


def live(url: str) -> dict[str, EngineRow]:
    """Return the live engines by name."""
    with opened(url) as store, store.read() as unit:
        return {row.ref.id: row for row in unit.engines.all() if row.live}


def name_in(data: Path, slot: str) -> str:
    return (data / f"{slot}.id").read_text(encoding="ascii").strip()


def messages(server: Server, run_id: int) -> list[str]:
    """Return what the blocks of a run printed, as a server sees it."""
    found = server.get(f"/api/pipeline_runs/{run_id}/logs")["logs"]
    lines = [line for file in found for line in file["content"].splitlines()]
    return [json.loads(line[line.index("{") :])["message"] for line in lines]


@contextmanager
def followed(server: Server, run_id: int) -> Iterator[Iterator[dict[str, Any]]]:
    """Follow the logs of a run; yield its lines, as long as they come."""
    link = HTTPConnection("127.0.0.1", server.port, timeout=LIMIT)
    try:
        link.request("GET", f"/api/pipeline_runs/{run_id}/logs/stream")
        answer = link.getresponse()
        said = (line.partition(b"data: ") for line in iter(answer.readline, b""))
        lines = (json.loads(data) for head, sign, data in said if sign and not head)
        yield (line for line in lines if "message" in line)
    finally:
        link.close()


def test_two_engines_share_a_data_directory(
    project: Path, tmp_path: Path, url: str, gate: Path
) -> None:
    data = tmp_path / "data"
    first = Server(project, data, database_url=url, environment=QUICK)
    second = Server(project, data, database_url=url, environment=QUICK)
    with first, second:
        one, two = name_in(data, "engine"), name_in(data, "engine-1")
        alive = live(url)
        assert set(alive) == {one, two}
        assert {row.data_dir for row in alive.values()} == {str(data)}
        for server, slot in ((first, "engine"), (second, "engine-1")):
            facts = holder(data / f"{slot}.lock")
            assert facts is not None
            assert facts["pid"] == server.pid
        first.kill()
        run_id = second.fire(second.trigger_of("gated"))
        second.until(lambda: "first" in messages(second, run_id) or None)
        first.start()
        again = live(url)[one]
        assert (again.pid, again.ref.incarnation) == (first.pid, 2)
        gate.touch()
        assert first.ended(run_id)["status"] == "completed"
        assert messages(first, run_id) == ["first", "second"]
    assert live(url) == {}


def test_logs_are_read_and_followed_and_deleted_where_another_engine_wrote_them(
    project: Path, tmp_path: Path, url: str, gate: Path
) -> None:
    first = Server(project, tmp_path / "one", database_url=url, environment=QUICK)
    other = Server(project, tmp_path / "two", database_url=url, environment=QUICK)
    with first:
        run_id = first.fire(first.trigger_of("gated"))
        first.until(lambda: "first" in messages(first, run_id) or None)
        with other:
            assert len(live(url)) == 2
            assert messages(other, run_id) == ["first"]
            with followed(other, run_id) as lines:
                assert next(lines)["message"] == "first"
                gate.touch()
                assert [line["message"] for line in lines] == ["second"]
            assert other.ended(run_id)["status"] == "completed"
            assert messages(other, run_id) == ["first", "second"]
            folder = tmp_path / "one" / "logs" / str(run_id)
            assert folder.is_dir()
            assert not (tmp_path / "two" / "logs" / str(run_id)).exists()
            assert other.request("DELETE", f"/api/pipeline_runs/{run_id}")[0] == 200
            assert not folder.exists()


def _weft(*arguments: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "weft", *arguments],
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )


def test_an_engine_out_of_reach_keeps_this_one_from_starting(
    project: Path, tmp_path: Path, url: str
) -> None:
    far = tmp_path / "mounted_elsewhere"
    prepare(url, upgrade=True)
    with opened(url) as store, store.write() as unit:
        away = unit.engines.enlist(
            EngineId("engine-far"),
            timedelta(minutes=5),
            host="far.example",
            pid=1,
            data_dir=str(far),
        )
    mine = Server(project, tmp_path / "data", database_url=url, environment=QUICK)
    for command in (
        ("start", str(project), "--port", str(mine.port)),
        ("engine", str(project)),
        ("run", str(project), "gated"),
    ):
        done = _weft(*command, environment=mine.environment)
        assert done.returncode == 4, done.stderr
        for part in ("engine engine-far", "host far.example", str(far), "WEFT_DATA_DIR"):
            assert part in done.stderr
        assert "Traceback" not in done.stderr
    assert set(live(url)) == {"engine-far"}
    with opened(url) as store, store.write() as unit:
        unit.engines.retire(away)
    with mine:
        assert set(live(url)) == {name_in(tmp_path / "data", "engine")}


def test_of_two_that_start_at_once_none_overlooks_the_other(
    project: Path, tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(url, upgrade=True)
    settings = read_settings(
        {"project_dir": project},
        environment={"WEFT_DATA_DIR": str(tmp_path / "data"), "WEFT_DATABASE_URL": url},
    )
    looks: list[int] = []

    def look(engines: Any, me: EngineId, *, host: str) -> int:
        looks.append(check_neighbours(engines, me, host=host))
        if len(looks) == 1:
            with opened(url) as store, store.write() as unit:
                where = str(tmp_path / "elsewhere")
                unit.engines.enlist(
                    EngineId("far"), timedelta(minutes=5), host="far", pid=1, data_dir=where
                )
        return looks[-1]

    monkeypatch.setattr(wiring, "check_neighbours", look)
    with wiring.open_house(settings, wiring.Company.APART) as house:
        with pytest.raises(Conflict, match="engine far on host far"):
            wiring.make_engine(house, engine_id=EngineId("me"), on_death=pytest.fail)
        with house.context.store.read() as unit:
            alive = {row.ref: row.live for row in unit.engines.all()}
    assert alive == {EngineRef(EngineId("me"), 1): False, EngineRef(EngineId("far"), 1): True}


def test_a_project_at_another_path_is_warned_of(project: Path, tmp_path: Path, url: str) -> None:
    copy = tmp_path / "copy"
    copy.symlink_to(project)
    with (
        Server(project, tmp_path / "one", database_url=url, environment=QUICK),
        Server(copy, tmp_path / "two", database_url=url, environment=QUICK) as second,
    ):
        said = second.log.read_text()
    assert "last opened at" not in said, "a link to a folder is that folder"
    moved = write_project(tmp_path / "moved", {})
    with (
        Server(project, tmp_path / "one", database_url=url, environment=QUICK),
        Server(moved, tmp_path / "three", database_url=url, environment=QUICK) as second,
    ):
        said = second.log.read_text()
    assert f"last opened at {project} and here at {moved}" in said
