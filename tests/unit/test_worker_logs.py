"""Lines of JSON: what is printed and logged, whole, in order, whatever it holds."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.worker.logs import PIECE, LineStream, LogWriter, captured


class Log:
    """A log being written, and what is in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.writer = LogWriter(str(path), {"block_uuid": "b", "pipeline_run_id": 7})
        self.stream = LineStream(self.writer, "stdout", 1)

    def lines(self) -> list[dict[str, Any]]:
        self.stream.finish()
        return [json.loads(line) for line in self.path.read_bytes().split(b"\n")[:-1]]

    def messages(self) -> list[str]:
        return [line["message"] for line in self.lines()]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    log = Log(tmp_path / "runs" / "7" / "b.log")
    yield log
    log.writer.close()


class TestPrinting:
    def test_a_line_has_its_time_level_message_and_tags(self, log: Log) -> None:
        before = time.time()
        print("hello", file=log.stream)
        [line] = log.lines()
        assert before <= line.pop("timestamp") <= time.time()
        assert line == {
            "level": "INFO",
            "message": "hello",
            "block_uuid": "b",
            "pipeline_run_id": 7,
        }

    def test_several_arguments_are_one_line(self, log: Log) -> None:
        print("a", 1, [2], file=log.stream)
        assert log.messages() == ["a 1 [2]"]

    def test_several_lines_are_several(self, log: Log) -> None:
        print("a\nb\r\nc", file=log.stream)
        assert log.messages() == ["a", "b", "c"]

    def test_blank_lines_are_left_out(self, log: Log) -> None:
        print("a\n\n   \nb", file=log.stream)
        assert log.messages() == ["a", "b"]

    def test_a_progress_bar_is_a_line_each_time_it_is_drawn(self, log: Log) -> None:
        for part in ("10%", "20%", "done\n"):
            log.stream.write("\r" + part)
        assert log.messages() == ["10%", "20%", "done"]

    def test_an_unfinished_line_is_written_at_the_end_only(self, log: Log) -> None:
        print(".", end="", flush=True, file=log.stream)
        print(".", end="", flush=True, file=log.stream)
        assert log.path.read_bytes() == b""
        assert log.messages() == [".."]

    def test_threads_do_not_mix_their_lines(self, log: Log) -> None:
        begun, done = threading.Event(), threading.Event()

        def slow() -> None:
            log.stream.write("one ")
            begun.set()
            assert done.wait(30)
            log.stream.write("line\n")

        thread = threading.Thread(target=slow)
        thread.start()
        assert begun.wait(30)
        print("another", file=log.stream)
        done.set()
        thread.join()
        assert log.messages() == ["another", "one line"]

    @pytest.mark.parametrize("letter", ["x", "ü", "\U0001f600"])
    def test_a_very_long_line_goes_on_in_the_next(self, log: Log, letter: str) -> None:
        text = letter * (PIECE * 2 + 100)
        print(text, file=log.stream)
        lines = log.lines()
        assert "".join(line["message"] for line in lines) == text
        assert all(len(line["message"].encode()) <= PIECE for line in lines)
        assert [line.get("continued", False) for line in lines] == [False] + [True] * (
            len(lines) - 1
        )

    def test_the_memory_of_an_endless_line_is_bounded(self, log: Log) -> None:
        for _ in range(100):
            log.stream.write("x" * 10_000)
        assert log.path.stat().st_size > 900_000
        print("end", file=log.stream)
        print("next", file=log.stream)
        lines = log.lines()
        assert "".join(log.messages()) == "x" * 1_000_000 + "endnext"
        assert [line.get("continued", False) for line in lines[:2]] == [False, True]
        assert ("continued" in lines[-2], "continued" in lines[-1]) == (True, False)

    def test_control_characters_and_surrogates_are_harmless(self, log: Log) -> None:
        print("nul \x00 esc \x1b[31m bell \x07 lone \ud800 sep \u2028", file=log.stream)
        [line] = log.path.read_bytes().splitlines()
        assert json.loads(line)["message"] == (
            "nul \x00 esc \x1b[31m bell \x07 lone \\ud800 sep \u2028"
        )

    @given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n")))
    def test_any_text_comes_back(self, text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
        log = Log(tmp_path_factory.mktemp("log") / "l")
        print(text, file=log.stream)
        assert "".join(log.messages()) == (text if text.strip() else "")
        log.writer.close()


class TestTheStream:
    def test_it_passes_for_a_console_that_is_none(self, log: Log) -> None:
        assert isinstance(log.stream, io.TextIOBase)
        assert log.stream.writable()
        assert not log.stream.isatty()
        assert (log.stream.fileno(), log.stream.encoding) == (1, "utf-8")
        log.stream.reconfigure(encoding="latin-1")
        log.stream.writelines(["a\n", "b\n"])
        assert log.messages() == ["a", "b"]

    def test_bytes_are_text_and_garbage_is_replaced(self, log: Log) -> None:
        log.stream.buffer.write("gr\u00fc".encode()[:3])
        log.stream.buffer.write("gr\u00fc".encode()[3:] + b"\xff\n")
        log.stream.buffer.write(memoryview(b"last \xc3"))
        assert log.messages() == ["gr\u00fc\ufffd", "last \ufffd"]

    def test_only_text_can_be_written(self, log: Log) -> None:
        with pytest.raises(TypeError, match="must be str"):
            log.stream.write(b"bytes")  # type: ignore[arg-type]


class TestLogging:
    def test_keywords_become_keys(self, log: Log) -> None:
        with captured(log.writer) as logger:
            logger.warning("loaded", rows=3, nested={"a": [1]})
            [line] = log.lines()
            assert (line["level"], line["message"]) == ("WARNING", "loaded")
            assert (line["rows"], line["nested"]) == (3, {"a": [1]})

    def test_the_attempts_own_tags_and_keys_win(self, log: Log) -> None:
        with captured(log.writer) as logger:
            logger.info("text", block_uuid="forged", level="X", timestamp="never")
            [line] = log.lines()
            assert (line["block_uuid"], line["level"], line["level_"]) == ("b", "INFO", "X")
            assert isinstance(line["timestamp"], float)

    @pytest.mark.parametrize("level", ["info", "warning", "error", "critical"])
    def test_every_level_has_its_name(self, log: Log, level: str) -> None:
        with captured(log.writer) as logger:
            getattr(logger, level)("done %s of %s", 1, 2)
            assert [(line["level"], line["message"]) for line in log.lines()] == [
                (level.upper(), "done 1 of 2")
            ]

    def test_debug_is_below_the_level(self, log: Log) -> None:
        with captured(log.writer) as logger:
            logger.debug("hidden", a=1)
            assert log.lines() == []

    def test_an_exception_brings_its_stack(self, log: Log) -> None:
        with captured(log.writer) as logger:
            try:
                int("bad")
            except ValueError as error:
                logger.exception("it broke", step=2)
                logger.exception("again", error=error)
            for line in log.lines():
                assert "'bad'" in line["error"]
                assert "ValueError: invalid literal" in line["error_stacktrace"]
                assert any("test_worker_logs.py" in frame for frame in line["error_stack"])

    def test_loggers_of_libraries_land_here_too(self, log: Log) -> None:
        with captured(log.writer):
            logging.getLogger("some.library").info("from below")
            logging.getLogger("some.library").debug("hidden")
            assert log.messages() == ["from below"]

    def test_a_value_that_cannot_be_shown_is_named(self, log: Log) -> None:
        with captured(log.writer) as logger:

            class Mute:
                def __str__(self) -> str:
                    raise RuntimeError("no")

            logger.info("text", what=Mute(), when=Path("a/b"))
            [line] = log.lines()
            assert line["when"] == "a/b"
            assert "Mute that cannot be shown" in line["what"]

    def test_a_key_that_is_a_circle_does_not_fail_the_block(self, log: Log) -> None:
        with captured(log.writer) as logger:
            circle: dict[str, Any] = {}
            circle["me"] = circle
            logger.info("text", what=circle)
            logger.info("after")
            assert log.messages()[-1] == "after"

    def test_a_key_that_is_no_number_stays_json(self, log: Log) -> None:
        with captured(log.writer) as logger:
            logger.info("text", loss=float("nan"))
        text = log.path.read_text()
        assert json.loads(text, parse_constant=pytest.fail)["loss"] == "nan"

    def test_a_bad_format_string_does_not_fail_the_block(self, log: Log) -> None:
        with captured(log.writer) as logger:
            logger.info("%d rows", "many")
            logger.info("after")
            assert log.messages()[-1] == "after"

    def test_what_python_itself_writes_is_lines(self, log: Log) -> None:
        with captured(log.writer):
            sys.stderr.write("file.py:1: DeprecationWarning: old\n")
            sys.stdout.write("out")
            sys.stderr.write("err\n")
        assert log.messages() == ["file.py:1: DeprecationWarning: old", "err", "out"]

    def test_everything_is_put_back(self, log: Log) -> None:
        before = (sys.stdout, sys.stderr, logging.getLogger().level)
        with captured(log.writer):
            assert sys.stdout is not before[0]
        assert (sys.stdout, sys.stderr, logging.getLogger().level) == before


def test_processes_that_write_to_one_log_do_not_mix(tmp_path: Path) -> None:
    script = """
        import sys
        from weft.worker.logs import LogWriter
        writer = LogWriter(sys.argv[1], {})
        for number in range(300):
            writer.write("INFO", sys.argv[2] * 500)
    """
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "log"), letter]
        )
        for letter in "abc"
    ]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    messages = [json.loads(line)["message"] for line in (tmp_path / "log").read_text().splitlines()]
    assert len(messages) == 900
    assert set(messages) == {letter * 500 for letter in "abc"}


def test_a_closed_log_refuses(tmp_path: Path) -> None:
    writer = LogWriter(str(tmp_path / "log"), {})
    writer.close()
    with pytest.raises(OSError, match=os.strerror(9)):
        writer.write("INFO", "late")
