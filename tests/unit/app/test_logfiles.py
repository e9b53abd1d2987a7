"""Log files: whole lines only, torn ones kept, followed as they grow."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weft.app import logfiles
from weft.app.logfiles import LogFiles
from weft.core.ids import BlockRunId, RunId

RUN = RunId(7)


def _line(message: str, timestamp: float = 1.0) -> bytes:
    return (
        json.dumps({"timestamp": timestamp, "level": "INFO", "message": message}).encode() + b"\n"
    )


def test_each_attempt_has_a_file_of_its_own(tmp_path: Path) -> None:
    logs = LogFiles(tmp_path)
    paths = [logs.path(RUN, BlockRunId(b), a) for b, a in ((2, 1), (10, 1), (2, 2))]
    for path in paths:
        path.write_bytes(_line("x"))
    found = logs.files(RUN)
    assert [(log.block_run_id, log.attempt) for log in found] == [(2, 1), (2, 2), (10, 1)]
    assert {log.path for log in found} == set(paths)
    assert found[0].size == len(_line("x"))


def test_a_run_without_logs_has_none(tmp_path: Path) -> None:
    assert list(LogFiles(tmp_path).files(RUN)) == []


def test_foreign_files_are_passed_over(tmp_path: Path) -> None:
    logs = LogFiles(tmp_path)
    logs.path(RUN, BlockRunId(1), 1).with_name("notes.txt").write_text("x", encoding="utf-8")
    assert list(logs.files(RUN)) == []


def test_half_a_line_waits_for_its_other_half(tmp_path: Path) -> None:
    logs = LogFiles(tmp_path)
    path = logs.path(RUN, BlockRunId(1), 1)
    whole = _line("second")
    path.write_bytes(_line("first") + whole[:10])
    lines, offset = logs.read(path)
    assert [line["message"] for line in lines] == ["first"]
    path.write_bytes(_line("first") + whole)
    lines, offset = logs.read(path, offset)
    assert [line["message"] for line in lines] == ["second"]
    assert logs.read(path, offset) == ([], offset)


def test_a_torn_line_becomes_its_own_message(tmp_path: Path) -> None:
    logs = LogFiles(tmp_path)
    path = logs.path(RUN, BlockRunId(1), 1)
    path.write_bytes(b'{"message": "torn\n\xff\xfe\n[1]\n' + _line("good"))
    lines, _ = logs.read(path)
    assert lines[0]["message"] == '{"message": "torn'
    assert lines[2]["message"] == "[1]"
    assert lines[3]["message"] == "good"
    assert all(isinstance(line["timestamp"], float) for line in lines)


def test_a_file_that_is_gone_has_no_lines(tmp_path: Path) -> None:
    assert LogFiles(tmp_path).read(tmp_path / "gone.jsonl", 5) == ([], 5)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=40), max_size=20), st.integers(1, 64))
def test_reading_in_chunks_loses_nothing(messages: list[str], chunk: int) -> None:
    import tempfile  # noqa: PLC0415 - hypothesis and tmp_path do not mix

    before = logfiles._CHUNK
    logfiles._CHUNK = chunk
    try:
        with tempfile.TemporaryDirectory() as folder:
            logs = LogFiles(Path(folder))
            path = logs.path(RUN, BlockRunId(1), 1)
            path.write_bytes(b"".join(_line(message) for message in messages))
            lines, offset = logs.read(path)
            assert [line["message"] for line in lines] == messages
            assert offset == path.stat().st_size
    finally:
        logfiles._CHUNK = before


def test_following_tells_lines_of_all_attempts_in_order_of_time(tmp_path: Path) -> None:
    logs = LogFiles(tmp_path, pause=0.01)
    first, second = (logs.path(RUN, BlockRunId(n), 1) for n in (1, 2))
    first.write_bytes(_line("a", 1.0) + _line("c", 3.0))
    second.write_bytes(_line("b", 2.0))
    lines = logs.follow(RUN, None)
    assert [next(lines)["message"] for _ in range(3)] == ["a", "b", "c"]  # type: ignore[index]
    assert next(lines) is None
    with second.open("ab") as file:
        file.write(_line("d", 4.0))
    while (line := next(lines)) is None:
        pass
    assert line["message"] == "d"


def test_following_begins_before_there_is_anything(tmp_path: Path) -> None:
    logs = LogFiles(tmp_path, pause=0.01)
    heard: list[str] = []
    started, done = threading.Event(), threading.Event()

    def follow() -> None:
        for line in logs.follow(RUN, BlockRunId(2)):
            started.set()
            if line is not None:
                heard.append(line["message"])
                break
        done.set()

    thread = threading.Thread(target=follow)
    thread.start()
    assert started.wait(10)
    logs.path(RUN, BlockRunId(1), 1).write_bytes(_line("of another block"))
    logs.path(RUN, BlockRunId(2), 1).write_bytes(_line("mine"))
    assert done.wait(10)
    thread.join()
    assert heard == ["mine"]


def test_deleting_takes_the_run_and_no_other(tmp_path: Path) -> None:
    logs = LogFiles(tmp_path)
    logs.path(RUN, BlockRunId(1), 1).write_bytes(_line("x"))
    kept = logs.path(RunId(8), BlockRunId(1), 1)
    kept.write_bytes(_line("y"))
    logs.delete(RUN)
    logs.delete(RUN)
    assert list(logs.files(RUN)) == []
    assert kept.exists()


def test_logs_of_other_engines_are_found_followed_and_deleted(tmp_path: Path) -> None:
    there = LogFiles(tmp_path / "there")
    roots = [tmp_path / "here", tmp_path / "never"]
    here = LogFiles(tmp_path / "here", others=lambda: roots, pause=0.01)
    here.path(RUN, BlockRunId(1), 1).write_bytes(_line("a", 1.0))
    theirs = there.path(RUN, BlockRunId(1), 2)
    theirs.write_bytes(_line("b", 2.0))
    assert [log.attempt for log in here.files(RUN)] == [1]
    lines = here.follow(RUN, None)
    assert [next(lines), next(lines)][1] is None
    roots.append(tmp_path / "there")
    while (line := next(lines)) is None:
        pass
    assert line["message"] == "b"
    assert [log.path for log in here.files(RUN)][1] == theirs
    here.delete(RUN)
    assert not theirs.parent.exists()
    assert list(here.files(RUN)) == []


def test_one_folder_under_two_names_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "logs")
    logs = LogFiles(tmp_path / "logs", others=lambda: [tmp_path / "link"])
    path = logs.path(RUN, BlockRunId(1), 1)
    path.write_bytes(_line("x"))
    assert [log.path for log in logs.files(RUN)] == [path]


def test_a_folder_out_of_reach_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shut, listed = tmp_path / "shut", Path.iterdir

    def iterdir(path: Path) -> Iterator[Path]:
        if path.is_relative_to(shut):
            raise OSError(116, "Stale file handle")
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    logs = LogFiles(tmp_path / "here", others=lambda: [shut])
    logs.path(RUN, BlockRunId(1), 1).write_bytes(_line("x"))
    assert len(logs.files(RUN)) == 1
    assert len(logs.files(RUN)) == 1
    assert caplog.text.count("Stale file handle") == 1
