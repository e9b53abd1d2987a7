"""The data directory: one engine at a time, and its name for ever."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from weft.app.datadir import DataDir, holder, lock_engine, lock_run, take
from weft.core.errors import Conflict

HOLD = """
import sys
from pathlib import Path
from weft.app.datadir import DataDir, lock_engine
locks = lock_engine(DataDir(Path(sys.argv[1])), None)
for lock in locks:
    lock.note(url="http://127.0.0.1:6789")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def data(tmp_path: Path) -> DataDir:
    made = DataDir(tmp_path / "data")
    made.make()
    return made


def _holding(data: DataDir) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(data.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_engines_name_is_made_once(data: DataDir) -> None:
    names = iter(["one", "two"])
    assert data.engine_id(lambda: next(names)) == "one"
    assert data.engine_id(lambda: next(names)) == "one"


def test_a_name_that_was_never_written_is_made_again(data: DataDir) -> None:
    (data.root / "engine.id").touch()
    assert data.engine_id(lambda: "one") == "one"
    assert data.engine_id(lambda: "two") == "one"


def test_a_second_engine_is_refused_naming_the_first(data: DataDir) -> None:
    with _holding(data) as process:
        with pytest.raises(Conflict) as caught:
            lock_engine(data, None)
        assert f"process {process.pid} at http://127.0.0.1:6789" in str(caught.value)
        facts = holder(data.lock)
        assert facts is not None
        assert facts["pid"] == process.pid
        process.kill()
        process.wait()
        locks = lock_engine(data, None)
    assert len(locks) == 1
    for lock in locks:
        lock.release()
    assert holder(data.lock) is None


def test_two_data_directories_cannot_share_a_database_file(tmp_path: Path) -> None:
    database = tmp_path / "shared.db"
    one, two = DataDir(tmp_path / "one"), DataDir(tmp_path / "two")
    one.make()
    two.make()
    held = lock_engine(one, database)
    with pytest.raises(Conflict):
        lock_engine(two, database)
    again = take(two.lock)
    assert again is not None, "a refused engine keeps no lock"
    for lock in (*held, again):
        lock.release()


def test_runs_of_the_command_line_get_places_of_their_own(data: DataDir) -> None:
    first, number = lock_run(data)
    second, other = lock_run(data)
    assert (number, other) == (0, 1)
    first.release()
    third, freed = lock_run(data)
    assert freed == 0
    second.release()
    third.release()


def test_only_its_owner_may_look_inside(data: DataDir) -> None:
    assert data.root.stat().st_mode & 0o077 == 0
