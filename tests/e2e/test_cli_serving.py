"""The processes that stay: start, server, engine, demo; their signals and locks."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from weft.project.scaffold import create_project

SLOW = """
import threading
from pathlib import Path

@data_loader
def run(*args, **kwargs):
    Path({marker!r}).touch()
    print('begun')
    threading.Event().wait({seconds})
    return 1
"""


@dataclass(frozen=True)
class Bench:
    """A project, and how to call `weft` on it."""

    root: Path
    environment: dict[str, str]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "weft", *arguments],
            cwd=self.root,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "weft", *arguments],
            cwd=self.root,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    def json(self, *arguments: str) -> Any:
        done = self.call(*arguments, "-C", "shop", "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def triggered(self, pipeline: str) -> str:
        """Make an active API trigger, fire it, and return the run's id."""
        made = self.json("schedules", "create", pipeline, "--type", "api", "--active")
        return str(self.json("schedules", "trigger", str(made["id"]))["id"])

    def pipeline(self, name: str, code: str) -> None:
        project = self.root / "shop"
        folder = project / "pipelines" / name
        folder.mkdir(parents=True)
        (folder / "metadata.yaml").write_text(
            f"name: {name}\nuuid: {name}\ntype: python\nblocks:\n"
            f"- uuid: {name}_block\n  type: data_loader\n  language: python\n"
            "  upstream_blocks: []\n  downstream_blocks: []\n",
            encoding="utf-8",
        )
        (project / "data_loaders" / f"{name}_block.py").write_text(code, encoding="utf-8")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    create_project(tmp_path / "shop", project_uuid="shop", with_example=False)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("WEFT_", "MAGE_", "ENV"))}
    mine = {"HOME": str(tmp_path), "WEFT_PRELOAD": "", "WEFT_PORT": "0", "WEFT_DRAIN_GRACE": "1"}
    return Bench(tmp_path, {**kept, **mine})


@contextmanager
def _running(bench: Bench, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], Any]]:
    """Start a command that stays, and wait for the line that it prints when it is ready."""
    process = bench.start(*arguments, "--json")
    with process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, process.stderr.read() if process.stderr else ""
            yield process, json.loads(line)
        finally:
            if process.poll() is None:
                process.kill()


def _request(url: str, path: str, host: str | None = None) -> tuple[int, Any]:
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
    try:
        connection.request("GET", path, headers={"Host": host} if host else {})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def _ended(process: subprocess.Popen[str], number: signal.Signals) -> int:
    process.send_signal(number)
    return process.wait(timeout=60)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_answers_and_ends_in_good_order(bench: Bench, number: signal.Signals) -> None:
    with _running(bench, "start", "shop") as (process, ready):
        status, body = _request(ready["url"], "/api/statuses")
        assert status == 200
        assert body["statuses"][0]["repo_path"] == str(bench.root / "shop")
        assert _ended(process, number) == 0


def test_a_foreign_name_is_refused_from_the_first_day(bench: Bench) -> None:
    with _running(bench, "start", "shop") as (process, ready):
        assert _request(ready["url"], "/api/statuses", host="evil.example")[0] == 403
        assert _ended(process, signal.SIGTERM) == 0


def test_a_second_engine_is_refused_naming_the_first(bench: Bench) -> None:
    with _running(bench, "start", "shop") as (process, ready):
        second = bench.call("start", "shop")
        assert second.returncode == 4
        assert f"process {process.pid} at {ready['url']}" in second.stderr
        assert bench.call("engine", "shop").returncode == 4
        assert _ended(process, signal.SIGTERM) == 0
    with _running(bench, "start", "shop") as (process, _):
        assert _ended(process, signal.SIGTERM) == 0


def test_a_busy_port_names_its_owner(bench: Bench) -> None:
    with socket.socket() as owner:
        owner.bind(("127.0.0.1", 0))
        owner.listen()
        done = bench.call("start", "shop", "--port", str(owner.getsockname()[1]))
    assert done.returncode == 4
    assert str(os.getpid()) in done.stderr
    assert "--port" in done.stderr


def test_the_command_line_works_beside_a_running_server(bench: Bench) -> None:
    bench.pipeline("quick", "@data_loader\ndef run(*args, **kwargs):\n    print('seen')\n")
    with _running(bench, "start", "shop") as (process, ready):
        made = bench.call("schedules", "create", "quick", "-C", "shop", "--type", "api", "--json")
        assert made.returncode == 0, made.stderr
        run = bench.call("schedules", "trigger", str(json.loads(made.stdout)["id"]), "-C", "shop")
        assert "No engine" not in run.stderr
        identity = bench.triggered("quick")
        followed = bench.call("logs", identity, "-C", "shop", "-f")
        assert "seen" in followed.stdout
        answer = _request(ready["url"], f"/api/pipeline_runs/{identity}")[1]["pipeline_run"]
        assert answer["status"] == "completed"
        shown = bench.json("runs", "show", identity)
        for key in (
            "id",
            "status",
            "variables",
            "execution_date",
            "updated_at",
            "block_runs_count",
        ):
            assert shown[key] == answer[key]
        assert bench.call("run", "shop", "quick").returncode == 0, "`weft run` beside a server"
        assert _ended(process, signal.SIGTERM) == 0


