"""The product where the machine plays up: folders, disks, ports and databases that are wrong."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.projects import write_project
from tests.servers import Server

from weft.store.migrate import prepare

Weft = Callable[..., subprocess.CompletedProcess[str]]
GOOD = {"blocks": {"one": "return 40", "two": {"upstream": ["one"], "code": "return args[0] + 2"}}}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write_project(tmp_path / "shop", {"good": GOOD})


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def weft(tmp_path: Path, data: Path) -> Weft:
    def call(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("WEFT_", "MAGE_", "ENV"))}
        own = {"HOME": str(tmp_path), "WEFT_DATA_DIR": str(data), "WEFT_PRELOAD": ""}
        return subprocess.run(
            [sys.executable, "-m", "weft", *arguments],
            cwd=tmp_path,
            env={**kept, **own, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return call


def readable(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """One message: what, perhaps where, and what to do next; nothing else anywhere."""
    said = done.stderr
    assert (done.returncode, done.stdout) == (code, ""), said
    assert re.match(r"Error: .+\n", said), said
    assert 2 <= len(said.splitlines()) <= 3, said
    assert "Traceback" not in said
    assert "defect" not in said
    for word in words:
        assert word in said


COMMANDS = (
    ("run", "shop", "good"),
    ("start", "shop", "--port", "0"),
    ("engine", "shop"),
    ("schedules", "list", "-C", "shop"),
)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
class TestEveryCommand:
    def test_a_folder_that_is_no_project(
        self, project: Path, weft: Weft, command: tuple[str, ...]
    ) -> None:
        (project / "metadata.yaml").unlink()
        readable(weft(*command), 2, "is not a project", "weft init", "metadata.yaml")

    def test_a_data_directory_that_cannot_be_made(
        self, project: Path, weft: Weft, tmp_path: Path, command: tuple[str, ...]
    ) -> None:
        assert project.is_dir()
        (tmp_path / "file").touch()
        refused = weft(*command, WEFT_DATA_DIR=str(tmp_path / "file" / "data"))
        readable(refused, 6, str(tmp_path / "file" / "data"), "WEFT_DATA_DIR")

    @pytest.mark.parametrize("damage", ["garbage", "cut_short", "a_folder", "half_zero"])
    def test_a_damaged_database(
        self, project: Path, weft: Weft, data: Path, command: tuple[str, ...], damage: str
    ) -> None:
        assert project.is_dir()
        _made(data)
        file = data / "weft.db"
        whole = file.read_bytes()
        match damage:
            case "garbage":
                file.write_bytes(b"no database at all " * 1000)
            case "cut_short":
                file.write_bytes(whole[: len(whole) // 3])
            case "half_zero":
                file.write_bytes(whole[:100] + bytes(len(whole) - 100))
            case _:
                file.unlink()
                file.mkdir()
        readable(weft(*command), 6, "database", str(file))

    def test_a_database_of_a_newer_version(
        self, project: Path, weft: Weft, data: Path, command: tuple[str, ...]
    ) -> None:
        assert project.is_dir()
        _made(data)
        with closing(sqlite3.connect(data / "weft.db")) as link, link:
            link.execute("UPDATE schema_version SET version_num = '9999'")
        readable(weft(*command), 4, "9999", "newer Weft")


def _made(data: Path) -> None:
    data.mkdir()
    prepare(f"sqlite:///{data}/weft.db", upgrade=True)


def test_a_busy_port(project: Path, weft: Weft) -> None:
    assert project.is_dir()
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        readable(weft("start", "shop", "--port", port), 4, port, "--port")


def test_a_second_server_on_one_data_directory(project: Path, data: Path, weft: Weft) -> None:
    with Server(project, data, environment={"WEFT_PRELOAD": ""}) as server:
        for command in (("start", "shop", "--port", "0"), ("engine", "shop")):
            refused = weft(*command)
            readable(refused, 4, str(server.pid), str(server.port), "WEFT_DATA_DIR")
        assert server.ended(server.fire(server.trigger_of("good")))["status"] == "completed"
        assert weft("run", "shop", "good").returncode == 0, "a run beside it is fine"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("run", "shop", "godo"), 3, "good"),
        (("schedules", "create", "godo", "-C", "shop"), 3, "good"),
        (("schedules", "create", "good", "-C", "shop", "--interval", "61 * * * *"), 2, "61"),
        (("schedules", "trigger", "99", "-C", "shop"), 3, "weft schedules list"),
        (("schedules", "show", "99", "-C", "shop"), 3, "weft schedules list"),
        (("runs", "show", "99", "-C", "shop"), 3, "weft runs list"),
        (("logs", "99", "-C", "shop"), 3, "weft runs list"),
        (("settings", "-C", "shop"), 2, "512M"),
        (("run", "shop", "good"), 2, "WEFT_MEMORY_LIMIT"),
    ],
)
def test_a_slip_of_the_user(
    project: Path, weft: Weft, arguments: tuple[str, ...], code: int, words: str
) -> None:
    assert project.is_dir()
    limit = {"WEFT_MEMORY_LIMIT": "plenty"} if code == 2 and "--interval" not in arguments else {}
    readable(weft(*arguments, **limit), code, words)


@contextlib.contextmanager
def _small_disk(path: Path, options: str) -> Iterator[None]:
    """Mount a disk of its own at `path`; skips where that is not allowed."""
    path.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("this machine lets us mount nothing")
    try:
        yield
    finally:
        subprocess.run(["umount", str(path)], check=True, capture_output=True)


def test_a_full_disk_fails_the_block_and_no_other(project: Path, data: Path) -> None:
    big = {"blocks": {"big": "return 'x' * 8_000_000"}}
    write_project(project, {"good": GOOD, "big": big})
    with (
        _small_disk(data / "outputs", "size=2m"),
        Server(project, data, environment={"WEFT_PRELOAD": ""}) as server,
    ):
        failed = server.ended(server.fire(server.trigger_of("big")))
        error = failed["block_runs"][0]["metrics"]["error"]
        assert failed["status"] == "failed"
        assert "No space left on device" in error["error"]
        assert "weft/" not in str(error["errors"])
        assert server.ended(server.fire(server.trigger_of("good")))["status"] == "completed"


def test_a_data_directory_that_may_only_be_read(project: Path, data: Path, weft: Weft) -> None:
    assert project.is_dir()
    with _small_disk(data, "size=8m"):
        assert weft("run", "shop", "good").returncode == 0
        subprocess.run(["mount", "-o", "remount,ro", str(data)], check=True)
        for command in COMMANDS:
            readable(weft(*command), 6, str(data))


def test_a_data_directory_without_room(project: Path, data: Path, weft: Weft) -> None:
    assert project.is_dir()
    with _small_disk(data, "size=1m"):
        with (data / "fill").open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
        for command in COMMANDS:
            readable(weft(*command), 6, str(data))
        (data / "fill").unlink()
        assert weft("run", "shop", "good").returncode == 0
