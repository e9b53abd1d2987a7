"""Whatever dies, hangs, floods or forks: one true end is told, and nobody is left behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.jobs import PATIENCE, Desk, Ear, make_job, wait_gone

from weft.core.events import Failed, Lost, Started, Stopped, Succeeded
from weft.core.states import Cause
from weft.executors.process import ProcessExecutor
from weft.ports.executor import Job, Report

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's promises are Linux's")

Make = Callable[..., ProcessExecutor]

WAIT = "import threading; threading.Event().wait()"
"""A block's line that lasts until the block is ended."""


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def make(desk: Desk) -> Iterator[Make]:
    made: list[ProcessExecutor] = []

    def make_executor(**options: Any) -> ProcessExecutor:
        made.append(ProcessExecutor(desk, **{"ttl": 60, **options}))
        return made[-1]

    yield make_executor
    for executor in made:
        executor.close(grace=0)


@pytest.fixture
def executor(make: Make) -> ProcessExecutor:
    return make()


def run(executor: ProcessExecutor, job: Job) -> Report:
    """Run an attempt to its end; it must be told exactly once."""
    ear = Ear()
    executor.submit(job, ear)
    end = ear.end()
    assert ear.ends == [end]
    return end


def reason(end: Report) -> str:
    assert end.outcome.error is not None
    assert end.outcome.error["cause"] == end.outcome.cause
    return str(end.outcome.error["message"])


def log_lines(job: Job) -> list[dict[str, Any]]:
    text = Path(job.envelope.log_path).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def messages(job: Job) -> list[str]:
    return [line["message"] for line in log_lines(job)]


class TestDeaths:
    @pytest.mark.parametrize(
        ("body", "told"),
        [
            ("os.kill(os.getpid(), 9)", "killed by SIGKILL"),
            ("import ctypes; ctypes.string_at(0)", "killed by SIGSEGV"),
            ("os.abort()", "killed by SIGABRT"),
            ("os._exit(3)", "exited with code 3 without a report"),
            ("os._exit(0)", "exited with code 0 without a report"),
        ],
    )
    def test_a_child_that_dies_is_lost_for_a_named_reason(
        self, executor: ProcessExecutor, tmp_path: Path, body: str, told: str
    ) -> None:
        end = run(executor, make_job(tmp_path, body))
        assert end.event == Lost("block", 1, Cause.LOST)
        assert told in reason(end)
        assert end.outcome.metrics["peak_memory_bytes"] > 2**20

    def test_a_crash_leaves_its_stack_in_the_log(
        self, executor: ProcessExecutor, tmp_path: Path
    ) -> None:
        job = make_job(tmp_path, "import ctypes; ctypes.string_at(0)")
        run(executor, job)
        assert any("Segmentation fault" in message for message in messages(job))

    def test_sys_exit_fails_the_block(self, executor: ProcessExecutor, tmp_path: Path) -> None:
        end = run(executor, make_job(tmp_path, "import sys; sys.exit(3)"))
        assert end.event == Failed("block", 1, Cause.USER)

    def test_a_missing_project_folder_fails_the_block_for_good(
        self, executor: ProcessExecutor, tmp_path: Path
    ) -> None:
        end = run(executor, make_job(tmp_path, "return 1", project_path=str(tmp_path / "gone")))
        assert end.event == Failed("block", 1, Cause.USER, final=True)
        assert "gone" in reason(end)

    def test_threads_left_running_do_not_hold_the_end_up(
        self, executor: ProcessExecutor, desk: Desk, tmp_path: Path
    ) -> None:
        body = """
            import threading
            threading.Thread(target=threading.Event().wait).start()
            ask('tell', pid=os.getpid())
            return 1
        """
        end = run(executor, make_job(tmp_path, body))
        assert isinstance(end.event, Succeeded)
        wait_gone(desk.told()["pid"])

    def test_a_killed_zygote_takes_its_children_along_and_is_replaced(
        self, executor: ProcessExecutor, desk: Desk, tmp_path: Path
    ) -> None:
        ears = [Ear() for _ in range(3)]
        body = f"""
            import subprocess
            beyond = subprocess.Popen(['sleep', '600'])
            ask('tell', pids=[os.getpid(), beyond.pid], zygote=os.getppid())
            {WAIT}
        """
        for ear in ears:
            executor.submit(make_job(tmp_path, body), ear)
        told = [desk.told() for _ in ears]
        os.kill(told[0]["zygote"], signal.SIGKILL)
        for ear in ears:
            end = ear.end()
            assert end.event == Lost("block", 1, Cause.LOST)
            assert reason(end) == "the zygote was killed by SIGKILL"
        for tale in told:
            for pid in tale["pids"]:
                wait_gone(pid, timeout=2)
        after = run(executor, make_job(tmp_path, "return os.getppid()"))
        assert after.outcome.outputs[0].sample != told[0]["zygote"]

    def test_children_are_dead_when_the_loss_of_the_zygote_is_told(
        self, executor: ProcessExecutor, desk: Desk, tmp_path: Path
    ) -> None:
        alive: list[bool] = []
        ear = Ear()

        def report(told: Report) -> None:
            if not isinstance(told.event, Started):
                alive.append(_runs(pid))
            ear(told)

        body = f"ask('tell', pid=os.getpid(), zygote=os.getppid()); {WAIT}"
        executor.submit(make_job(tmp_path, body), report)
        told = desk.told()
        pid = told["pid"]
        os.kill(told["zygote"], signal.SIGKILL)
        ear.end()
        assert alive == [False]

    def test_an_interpreter_that_is_not_there_is_a_named_loss(
        self, make: Make, tmp_path: Path
    ) -> None:
        executor = make(python=str(tmp_path / "no-python"))
        end = run(executor, make_job(tmp_path, "return 1"))
        assert end.event == Lost("block", 1, Cause.LOST)
        assert "no-python" in reason(end)
        assert executor.warm(PATIENCE) is False