def test_server_and_engine_work_apart(bench: Bench) -> None:
    bench.pipeline("quick", "@data_loader\ndef run(*args, **kwargs):\n    print('seen')\n")
    with (
        _running(bench, "server", "shop") as (server, ready),
        _running(bench, "engine", "shop") as (engine, _),
    ):
        identity = bench.triggered("quick")
        assert "seen" in bench.call("logs", identity, "-C", "shop", "-f").stdout
        answer = _request(ready["url"], f"/api/pipeline_runs/{identity}")[1]["pipeline_run"]
        assert answer["status"] == "completed"
        assert _ended(engine, signal.SIGTERM) == 0
        assert _ended(server, signal.SIGTERM) == 0


def test_a_run_is_cancelled_from_another_process(bench: Bench) -> None:
    code = SLOW.format(marker=str(bench.root / "begun"), seconds=90)
    bench.pipeline("slow", code)
    with _running(bench, "start", "shop") as (process, _):
        identity = bench.triggered("slow")
        with bench.start("logs", identity, "-C", "shop", "-f") as follower:
            assert follower.stdout is not None
            assert "begun" in follower.stdout.readline()
            cancelled = bench.call("runs", "cancel", identity, "-C", "shop", "--json")
            assert cancelled.returncode == 0, cancelled.stderr
            follower.communicate(timeout=60)
        shown = bench.json("runs", "show", identity)
        assert shown["status"] == "cancelled"
        assert _ended(process, signal.SIGTERM) == 0


def test_a_drained_run_is_handed_back_and_goes_on(bench: Bench) -> None:
    marker = bench.root / "begun"
    code = (
        "import threading\nfrom pathlib import Path\n"
        "@data_loader\ndef run(*args, **kwargs):\n"
        f"    if not Path({str(marker)!r}).exists():\n"
        f"        Path({str(marker)!r}).touch()\n"
        "        print('begun')\n"
        "        threading.Event().wait(90)\n"
        "    return 1\n"
    )
    bench.pipeline("slow", code)
    with _running(bench, "start", "shop") as (process, _):
        identity = bench.triggered("slow")
        with bench.start("logs", identity, "-C", "shop", "-f") as follower:
            assert follower.stdout is not None
            assert "begun" in follower.stdout.readline()
            assert _ended(process, signal.SIGTERM) == 0
            with _running(bench, "start", "shop") as (again, _):
                follower.communicate(timeout=60)
                shown = bench.json("runs", "show", identity)
                assert shown["status"] == "completed"
                assert _ended(again, signal.SIGTERM) == 0


def test_a_second_interruption_ends_at_once(bench: Bench) -> None:
    bench.pipeline("slow", SLOW.format(marker=str(bench.root / "begun"), seconds=90))
    bench.environment["WEFT_DRAIN_GRACE"] = "600"
    with (
        _running(bench, "start", "shop") as (process, _),
        bench.start("logs", bench.triggered("slow"), "-C", "shop", "-f") as follower,
    ):
        assert follower.stdout is not None
        assert "begun" in follower.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        while "draining" not in process.stderr.readline():
            pass
        assert _ended(process, signal.SIGINT) == 128 + signal.SIGINT
        follower.kill()


def test_the_demo_prints_what_the_api_returns(bench: Bench) -> None:
    done = bench.call("demo", "--once")
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)
    assert run["status"] == "completed"
    assert run["pipeline_schedule_type"] == "time"
    assert [block["status"] for block in run["block_runs"]] == ["completed"] * 4
    assert "load_titanic: completed" in done.stderr
    again = bench.call("demo", "--once")
    assert again.returncode == 0, again.stderr
    second = json.loads(again.stdout)
    assert second["id"] > run["id"]
    assert second["pipeline_schedule_id"] != run["pipeline_schedule_id"]


def test_a_demo_that_fails_says_so(bench: Bench) -> None:
    assert bench.call("init", "weft-demo").returncode == 0
    block = bench.root / "weft-demo" / "transformers" / "add_age_groups.py"
    code = "@transformer\ndef run(df, *args):\n    raise OSError('sunk')\n"
    block.write_text(code, encoding="utf-8")
    done = bench.call("demo", "--once")
    assert done.returncode == 1
    assert "OSError: sunk" in done.stderr
    assert json.loads(done.stdout)["status"] == "failed"


@pytest.fixture
def schema() -> Iterator[str]:
    """Yield the URL of an empty schema of its own; drop it at the end."""
    url = os.environ.get("WEFT_TEST_POSTGRES_URL")
    if not url:
        pytest.skip("WEFT_TEST_POSTGRES_URL is not set")
    psycopg = pytest.importorskip("psycopg")
    name = f"weft_{uuid.uuid4().hex[:12]}"
    yield f"{url}?weft_schema={name}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'DROP SCHEMA IF EXISTS "{name}" CASCADE')


@pytest.mark.postgres
def test_all_of_it_on_postgresql(bench: Bench, schema: str) -> None:
    bench.environment["WEFT_DATABASE_URL"] = schema
    bench.pipeline("quick", "@data_loader\ndef run(*args, **kwargs):\n    print('seen')\n")
    with (
        _running(bench, "server", "shop") as (server, ready),
        _running(bench, "engine", "shop") as (engine, _),
    ):
        identity = bench.triggered("quick")
        assert "seen" in bench.call("logs", identity, "-C", "shop", "-f").stdout
        answer = _request(ready["url"], f"/api/pipeline_runs/{identity}")[1]["pipeline_run"]
        assert answer["status"] == "completed"
        done = bench.call("run", "shop", "quick", "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["id"] > int(identity)
        assert _ended(engine, signal.SIGTERM) == 0
        assert _ended(server, signal.SIGTERM) == 0
    root = next((bench.root / ".weft").iterdir())
    assert not (root / "weft.db").exists()
