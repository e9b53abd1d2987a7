"""Hostile and unlucky users of the running product: each fault has a name, others go on."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import quote

import psutil
import pytest
from tests.projects import write_pipeline, write_project
from tests.servers import Server

NICE = "Größe ½"
"""A pipeline whose name, block and project are no plain ASCII words."""
FOREVER = "import threading; threading.Event().wait(3600)"
GOOD = {"blocks": {"one": "return 40", "two": {"upstream": ["one"], "code": "return args[0] + 2"}}}

FAILING: dict[str, tuple[dict[str, Any], str, str]] = {
    "not_python": ({"code": "def this is no Python ?!"}, "user", "is not valid Python"),
    "syntax_error": ({"code": "return (1,"}, "user", "was never closed"),
    "no_function": ({"code": "def f(): return 1"}, "user", "decorated function"),
    "raises": ({"code": "{}['drnk']"}, "user", "'drnk'"),
    "unstorable": ({"code": "return {'it': lambda: 1}"}, "user", "cannot be stored"),
    "too_deep": (
        {"code": "deep = {}\nfor _ in range(100_000): deep = {'in': [deep]}\nreturn deep"},
        "user",
        "nested too deeply",
    ),
    "contains_itself": ({"code": "a = {}\na['a'] = a\nreturn a"}, "user", "contains itself"),
    "memory": ({"code": "return len(bytearray(4 * 1024**3))"}, "out_of_memory", "memory"),
    "memory_by_and_by": (
        {"code": "kept = []\nwhile True: kept.append(bytearray(8 * 1024**2))"},
        "out_of_memory",
        "memory",
    ),
    "for_ever": ({"code": FOREVER, "timeout": 1}, "timeout", "longer than 1 s"),
    "busy_for_ever": ({"code": "while True: pass", "timeout": 1}, "timeout", "longer than 1 s"),
    "ignores_sigterm": (
        {
            "code": f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {FOREVER}",
            "timeout": 1,
        },
        "timeout",
        "longer than 1 s",
    ),
    "os_exit": ({"code": "import os; os._exit(3)"}, "lost", "exited with code 3"),
    "segfault": (
        {"code": "import ctypes; ctypes.string_at(0)"},
        "lost",
        "SIGSEGV in data_loaders/segfault.py:3",
    ),
    "sys_exit": ({"code": "import sys; sys.exit(4)"}, "user", "sys.exit(4)"),
    "fork_raises": ({"code": "import os; os.fork(); raise ValueError('twice')"}, "user", "twice"),
    "no_file": ({"code": None}, "user", "file does not exist"),
    "in_sql": ({"code": "select 1", "language": "sql"}, "user", "'sql'"),
    "wrong_arguments": ({"code": "@data_loader\ndef f(a, b): return a"}, "user", "missing"),
    "bad_message": (
        {"code": "class Bad(Exception):\n    def __str__(self): 1 / 0\nraise Bad"},
        "user",
        "Bad that cannot be shown",
    ),
    "half_a_character": ({"code": "raise ValueError('\\udc80\\x00 half')"}, "user", "half"),
    "a_novel": ({"code": "raise ValueError('long ' * 10_000_000)"}, "user", "long"),
}
"""Pipelines of one block that fails: the block, its cause, words of its error."""

COMPLETING: dict[str, dict[str, Any]] = {
    "garbage": {
        "code": """
            import os, sys
            os.write(1, bytes(range(256)) * 1000)
            sys.stdout.buffer.write(bytes(range(256)))
            print('last words')
        """
    },
    "hundred_megabytes": {
        "code": """
            import os
            line = b'x' * 99_999 + b'\\n'
            for _ in range(500):
                os.write(1, line)
            for _ in range(500):
                print('y' * 99_999)
            print('last words')
        """
    },
    "fork_returns_twice": {"code": "import os; os.fork(); return 1"},
    "multiprocessing": {
        "code": """
            import multiprocessing
            with multiprocessing.get_context('fork').Pool(2) as pool:
                return [sum(pool.map(abs, range(-5, 0)))]
        """
    },
    "leaves_processes": {
        "code": """
            import subprocess
            near = subprocess.Popen(['sleep', '631'])
            far = subprocess.Popen(['sleep', '632'], start_new_session=True)
            return {'pids': [near.pid, far.pid]}
        """
    },
    "closes_stdout": {"code": "import os; os.close(1); os.close(2); print('unheard'); return 1"},
    "threads": {
        "code": """
            import threading
            threading.Thread(target=threading.Event().wait).start()
            return 1
        """
    },
    "elsewhere": {
        "code": "import os; os.chdir('/'); os.environ.clear(); os.umask(0o777); return 1"
    },
    "no_output_folder": {
        "code": """
            import shutil
            shutil.rmtree(OUTPUTS + '/no_output_folder', ignore_errors=True)
            return 1
        """
    },
}  # fmt: skip
"""Pipelines of one block that does odd things and completes all the same."""


class Rough(Server):
    """A server whose project holds all of the above, and the runs it was asked for."""

    runs: dict[str, int]

    def fire_new(self, pipeline: str) -> int:
        return self.fire(self.trigger_of(quote(pipeline)))

    def completes(self, pipeline: str = "good") -> None:
        run = self.ended(self.fire_new(pipeline))
        assert run["status"] == "completed", run["block_runs"]

    def logged(self, block_run: int) -> str:
        return json.dumps(self.get(f"/api/block_runs/{block_run}/logs"), ensure_ascii=False)

    def weft(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "weft", *arguments],
            env=self.environment,
            cwd=self.project,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rough]:
    """A server on which all runs began; in the end it still works, and leaves nobody behind."""
    root = tmp_path_factory.mktemp("rough")
    project, data = root / "Größe ½ projet", root / "data ü"
    write_project(project)
    for name, (block, _, _) in FAILING.items():
        # Each has a file of its own, as blocks of one name share theirs.
        write_pipeline(project, name, {"blocks": {name: block}})
    for name, block in COMPLETING.items():
        code = block["code"].replace("OUTPUTS", repr(str(data / "outputs")))
        write_pipeline(project, name, {"blocks": {name: {**block, "code": code}}})
    write_pipeline(project, "good", GOOD)
    write_pipeline(project, NICE, {"blocks": {"ordner/erste größe": "return 'ü'"}})
    environment = {"WEFT_PRELOAD": "", "WEFT_MEMORY_LIMIT": "256M", "HOME": str(root)}
    with Rough(project, data, environment=environment) as server:
        server.runs = {name: server.fire_new(name) for name in (*FAILING, *COMPLETING, NICE)}
        yield server
        server.completes()
        ours = server.children()
    assert not [each for each in ours if each.is_running()]
    assert "Traceback" not in server.log.read_text()


@pytest.mark.parametrize("pipeline", FAILING)
def test_a_block_that_fails_names_its_cause(server: Rough, pipeline: str) -> None:
    _, cause, words = FAILING[pipeline]
    run = server.ended(server.runs[pipeline])
    assert run["status"] == "failed"
    (block,) = run["block_runs"]
    error = block["metrics"]["error"]
    assert (block["status"], error["cause"]) == ("failed", cause)
    assert words in error["error"]
    told = json.dumps(error)
    assert "weft/" not in told, "only the user's frames"
    assert len(told) < 200_000
    assert words in server.logged(block["id"]).replace("\\\\", "\\")


def test_a_block_for_another_executor_fails_by_name(server: Rough) -> None:
    write_pipeline(server.project, "on_k8s", {"blocks": {"k8s": {"executor_type": "k8s"}}})
    run = server.ended(server.fire_new("on_k8s"))
    assert run["status"] == "failed"
    error = run["block_runs"][0]["metrics"]["error"]
    assert error["error"] == "no executor is named 'k8s' (there is: local_python)"


@pytest.mark.parametrize("pipeline", [*COMPLETING, NICE])
def test_a_block_that_does_odd_things_completes(server: Rough, pipeline: str) -> None:
    run = server.ended(server.runs[pipeline])
    assert run["status"] == "completed", run["block_runs"]
    (block,) = run["block_runs"]
    server.get(f"/api/block_runs/{block['id']}/outputs")
    if "last words" in json.dumps(COMPLETING.get(pipeline, "")):
        assert "last words" in server.logged(block["id"])


def test_what_a_block_left_running_is_ended(server: Rough) -> None:
    run = server.ended(server.runs["leaves_processes"])
    outputs = server.get(f"/api/block_runs/{run['block_runs'][0]['id']}/outputs")["outputs"]
    pids = json.loads(outputs[0]["text_data"])["pids"]
    assert len(pids) == 2
    assert [pid for pid in pids if psutil.pid_exists(pid)] == []


def test_the_terminal_shows_a_failure_in_full(server: Rough) -> None:
    run = server.ended(server.runs["raises"])
    for words in (
        server.weft("logs", str(run["id"])).stdout,
        server.weft("run", str(server.project), "raises").stderr,
    ):
        assert "KeyError: 'drnk'" in words
        assert 'File "data_loaders/raises.py", line 3, in raises' in words
        assert "weft/" not in words.replace(str(server.data), "")


BROKEN = {
    "a_cycle": ("blocks:\n" + "".join(
        f"- {{uuid: {a}, type: transformer, upstream_blocks: [{b}]}}\n" for a, b in ("xy", "yx")
    ), "x --> y --> x"),
    "cut_short": ("name: x\nblocks:\n- uuid: [\n", "metadata.yaml:"),
    "a_bomb": (
        "a0: &a0 [x, x]\n"
        + "".join(f"a{n}: &a{n} [" + ", ".join([f"*a{n - 1}"] * 9) + "]\n" for n in range(1, 12)),
        "metadata.yaml:",
    ),
    "deep": ("blocks: " + "[" * 50_000, "metadata.yaml"),
    "binary": ("\x00\x01\x02", "metadata.yaml"),
    "a_tag": ("blocks: !!python/object/apply:os.system ['true']\n", "metadata.yaml:"),
    "itself": ("variables: &a {again: *a}\nblocks: []\n", "metadata.yaml:"),
    "a_list": ("- 1\n", "must hold a mapping"),
    "empty": ("", "empty"),
    "unknown_type": ("blocks:\n- {uuid: x, type: teleporter}\n", "teleporter"),
    "climbing": ("blocks:\n- {uuid: ../../x, type: data_loader}\n", "../../x"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_pipeline_broken_while_served_disturbs_no_other(server: Rough, name: str) -> None:
    text, words = BROKEN[name]
    metadata = write_pipeline(server.project, name, GOOD)
    trigger = server.trigger_of(name)
    whole = metadata.read_text()
    metadata.write_text(text)
    path = f"/api/pipeline_schedules/{trigger['id']}/pipeline_runs/{trigger['token']}"
    for method, asked in (("POST", path), ("GET", f"/api/pipelines/{name}")):
        status, answer = server.request(method, asked, {} if method == "POST" else None)
        assert status == http.client.UNPROCESSABLE_ENTITY
        assert answer["error"]["type"] == "broken_pipeline"
        assert words in json.dumps(answer["error"])
        assert "Traceback" not in json.dumps(answer)
    server.completes()
    listed = {item["uuid"] for item in server.get("/api/pipelines")["pipelines"]}
    assert {"good", name} <= listed
    metadata.write_text(whole)
    assert server.ended(server.fire(trigger))["status"] == "completed"


def test_a_block_file_that_is_no_text_is_located(server: Rough) -> None:
    write_pipeline(server.project, "no_text", {"blocks": {"no_text": "return 1"}})
    (server.project / "data_loaders/no_text.py").write_bytes(bytes(range(256)))
    status, answer = server.request("GET", "/api/pipelines/no_text")
    assert status == http.client.UNPROCESSABLE_ENTITY
    assert "data_loaders/no_text.py" in json.dumps(answer)


@pytest.mark.parametrize("kind", ["streaming", "integration"])
def test_a_type_that_cannot_run_is_refused(server: Rough, kind: str) -> None:
    write_pipeline(server.project, kind, {**GOOD, "type": kind})
    trigger = server.trigger_of(kind)
    path = f"/api/pipeline_schedules/{trigger['id']}/pipeline_runs/{trigger['token']}"
    status, answer = server.request("POST", path, {})
    assert status == http.client.UNPROCESSABLE_ENTITY
    assert kind in answer["error"]["message"]
    assert "type: python" in json.dumps(answer)
    ran = server.weft("run", str(server.project), kind)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert kind in ran.stderr
    assert len(ran.stderr.splitlines()) == 2


@pytest.mark.parametrize(
    ("vandal", "words"),
    [
        ("each.unlink()", "is gone"),
        ("each.write_bytes(b'{garbage')", "cannot read"),
        ("each.write_bytes(b'')", "cannot read"),
    ],
)
@pytest.mark.parametrize("value", ["{'a': 'x' * 9000}", "{1: 'x' * 9000}"], ids=["json", "pickle"])
def test_an_output_spoiled_between_blocks_is_named(
    server: Rough, vandal: str, words: str, value: str
) -> None:
    name = f"spoiled{abs(hash((vandal, value)))}"
    blocks = {
        f"{name}_source": f"return {value}",
        f"{name}_vandal": {
            "upstream": [f"{name}_source"],
            "code": f"""
                from pathlib import Path
                folder = Path({str(server.data)!r}, 'outputs', '{name}')
                for each in folder.rglob('output_0.*'): {vandal}
                return 1
            """,
        },
        f"{name}_reader": {
            "upstream": [f"{name}_source", f"{name}_vandal"],
            "code": "return args[0]",
        },
    }
    write_pipeline(server.project, name, {"blocks": blocks})
    run = server.ended(server.fire_new(name))
    statuses = [block["status"] for block in run["block_runs"]]
    assert statuses == ["completed", "completed", "failed"]
    error = run["block_runs"][2]["metrics"]["error"]["error"]
    assert words in error
    assert f"{name}_source" in error
    source = run["block_runs"][0]["id"]
    status, answer = server.request("GET", f"/api/block_runs/{source}/outputs")
    assert status in {http.client.OK, http.client.NOT_FOUND, http.client.CONFLICT}, answer
    assert "Traceback" not in json.dumps(answer)


def _raw(server: Server, head: str, *chunks: bytes) -> tuple[int, dict[str, Any]]:
    """Send bytes as they are; return status and body of the answer."""
    with closing(socket.create_connection(("127.0.0.1", server.port), timeout=20)) as link:
        link.sendall(head.encode() + f"Host: 127.0.0.1:{server.port}\r\n\r\n".encode())
        try:
            for chunk in chunks:
                link.sendall(chunk)
        except ConnectionError:
            pass  # refused before all was sent: the answer is there already
        answer = http.client.HTTPResponse(link)
        answer.begin()
        return answer.status, json.loads(answer.read())


def test_a_body_too_large_is_refused_before_it_is_read(server: Rough) -> None:
    trigger = server.trigger_of("good")
    path = f"/api/pipeline_schedules/{trigger['id']}/pipeline_runs/{trigger['token']}"
    post = f"POST {path} HTTP/1.1\r\nContent-Type: application/json\r\n"
    status, answer = _raw(server, f"{post}Content-Length: 99999999999\r\n", b"{")
    assert (status, answer["error"]["type"]) == (413, "too_large")
    chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    status, answer = _raw(server, f"{post}Transfer-Encoding: chunked\r\n", *[chunk] * 64)
    assert (status, answer["error"]["type"]) == (413, "too_large")
    status, answer = _raw(server, f"{post}Content-Length: 8\r\n", b'{"a": \xff}')
    assert (status, answer["error"]["type"]) == (400, "malformed")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("GET", "/api/pipelines/godo", None, 404, "good"),
        ("POST", "/api/pipelines/godo/pipeline_schedules", {"pipeline_schedule": {}}, 404, "godo"),
        ("POST", "/api/pipeline_schedules/99999/pipeline_runs/x", {}, 404, "99999"),
        ("POST", "/api/pipeline_schedules/{id}/pipeline_runs/wrong", {}, 401, "token"),
        ("POST", "/api/pipeline_schedules/{id}/pipeline_runs/{token}", [1], 422, "object"),
        (
            "POST",
            "/api/pipeline_schedules/{id}/pipeline_runs/{token}",
            {"pipeline_run": {"variables": [1]}},
            422,
            "variables",
        ),
        (
            "PUT",
            "/api/pipeline_schedules/{id}",
            {"pipeline_schedule": {"schedule_interval": "61 * * * *"}},
            422,
            "61",
        ),
        ("PUT", "/api/pipeline_schedules/{id}", {"pipeline_schedule": {"name": 5}}, 422, "name"),
        ("PUT", "/api/pipeline_schedules/{id}", {"pipeline_schedule": []}, 422, "object"),
    ],
)
def test_a_request_that_makes_no_sense_says_why(
    server: Rough, method: str, path: str, body: Any, status: int, words: str
) -> None:
    trigger = server.trigger_of("good")
    answered, answer = server.request(method, path.format_map(trigger), body)
    assert (answered, answer["status"]) == (status, status), answer
    assert answer["error"]["hint"], answer
    assert words in json.dumps(answer["error"])
    assert "Traceback" not in json.dumps(answer)