class TestEnding:
    def test_a_timeout_ends_a_busy_loop(self, executor: ProcessExecutor, tmp_path: Path) -> None:
        end = run(executor, make_job(tmp_path, "while True: pass", timeout=0.3))
        assert end.event == Failed("block", 1, Cause.TIMEOUT)
        assert "0.3 s" in reason(end)
        assert _seconds(end) < 2

    def test_a_timeout_spares_what_is_quicker(
        self, executor: ProcessExecutor, tmp_path: Path
    ) -> None:
        end = run(executor, make_job(tmp_path, "return 1", timeout=PATIENCE))
        assert isinstance(end.event, Succeeded)

    def test_who_ignores_the_asking_is_forced_after_the_grace(
        self, executor: ProcessExecutor, desk: Desk, tmp_path: Path
    ) -> None:
        ear = Ear()
        body = """
            import signal
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            ask('tell', pid=os.getpid())
            while True: pass
        """
        job = make_job(tmp_path, body, grace=0.5)
        executor.submit(job, ear)
        pid = desk.told()["pid"]
        began = time.monotonic()
        executor.stop(job.id)
        end = ear.end()
        assert 0.5 <= time.monotonic() - began < 6
        assert end.event == Stopped("block", 1)
        assert not _runs(pid)

    def test_who_listens_may_clean_up_in_the_grace(
        self, executor: ProcessExecutor, desk: Desk, tmp_path: Path
    ) -> None:
        ear = Ear()
        body = f"""
            import signal, sys
            signal.signal(signal.SIGTERM, lambda *_: sys.exit())
            try:
                ask('tell', here=True)
                {WAIT}
            finally:
                open('cleaned', 'w').close()
        """
        job = make_job(tmp_path, body, grace=PATIENCE)
        executor.submit(job, ear)
        desk.told()
        executor.stop(job.id)
        assert ear.end().event == Stopped("block", 1)
        assert (tmp_path / "cleaned").exists()

    def test_a_stop_right_after_the_submit_is_not_lost(
        self, executor: ProcessExecutor, tmp_path: Path
    ) -> None:
        executor.warm(PATIENCE)
        ears = [Ear() for _ in range(20)]
        for ear in ears:
            job = make_job(tmp_path, WAIT, grace=PATIENCE)
            executor.submit(job, ear)
            executor.stop(job.id)
        for ear in ears:
            assert ear.end(PATIENCE / 2).event == Stopped("block", 1)

    def test_who_waits_for_a_place_can_be_stopped(
        self, make: Make, desk: Desk, tmp_path: Path
    ) -> None:
        executor = make(max_children=1)
        first, second = Ear(), Ear()
        running = make_job(tmp_path, f"ask('tell', here=True); {WAIT}")
        waiting = make_job(tmp_path, "return 1")
        executor.submit(running, first)
        executor.submit(waiting, second)
        desk.told()
        executor.stop(waiting.id)
        assert second.end().event == Stopped("block", 1)
        assert len(second.heard) == 1
        executor.stop(running.id)
        assert first.end().event == Stopped("block", 1)

    def test_a_stopped_process_is_ended_too(
        self, executor: ProcessExecutor, desk: Desk, tmp_path: Path
    ) -> None:
        ear = Ear()
        job = make_job(tmp_path, f"ask('tell', pid=os.getpid()); {WAIT}", grace=PATIENCE)
        executor.submit(job, ear)
        os.kill(desk.told()["pid"], signal.SIGSTOP)
        executor.stop(job.id)
        assert ear.end(PATIENCE / 2).event == Stopped("block", 1)

    @pytest.mark.parametrize("new_session", [False, True])
    def test_what_a_block_started_ends_with_it(
        self, executor: ProcessExecutor, desk: Desk, tmp_path: Path, *, new_session: bool
    ) -> None:
        body = f"""
            import subprocess
            beyond = subprocess.Popen(['sleep', '600'], start_new_session={new_session})
            ask('tell', pid=beyond.pid)
            return 1
        """
        end = run(executor, make_job(tmp_path, body))
        assert isinstance(end.event, Succeeded)
        wait_gone(desk.told()["pid"], timeout=2)

    def test_what_left_the_group_ends_with_its_block_and_not_with_the_last_of_all(
        self, executor: ProcessExecutor, desk: Desk, tmp_path: Path
    ) -> None:
        long, ear = make_job(tmp_path, _ESCAPE + WAIT), Ear()
        executor.submit(long, ear)
        others = desk.told()["pids"]
        end = run(executor, make_job(tmp_path, _ESCAPE + "return 1"))
        assert isinstance(end.event, Succeeded)
        for pid in desk.told()["pids"]:
            wait_gone(pid, timeout=2)
        assert all(_runs(pid) for pid in others), "those of another block are its own"
        executor.stop(long.id)
        ear.end()
        for pid in others:
            wait_gone(pid, timeout=2)

    def test_what_left_the_group_ends_with_a_killed_zygote(
        self, executor: ProcessExecutor, desk: Desk, tmp_path: Path
    ) -> None:
        ear = Ear()
        executor.submit(make_job(tmp_path, _ESCAPE + WAIT), ear)
        told = desk.told()
        os.kill(told["zygote"], signal.SIGKILL)
        assert ear.end().event == Lost("block", 1, Cause.LOST)
        for pid in told["pids"]:
            wait_gone(pid, timeout=2)

    def test_what_a_block_started_is_dead_when_its_stop_is_told(
        self, executor: ProcessExecutor, desk: Desk, tmp_path: Path
    ) -> None:
        ear = Ear()
        body = f"""
            import subprocess
            beyond = subprocess.Popen(['sh', '-c', 'trap "" TERM; sleep 600 & wait; sleep 600'])
            ask('tell', pid=beyond.pid)
            {WAIT}
        """
        job = make_job(tmp_path, body)
        executor.submit(job, ear)
        pid = desk.told()["pid"]
        executor.stop(job.id)
        assert ear.end().event == Stopped("block", 1)
        assert not _runs(pid)

    def test_a_block_that_forks_and_returns_twice_ends_once(
        self, executor: ProcessExecutor, tmp_path: Path
    ) -> None:
        ear = Ear()
        executor.submit(make_job(tmp_path, "parent = os.getpid(); os.fork(); return parent"), ear)
        end = ear.end()
        assert isinstance(end.event, Succeeded)
        executor.close(grace=PATIENCE)
        assert [type(report.event) for report in ear.heard] == [Started, Succeeded]

    def test_a_forked_copy_cannot_ask_in_the_name_of_the_block(
        self, executor: ProcessExecutor, tmp_path: Path
    ) -> None:
        body = """
            from weft.core.errors import Conflict
            if (pid := os.fork()) == 0:
                try:
                    ask('echo')
                except Conflict:
                    os._exit(0)
                os._exit(1)
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        """
        end = run(executor, make_job(tmp_path, body))
        assert [output.sample for output in end.outcome.outputs] == [0]


