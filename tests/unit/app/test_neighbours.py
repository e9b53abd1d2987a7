"""Engines of one database: refused beside one whose folder is out of reach."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from weft.app.datadir import DataDir
from weft.app.neighbours import FRESH, LogRoots, check_neighbours, warn_of_paths
from weft.core.errors import Conflict, Unavailable
from weft.core.ids import EngineId
from weft.ports.engines import EngineRow
from weft.ports.runs import EngineRef
from weft.ports.unit import Store

ME = EngineId("me")


def _row(name: str, data_dir: Path, *, live: bool = True) -> EngineRow:
    ref = EngineRef(EngineId(name), 1)
    return EngineRow(ref, datetime.now(UTC), "far", 7, live=live, data_dir=str(data_dir))


def _home(folder: Path, *names: str) -> Path:
    """Make a data directory with the names of engines in it."""
    data = DataDir(folder)
    data.make()
    for slot, name in enumerate(names):
        data.engine_id(lambda name=name: name, slot)  # type: ignore[misc]
    return folder


def test_engines_in_reach_are_counted(tmp_path: Path) -> None:
    shared, other = _home(tmp_path / "shared", "me", "two"), _home(tmp_path / "other", "three")
    rows = [_row("me", shared), _row("two", shared), _row("three", other)]
    assert check_neighbours(rows, ME, host="near") == 2


def test_a_run_of_the_command_line_lives_where_its_engine_does(tmp_path: Path) -> None:
    home = _home(tmp_path / "data", "one")
    assert check_neighbours([_row("one-run-3", home)], ME, host="near") == 1


def test_the_dead_are_nobodys_neighbours(tmp_path: Path) -> None:
    assert check_neighbours([_row("two", tmp_path / "gone", live=False)], ME, host="near") == 0


def test_a_folder_that_is_not_here_is_named_with_its_engine_and_host(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    with pytest.raises(Conflict) as caught:
        check_neighbours([_row("two", gone)], ME, host="near")
    said = str(caught.value)
    for part in ("engine two", "host far", str(gone), "host near", "no such folder"):
        assert part in said
    assert caught.value.hint is not None
    assert "WEFT_DATA_DIR" in caught.value.hint


def test_another_folder_of_the_same_name_is_no_shared_one(tmp_path: Path) -> None:
    home = _home(tmp_path / "data", "me")
    with pytest.raises(Conflict, match="is another one"):
        check_neighbours([_row("two", home)], ME, host="near")


def test_a_folder_that_may_not_be_read_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = _home(tmp_path / "data", "two")

    def closed(_self: Path) -> Iterator[Path]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", closed)
    with pytest.raises(Conflict, match="Permission denied"):
        check_neighbours([_row("two", home)], ME, host="near")


def test_a_project_at_another_path_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "weft.engine"):
        warn_of_paths("/same", "/same")
        assert caplog.text == ""
        warn_of_paths("/there", "/here")
    assert "/there" in caplog.text
    assert "/here" in caplog.text


@dataclass
class _Store:
    """A store of engine rows alone, which may be down."""

    rows: list[EngineRow] = field(default_factory=list)
    asked: int = 0
    down: bool = False

    @contextmanager
    def read(self) -> Iterator[Any]:
        self.asked += 1
        if self.down:
            raise Unavailable("down")
        yield SimpleNamespace(engines=SimpleNamespace(all=lambda: self.rows))


def test_the_others_folders_are_asked_for_now_and_then() -> None:
    store, now = _Store([_row("one", Path("/a")), _row("two", Path("/a"), live=False)]), [0.0]
    roots = LogRoots(cast("Store", store), lambda: now[0])
    assert roots() == (Path("/a/logs"),)
    store.rows.append(_row("three", Path("/b")))
    assert roots() == (Path("/a/logs"),)
    now[0] += FRESH
    assert roots() == (Path("/a/logs"), Path("/b/logs"))
    assert store.asked == 2


def test_the_folders_are_remembered_while_the_database_is_down() -> None:
    store, now = _Store([_row("one", Path("/a"))], down=True), [0.0]
    roots = LogRoots(cast("Store", store), lambda: now[0])
    assert roots() == ()
    store.down = False
    assert roots() == (Path("/a/logs"),)
    store.down = True
    now[0] += FRESH
    assert roots() == (Path("/a/logs"),)
