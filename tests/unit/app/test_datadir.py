"""The data directory: one engine per slot, and its name for ever."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from weft.app.datadir import DataDir, holder, lock_engine, lock_run, take
from weft.core.errors import Conflict
from weft.core.ids import EngineId

HOLD = """
import sys
from pathlib import Path
from weft.app.datadir import DataDir, lock_engine
data = DataDir(Path(sys.argv[1]))
seat = lock_engine(data, data.root / "weft.db" if sys.argv[2] == "sqlite" else None)
seat.note(url="http://127.0.0.1:6789")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def data(tmp_path: Path) -> DataDir:
    made = DataDir(tmp_path / "data")
    made.make()
    return made


def _holding(data: DataDir, database: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(data.root), database],
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


def test_a_second_engine_on_sqlite_is_refused_naming_the_first(data: DataDir) -> None:
    database = data.root / "weft.db"
    with _holding(data, "sqlite") as process:
        with pytest.raises(Conflict) as caught:
            lock_engine(data, database)
        assert f"process {process.pid} at http://127.0.0.1:6789" in str(caught.value)
        facts = holder(data.lock())
        assert facts is not None
        assert facts["pid"] == process.pid
        process.kill()
        process.wait()
        seat = lock_engine(data, database)
    assert (seat.slot, len(seat.locks)) == (0, 1)
    seat.release()
    assert holder(data.lock()) is None


def test_two_data_directories_cannot_share_a_database_file(tmp_path: Path) -> None:
    database = tmp_path / "shared.db"
    one, two = DataDir(tmp_path / "one"), DataDir(tmp_path / "two")
    one.make()
    two.make()
    held = lock_engine(one, database)
    with pytest.raises(Conflict):
        lock_engine(two, database)
    again = take(two.lock())
    assert again is not None, "a refused engine keeps no lock"
    held.release()
    again.release()


def test_engines_on_a_server_take_the_lowest_free_slot(data: DataDir) -> None:
    with _holding(data, "server") as process:
        second, third = lock_engine(data, None), lock_engine(data, None)
        assert (second.slot, third.slot) == (1, 2)
        second.release()
        again = lock_engine(data, None)
        assert again.slot == 1
        process.kill()
        process.wait()
        first = lock_engine(data, None)
    assert first.slot == 0
    assert [seat.locks[0].path.name for seat in (first, again, third)] == [
        "engine.lock",
        "engine-1.lock",
        "engine-2.lock",
    ]
    for seat in (first, again, third):
        seat.release()


def test_each_slot_has_a_name_of_its_own(data: DataDir) -> None:
    names = iter(["one", "two", "three"])
    assert data.engine_id(lambda: next(names)) == "one"
    assert data.engine_id(lambda: next(names), 1) == "two"
    assert data.engine_id(lambda: next(names), 1) == "two"
    assert (data.root / "engine-1.id").read_text(encoding="ascii") == "two\n"
    assert [data.houses(EngineId(name)) for name in ("one", "two", "two-run-3", "three")] == [
        True,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(("first", "second"), [("sqlite", None), ("server", "weft.db")])
def test_engines_of_two_databases_never_mix_their_logs(
    data: DataDir, first: str, second: str | None
) -> None:
    with _holding(data, first) as process:
        with pytest.raises(Conflict, match=f"process {process.pid} at"):
            lock_engine(data, data.root / second if second else None)
        process.kill()


def test_an_engine_on_sqlite_sees_the_higher_slots_too(data: DataDir) -> None:
    first, second = lock_engine(data, None), lock_engine(data, None)
    first.release()
    with pytest.raises(Conflict, match=f"process {os.getpid()}"):
        lock_engine(data, data.root / "weft.db")
    second.release()
    lock_engine(data, data.root / "weft.db").release()


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