class TestSilence:
    def test_children_of_a_silent_engine_are_ended_within_its_lease(
        self, make: Make, desk: Desk, tmp_path: Path
    ) -> None:
        executor = make(ttl=4.5)
        executor.warm(PATIENCE)
        executor.beat()
        ear = Ear()
        began = time.monotonic()
        executor.submit(make_job(tmp_path, f"ask('tell', pid=os.getpid()); {WAIT}"), ear)
        pid = desk.told()["pid"]
        wait_gone(pid)
        assert time.monotonic() - began < 4.5
        end = ear.end()
        assert end.event == Lost("block", 1, Cause.ENGINE)
        assert "silent" in reason(end)

    def test_beats_keep_children_alive(self, make: Make, desk: Desk, tmp_path: Path) -> None:
        executor = make(ttl=4.5)
        ear = Ear()
        body = """
            import threading
            for _ in range(25):
                ask('tell', beat=True)
                threading.Event().wait(0.1)
            return 1
        """
        executor.submit(make_job(tmp_path, body), ear)
        for _ in range(25):
            desk.told()
            executor.beat()
        assert isinstance(ear.end().event, Succeeded)

    def test_an_executor_serves_again_after_a_silence(self, make: Make, tmp_path: Path) -> None:
        executor = make(ttl=4.5)
        first = run(executor, make_job(tmp_path, WAIT))
        assert first.event == Lost("block", 1, Cause.ENGINE), first.outcome.error
        second = run(executor, make_job(tmp_path, "return 1"))
        assert isinstance(second.event, Succeeded)

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
    def test_a_dead_or_frozen_engine_leaves_nobody_behind(
        self, tmp_path: Path, number: signal.Signals
    ) -> None:
        with _engine(tmp_path, _ENGINE) as (process, pids):
            process.send_signal(number)
            for pid in pids:
                wait_gone(pid, timeout=3)

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
    def test_a_zygote_that_still_imports_goes_with_its_engine(
        self, tmp_path: Path, number: signal.Signals
    ) -> None:
        slow = tmp_path / "slow_library.py"
        slow.write_text(
            "import os, threading\nos.write(1, b'')\n"
            f"open({str(tmp_path / 'pid')!r} + '.part', 'w').write(str(os.getpid()))\n"
            f"os.rename({str(tmp_path / 'pid')!r} + '.part', {str(tmp_path / 'pid')!r})\n"
            "os.kill(os.getppid(), 10)\nthreading.Event().wait()\n"
        )
        with _engine(tmp_path, _IMPORTING_ENGINE) as (process, pids):
            process.send_signal(number)
            for pid in pids:
                wait_gone(pid, timeout=3)


