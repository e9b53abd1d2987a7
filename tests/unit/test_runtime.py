"""What the runtime says of blocks that go wrong, and what it measures of those that do not."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import textwrap
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.attempts import Bench, no_questions

from weft.core.states import Cause
from weft.wire.envelope import Input
from weft.wire.result import Completed, Errored
from weft.worker import runtime


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


class TestFaults:
    def test_the_traceback_has_the_users_lines_and_none_of_ours(self, bench: Bench) -> None:
        code = """
            @data_loader
            def f():
                return divide(1)

            def divide(n):
                return n / 0  # the culprit
        """
        error = bench.errored(code).error
        assert error["error"] == "division by zero"
        assert error["type"] == "ZeroDivisionError"
        assert error["where"] == "data_loaders/block.py:7"
        assert "return n / 0  # the culprit" in error["message"]
        assert 'File "data_loaders/block.py", line 4, in f' in error["message"]
        assert "weft" not in error["message"]
        assert "".join(error["errors"]) == error["message"]

    def test_chained_exceptions_are_kept_and_cut_too(self, bench: Bench) -> None:
        code = """
            @data_loader
            def f():
                try:
                    {}['key']
                except KeyError as first:
                    raise ValueError('second') from first
        """
        message = bench.errored(code).error["message"]
        assert message.index("KeyError: 'key'") < message.index("ValueError: second")
        assert "direct cause" in message
        assert "runtime.py" not in message

    def test_frames_of_libraries_below_the_users_are_kept(self, bench: Bench) -> None:
        error = bench.errored("import json\n@data_loader\ndef f(): json.loads('{')").error
        assert "json/decoder.py" in error["message"]
        assert error["where"] == "data_loaders/block.py:3"

    def test_an_async_block_shows_no_frames_of_the_loop(self, bench: Bench) -> None:
        error = bench.errored("@data_loader\nasync def f(): raise ValueError('x')").error
        assert "asyncio" not in error["message"]
        assert error["where"] == "data_loaders/block.py:2"

    def test_members_of_an_exception_group_are_told(self, bench: Bench) -> None:
        code = "@data_loader\ndef f(): raise ExceptionGroup('all', [ValueError('inner')])"
        assert "inner" in bench.errored(code).error["message"]

    def test_an_exception_in_a_module_of_the_project_is_placed(self, bench: Bench) -> None:
        bench.envelope("")
        (bench.path / "shop" / "broken_piece.py").write_text("x = 1\nraise LookupError('there')\n")
        error = bench.errored("import broken_piece").error
        assert error["where"] == "data_loaders/block.py:1"
        assert 'File "broken_piece.py", line 2' in error["message"]

    @pytest.mark.parametrize(
        ("code", "where"),
        [
            ("x = 1\ndef f(:\n    pass\n", "data_loaders/block.py:2:7"),
            ("  indented = 1\n", "data_loaders/block.py:1:2"),
        ],
    )
    def test_a_syntax_error_is_final_and_located(self, bench: Bench, code: str, where: str) -> None:
        envelope = replace(bench.envelope(""), code=code)
        result = runtime.execute(envelope, ask=no_questions)
        assert isinstance(result, Errored)
        assert result.final
        assert result.error["where"] == where
        assert "weft" not in result.error["message"]

    @pytest.mark.parametrize("code", ["\x89PNG\r\n\x1a\n\x00\x00", "caf\udce9 = 1", "ÿþ@"])
    def test_a_block_that_is_not_python_is_final(self, bench: Bench, code: str) -> None:
        result = bench.errored(code)
        assert result.final
        json.dumps(result.error).encode("ascii")
        assert "\x00" not in result.error["message"]

    def test_a_syntax_error_in_another_file_may_be_tried_again(self, bench: Bench) -> None:
        assert not bench.errored("compile('(', 'other.py', 'exec')").final

    def test_a_block_without_its_file_is_final(self, bench: Bench) -> None:
        result = bench.errored(None)
        assert result.final
        assert "does not exist" in result.error["error"]

    def test_an_unknown_language_names_those_there_are(self, bench: Bench) -> None:
        assert "python" in str(bench.errored("x", language="cobol").error["error"])


class TestBadBlocks:
    @pytest.mark.parametrize(
        ("raised", "kind", "text"),
        [
            ("raise SystemExit(3)", "SystemExit", "sys.exit(3)"),
            ("import sys; sys.exit()", "SystemExit", "sys.exit(None)"),
            ("raise KeyboardInterrupt", "KeyboardInterrupt", "KeyboardInterrupt"),
            ("raise GeneratorExit", "GeneratorExit", "GeneratorExit"),
            ("raise Own('mine')", "Own", "mine"),
            ("raise Mute()", "Mute", "cannot be shown"),
            ("raise ValueError('a\\x00b\\ud800')", "ValueError", "a\\x00b\\ud800"),
            ("raise ValueError('x' * 10**6)", "ValueError", "[...]"),
        ],
    )
    def test_whatever_is_raised_is_told(
        self, bench: Bench, raised: str, kind: str, text: str
    ) -> None:
        code = "class Own(BaseException): pass\nclass Mute(Exception):\n"
        code += "    def __str__(self): raise RuntimeError('no')\n"
        code += f"@data_loader\ndef f(): {raised}\n"
        result = bench.errored(code)
        assert result.error["type"] == kind
        assert text in result.error["error"]
        assert result.cause is Cause.USER
        assert len(json.dumps(result.error)) < 200_000

    def test_endless_recursion_is_told_in_few_lines(self, bench: Bench) -> None:
        code = "@data_loader\ndef f(): return g()\ndef g(): return h()\ndef h(): return g()"
        error = bench.errored(code).error
        assert error["type"] == "RecursionError"
        assert len(error["errors"]) <= 201

    def test_memory_exhausted_is_its_own_cause(self, bench: Bench) -> None:
        result = bench.errored("@data_loader\ndef f(): return bytearray(1 << 62)")
        assert result.cause is Cause.OUT_OF_MEMORY
        assert result.error["where"] == "data_loaders/block.py:2"

    @pytest.mark.parametrize(
        ("place", "where"), [("pass", "block.py:13"), ("global kept", "block.py")]
    )
    def test_memory_exhausted_is_told_even_when_none_is_left(
        self, tmp_path: Path, place: str, where: str
    ) -> None:
        script = f"""
            import resource, sys
            from pathlib import Path
            from tests.attempts import Bench, no_questions
            from weft.worker import runtime
            bench = Bench(Path({str(tmp_path)!r}))
            runtime.warm()
            envelope = bench.envelope('''
            @data_loader
            def f():
                {place}
                kept = []
                for size in (1 << 24, 1 << 16, 1 << 10, 64):
                    try:
                        while True:
                            kept.append(bytearray(size))
                    except MemoryError:
                        pass
                while True:
                    kept.append(bytearray(64))
            ''')
            limit = 400 << 20
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
            result = runtime.execute(envelope, ask=no_questions)
            print(type(result).__name__, result.cause.value, result.error['where'])
        """
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script)],
            capture_output=True,
            text=True,
            check=False,
            cwd=Path(__file__).parents[2],
        )
        kind, cause, told = done.stdout.split()
        assert (kind, cause) == ("Errored", "out_of_memory"), done.stderr
        assert where in told

    @pytest.mark.parametrize(
        ("returned", "kind"),
        [
            ("lambda: 1", "function"),
            ("threading.Lock()", "_thread.lock"),
            ("__import__('sys').__stdout__", "TextIOWrapper"),
            ("{'rows': (n for n in [1])}", "dict"),
            ("circle()", "dict"),
            ("Local()", "block:block.Local"),
            ("Local", "type"),
            ("deep()", "list"),
        ],
    )
    def test_what_cannot_be_stored_is_named(self, bench: Bench, returned: str, kind: str) -> None:
        code = f"""
            import threading
            class Local: pass
            def circle():
                a = {{}}
                a['a'] = [a]
                return a
            def deep():
                a = []
                for _ in range(100_000):
                    a = [a]
                return a
            @data_loader
            def f(): return 1, {returned}
        """
        result = bench.errored(code)
        error = result.error["error"]
        assert result.error["type"] == "Unstorable"
        assert "Block block: output_1 is a" in error
        assert kind in error
        assert "Return a table" in error
        assert not list(bench.path.rglob("*.tmp"))

    def test_binary_on_stdout_is_logged_as_text(self, bench: Bench) -> None:
        bench.completed(
            r"""
            import sys
            @data_loader
            def f():
                sys.stdout.buffer.write(b'\xff\xfe\x00ok\n')
                return 1
            """
        )
        assert bench.messages() == ["\ufffd\ufffd\x00ok"]

    def test_a_block_that_forks_is_told_once(self, bench: Bench) -> None:
        code = """
            import os
            @data_loader
            def f():
                pid = os.fork()
                if pid == 0:
                    return 'copy' * 2000, 'and more' * 1000
                os.waitpid(pid, 0)
                return 'original' * 1000
        """
        script = f"""
            from pathlib import Path
            from tests.attempts import Bench
            bench = Bench(Path({str(bench.path)!r}))
            print(bench.values({textwrap.dedent(code)!r}))
        """
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script)],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[2],
        )
        assert done.stdout == f"['{'original' * 1000}']\n"
        assert [path.name for path in (bench.path / "out" / "1").iterdir()] == ["output_0.json"]

    def test_a_full_or_forbidden_disk_is_told(self, bench: Bench) -> None:
        envelope = bench.envelope("@data_loader\ndef f(): return 'x' * 5000")
        Path(envelope.output_dir).parent.mkdir(exist_ok=True)
        Path(envelope.output_dir).write_text("a file where a folder belongs")
        result = runtime.execute(envelope, ask=no_questions)
        assert isinstance(result, Errored)
        assert result.error["type"] == "FileExistsError"
        assert "could not be kept" in bench.messages()[-1]

    def test_a_log_that_cannot_be_opened_is_told(self, bench: Bench) -> None:
        envelope = bench.envelope("@data_loader\ndef f(): return 1")
        Path(envelope.log_path).mkdir(parents=True)
        result = runtime.execute(envelope, ask=no_questions)
        assert isinstance(result, Errored)
        assert result.error["type"] == "IsADirectoryError"

    def test_the_fault_is_in_the_log_with_its_stack(self, bench: Bench) -> None:
        bench.errored("@data_loader\ndef f(): raise ValueError('bad')")
        line = bench.lines()[-1]
        assert (line["level"], line["message"]) == ("ERROR", "ValueError: bad")
        assert line["error"] == "bad"
        assert "ValueError: bad" in line["error_stacktrace"]


class TestStopping:
    def test_a_waiting_sensor_ends_at_once(self, bench: Bench) -> None:
        stopping = threading.Event()
        envelope = bench.envelope("@sensor\ndef f(): return False", type="sensor")
        results: list[Any] = []
        looking = threading.Thread(
            target=lambda: results.append(
                runtime.execute(envelope, ask=no_questions, stopping=stopping)
            )
        )
        looking.start()
        stopping.set()
        looking.join(30)
        assert not looking.is_alive()
        assert results[0].error["type"] == "Stopped"
        assert results[0].cause is Cause.CANCELLED


class TestAround:
    def test_metrics_are_measured(self, bench: Bench) -> None:
        code = """
            import pandas
            @data_loader
            def f(): return pandas.DataFrame({'a': range(10)}), 'text'
        """
        metrics = bench.completed(code).metrics
        assert metrics["rows_out"] == 10
        assert metrics["bytes_out"] > 0
        assert metrics["cpu_seconds"] > 0
        assert metrics["peak_memory_bytes"] > 1 << 20

    def test_a_failed_block_has_its_costs_too(self, bench: Bench) -> None:
        assert bench.errored("raise ValueError").metrics["peak_memory_bytes"] > 1 << 20

    def test_the_process_is_left_as_it_was(self, bench: Bench) -> None:
        before = (sys.stdout, sys.stderr, sys.path[:], logging.getLogger().handlers[:])
        modules = set(sys.modules)
        bench.errored("import sys\nsys.path.insert(0, '/x')\nraise ValueError")
        assert (sys.stdout, sys.stderr, sys.path, logging.getLogger().handlers) == before
        assert not [name for name in set(sys.modules) - modules if name.startswith("block:")]

    def test_outputs_are_whole_under_the_directory_of_the_attempt(self, bench: Bench) -> None:
        [output] = bench.completed("@data_loader\ndef f(): return 'x' * 5000").outputs
        assert Path(output.uri).parent == bench.path / "out" / "1"
        assert output.bytes == Path(output.uri).stat().st_size
        assert [path.name for path in Path(output.uri).parent.iterdir()] == ["output_0.json"]

    def test_equal_values_have_equal_hashes(self, bench: Bench) -> None:
        one, two = (bench.completed("@data_loader\ndef f(): return 'x'").outputs for _ in "12")
        other = bench.completed("@data_loader\ndef f(): return 'y'").outputs
        assert one[0].content_hash == two[0].content_hash != other[0].content_hash

    def test_a_chain_of_frames_runs(self, bench: Bench) -> None:
        code = """
            import pandas as pd
            @data_loader
            def f(): return pd.DataFrame({'age': [1.0, None], 'name': ['a', 'b']})
        """
        loaded = Input("load", "data_loader", bench.completed(code, uuid="load").outputs)
        code = """
            @transformer
            def f(df, *args, **kwargs): return df.fillna(0)
            @test
            def t(df, *args): assert df is not None and df.age.notna().all()
        """
        tidy = bench.completed(code, type="transformer", inputs=(loaded,)).outputs
        code = "@data_exporter\ndef f(df): print(df.age.sum())"
        done = bench.completed(
            code, type="data_exporter", inputs=(Input("tidy", "transformer", tidy),)
        )
        assert isinstance(done, Completed)
        assert done.outputs == ()
        assert bench.messages() == ["1.0"]


def test_the_runtime_is_light() -> None:
    script = """
        import json, sys
        before = set(sys.modules)
        import weft.worker.runtime
        weft.worker.runtime.warm()
        names = set(sys.modules) - before
        others = {n for n in names if n.partition('.')[0] not in sys.stdlib_module_names}
        print(json.dumps(sorted(others)))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True
    )
    loaded = json.loads(done.stdout)
    heavy = {"pandas", "numpy", "pyarrow", "polars", "sqlalchemy", "fastapi", "asyncio", "duckdb"}
    assert not heavy & {name.partition(".")[0] for name in loaded}
    assert "weft.blocks.python" in loaded
    assert len(loaded) < 80