class TestOutput:
    def test_raw_writes_and_subprocesses_are_in_the_log(
        self, executor: ProcessExecutor, tmp_path: Path
    ) -> None:
        body = """
            import subprocess
            os.write(1, b'raw out\\n')
            os.write(2, b'raw err\\n')
            subprocess.run(['echo', 'from a shell'], check=True)
            os.write(1, b'no newline')
        """
        job = make_job(tmp_path, body)
        run(executor, job)
        executor.close(grace=PATIENCE)
        lines = {line["message"]: line for line in log_lines(job)}
        assert {"raw out", "raw err", "from a shell", "no newline"} <= set(lines)
        assert lines["raw err"]["stream"] == "stderr"
        assert lines["raw out"]["block_run_id"] == job.envelope.block_run_id

    def test_raw_lines_are_there_when_the_end_is_told(
        self, executor: ProcessExecutor, tmp_path: Path
    ) -> None:
        job = make_job(tmp_path, "os.write(1, b'last\\n')")
        run(executor, job)
        assert "last" in messages(job)

    @pytest.mark.parametrize(
        ("body", "timeout", "level", "told"),
        [
            ("import os; os.write(1, b'half a line'); os._exit(3)", None, "WARNING", "code 3"),
            (WAIT, 0.5, "ERROR", "longer than 0.5 s"),
        ],
    )
    def test_the_log_ends_with_why_the_process_did(
        self,
        executor: ProcessExecutor,
        tmp_path: Path,
        body: str,
        timeout: float | None,
        level: str,
        told: str,
    ) -> None:
        job = make_job(tmp_path, body, timeout=timeout)
        run(executor, job)
        last = log_lines(job)[-1]
        assert last["level"] == level
        assert told in str(last["message"])
        assert last["block_uuid"] == job.envelope.block_uuid

    def test_twenty_thousand_lines_arrive_whole(
        self, executor: ProcessExecutor, tmp_path: Path
    ) -> None:
        job = make_job(tmp_path, "os.system('seq 20000')")
        assert isinstance(run(executor, job).event, Succeeded)
        executor.close(grace=PATIENCE)
        assert messages(job) == [str(number) for number in range(1, 20001)]

    def test_garbage_and_endless_lines_do_no_harm(
        self, executor: ProcessExecutor, tmp_path: Path
    ) -> None:
        body = "os.write(1, bytes(range(256)) * 1000 + b'\\n'); os.write(2, b'x' * 1_000_000)"
        job = make_job(tmp_path, body)
        assert isinstance(run(executor, job).event, Succeeded)
        executor.close(grace=PATIENCE)
        written = messages(job)
        assert sum(message.count("x") for message in written if set(message) == {"x"}) == 1_000_000
        assert any("�" in message for message in written)

    def test_a_log_that_cannot_be_written_does_not_hold_the_block_up(
        self, executor: ProcessExecutor, tmp_path: Path
    ) -> None:
        body = "os.unlink('log'); os.mkdir('log'); os.write(1, b'x' * 10**6)"
        job = make_job(tmp_path, body, log_path=str(tmp_path / "log"))
        assert isinstance(run(executor, job).event, Succeeded)


class TestMemory:
    def test_memory_over_the_limit_is_out_of_memory(
        self, executor: ProcessExecutor, tmp_path: Path
    ) -> None:
        job = make_job(tmp_path, "return len(bytearray(300 * 2**20))", memory_limit=100 * 2**20)
        end = run(executor, job)
        assert end.event == Failed("block", 1, Cause.OUT_OF_MEMORY)

    def test_memory_under_the_limit_is_free(
        self, executor: ProcessExecutor, tmp_path: Path
    ) -> None:
        job = make_job(tmp_path, "return len(bytearray(80 * 2**20))", memory_limit=100 * 2**20)
        assert isinstance(run(executor, job).event, Succeeded)

    def test_an_abort_for_want_of_memory_is_out_of_memory(
        self, executor: ProcessExecutor, tmp_path: Path
    ) -> None:
        body = "os.write(2, b'memory allocation of 99 bytes failed\\n'); os.abort()"
        end = run(executor, make_job(tmp_path, body, memory_limit=500 * 2**20))
        assert end.event == Failed("block", 1, Cause.OUT_OF_MEMORY)
        assert "500 MiB" in reason(end)

    def test_the_kernel_would_rather_kill_a_block_than_the_engine(
        self, executor: ProcessExecutor, tmp_path: Path
    ) -> None:
        end = run(executor, make_job(tmp_path, "return open('/proc/self/oom_score_adj').read()"))
        assert end.outcome.outputs[0].sample == "500\n"


class TestSurroundings:
    def test_a_child_has_its_own_group_folder_and_descriptors(
        self, executor: ProcessExecutor, tmp_path: Path
    ) -> None:
        body = """
            import sys
            names = [os.readlink(f'/proc/self/fd/{n}') for n in range(3)]
            own = os.getpgrp() == os.getsid(0) == os.getpid()
            kinds = sorted(os.readlink(f'/proc/self/fd/{n}').split(':')[0]
                           for n in os.listdir('/proc/self/fd')
                           if int(n) > 2 and os.path.exists(f'/proc/self/fd/{n}'))
            return {'own': own, 'cwd': os.getcwd(), 'stdin': names[0], 'others': kinds}
        """
        sample = run(executor, make_job(tmp_path, body)).outcome.outputs[0].sample
        assert sample["own"] is True
        assert sample["cwd"] == str(tmp_path)
        assert sample["stdin"] == "/dev/null"
        # The channel, the proof of life, the log; no descriptor of the zygote.
        assert [kind for kind in sample["others"] if kind in {"socket", "pipe"}] == [
            "pipe",
            "socket",
        ]
        assert "anon_inode" not in sample["others"]

    def test_thread_limits_of_the_import_are_taken_back(
        self, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OMP_NUM_THREADS", "3")
        monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
        executor = make(preload=["numpy", "no_such_library"])
        body = "return [os.environ.get('OMP_NUM_THREADS'), os.environ.get('MKL_NUM_THREADS')]"
        end = run(executor, make_job(tmp_path, body))
        assert [output.sample for output in end.outcome.outputs] == ["3", None]

    def test_children_draw_different_random_numbers(self, make: Make, tmp_path: Path) -> None:
        executor = make(preload=["numpy", "numpy.random"])
        body = """
            import random, sys
            assert 'numpy.random' in sys.modules
            import numpy
            return (random.random(), float(numpy.random.random()))
        """
        ends = [run(executor, make_job(tmp_path, body)) for _ in range(2)]
        drawn = {output.sample for end in ends for output in end.outcome.outputs}
        assert len(drawn) == 4

    def test_what_was_preloaded_is_there_in_every_child(self, make: Make, tmp_path: Path) -> None:
        executor = make(preload=["colorsys"])
        body = "import sys; return 'colorsys' in sys.modules"
        assert run(executor, make_job(tmp_path, body)).outcome.outputs[0].sample is True

    def test_a_broken_library_is_passed_over(
        self, make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: Any
    ) -> None:
        (tmp_path / "broken_library.py").write_text("raise RuntimeError('built wrongly')")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        executor = make(preload=["broken_library"])
        assert executor.warm(PATIENCE)
        assert isinstance(run(executor, make_job(tmp_path, "return 1")).event, Succeeded)
        assert "built wrongly" in caplog.text

    def test_recycling_gives_later_attempts_a_fresh_zygote(
        self, executor: ProcessExecutor, desk: Desk, tmp_path: Path
    ) -> None:
        old = Ear()
        body = "ask('tell', zygote=os.getppid()); import time; return [os.getppid()]"
        waiting = make_job(tmp_path, f"ask('tell', zygote=os.getppid()); {WAIT}")
        executor.submit(waiting, old)
        first = desk.told()["zygote"]
        executor.recycle()
        run(executor, make_job(tmp_path, body))
        assert desk.told()["zygote"] != first
        assert old.ends == []
        executor.stop(waiting.id)
        assert old.end().event == Stopped("block", 1)
        wait_gone(first)


class TestStrangers:
    """A zygote that is not what it should be, played by a script."""

    def test_a_zygote_of_another_version_is_refused(self, make: Make, tmp_path: Path) -> None:
        executor = make(python=_impostor(tmp_path, "say(Hello(pid=1, protocol=99))"))
        end = run(executor, make_job(tmp_path, "return 1"))
        assert end.event == Lost("block", 1, Cause.LOST)
        assert "protocol 99" in reason(end)

    def test_a_zygote_that_speaks_gibberish_is_refused(self, make: Make, tmp_path: Path) -> None:
        executor = make(python=_impostor(tmp_path, "link.sendall(b'\\0\\0\\0\\4oops')"))
        end = run(executor, make_job(tmp_path, "return 1"))
        assert end.event == Lost("block", 1, Cause.LOST)
        assert "cannot be understood" in reason(end)

    def test_a_report_with_a_wrong_token_is_refused(self, make: Make, tmp_path: Path) -> None:
        script = """
            say(Hello(pid=1))
            job, token = submitted()
            say(Started(job, 'guessed', 1, 1.0))
            say(Reported(job, 'guessed', 1.0, completed=Completed()))
            say(Died(job, token, 2.0, 'failed', Cause.USER, 'the true end', {}))
        """
        ear = Ear()
        make(python=_impostor(tmp_path, script)).submit(make_job(tmp_path, "return 1"), ear)
        assert reason(ear.end()) == "the true end"
        assert len(ear.heard) == 1

    def test_a_child_that_speaks_without_its_token_is_not_believed(
        self, executor: ProcessExecutor, tmp_path: Path
    ) -> None:
        body = """
            from weft.wire.frames import encode
            from weft.wire.messages import Reported
            from weft.wire.result import Completed
            channel = ask.__self__
            os.write(channel._fd, encode(Reported(channel._id, 'guessed', 1.0, Completed())))
            os._exit(0)
        """
        job = make_job(tmp_path, body)
        end = run(executor, job)
        assert end.event == Lost("block", 1, Cause.LOST)
        assert any("token" in message for message in messages(job))

    def test_a_child_that_spoils_its_channel_harms_itself_only(
        self, executor: ProcessExecutor, tmp_path: Path
    ) -> None:
        spoiled = make_job(tmp_path, "os.write(ask.__self__._fd, b'\\xff' * 4096); os._exit(0)")
        assert run(executor, spoiled).event == Lost("block", 1, Cause.LOST)
        assert isinstance(run(executor, make_job(tmp_path, "return 1")).event, Succeeded)

    def test_a_result_that_cannot_travel_fails_the_block(
        self, executor: ProcessExecutor, tmp_path: Path
    ) -> None:
        end = run(executor, make_job(tmp_path, "ask('echo', what=object())"))
        assert end.event == Failed("block", 1, Cause.USER)
        assert "travel" in reason(end)


_ESCAPE = """
import subprocess
script = 'setsid sleep 600 & echo $!; exec sleep 600'
beyond = subprocess.Popen(['sh', '-c', script], stdout=subprocess.PIPE, start_new_session=True)
pids = [beyond.pid, int(beyond.stdout.readline())]
ask('tell', pids=pids, zygote=os.getppid())
"""
"""Starts two programs in sessions of their own, one of them by another."""

_ENGINE = """
    from weft.executors.process import ProcessExecutor
    def answer(run_id, name, arguments):
        print(*arguments['pids'], flush=True)
    executor = ProcessExecutor(answer, ttl=1.5)
    job = make_job(Path(sys.argv[1]), '''
        import subprocess, threading
        beyond = subprocess.Popen(['sleep', '600'])
        ask('tell', pids=[os.getppid(), os.getpid(), beyond.pid])
        threading.Event().wait()
    ''')
    executor.submit(job, Ear())
    while True:
        executor.beat()
        threading.Event().wait(0.2)
"""
_IMPORTING_ENGINE = """
    from weft.executors.process import ProcessExecutor
    import signal
    importing = threading.Event()
    signal.signal(signal.SIGUSR1, lambda *_: importing.set())
    executor = ProcessExecutor(lambda *_: None, ttl=1.5, preload=['slow_library'])
    executor.warm(0)
    importing.wait()
    print((Path(sys.argv[1]) / 'pid').read_text(), flush=True)
    while True:
        executor.beat()
        threading.Event().wait(0.2)
"""


@contextlib.contextmanager
def _engine(folder: Path, script: str) -> Iterator[tuple[subprocess.Popen[str], tuple[int, ...]]]:
    """Run an engine of its own, which prints the processes that must not outlive it."""
    head = "import sys, threading\nfrom pathlib import Path\nfrom tests.jobs import *\n"
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", head + _dedent(script), str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": f"{root}:{folder}"},
    )
    try:
        assert process.stdout is not None
        yield process, tuple(int(word) for word in process.stdout.readline().split())
    finally:
        process.kill()
        process.communicate()


def _impostor(folder: Path, script: str) -> str:
    """Write an executable that takes the place of Python and plays a zygote."""
    path = folder / "impostor"
    head = f"""#!{sys.executable}
import socket, sys
from weft.core.states import Cause
from weft.wire.frames import Frames, encode
from weft.wire.messages import *
from weft.wire.result import Completed
link = socket.socket(fileno=int(sys.argv[-3]))
def say(message):
    link.sendall(encode(message))
def submitted():
    frames = Frames()
    while True:
        for message in frames.feed(link.recv(65536)):
            if isinstance(message, Submit):
                return message.id, message.envelope.token
"""
    path.write_text(f"{head}{_dedent(script)}\nlink.recv(1)\nwhile link.recv(65536): pass\n")
    path.chmod(0o755)
    return str(path)


def _dedent(text: str) -> str:
    lines = text.strip("\n").splitlines()
    margin = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
    return "\n".join(line[margin:] for line in lines)


def _runs(pid: int) -> bool:
    """Whether a process exists and has not ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def _seconds(end: Report) -> float:
    assert end.outcome.started_at is not None
    assert end.outcome.ended_at is not None
    return (end.outcome.ended_at - end.outcome.started_at).total_seconds()
