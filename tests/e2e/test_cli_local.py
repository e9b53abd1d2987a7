"""The command line on a local project, as people use it: words, JSON, exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from weft.project.scaffold import create_project

Weft = Callable[..., subprocess.CompletedProcess[str]]

KEYS = [
    "backfill_id",
    "block_runs",
    "block_runs_count",
    "completed_at",
    "created_at",
    "event_variables",
    "execution_date",
    "id",
    "metrics",
    "passed_sla",
    "pipeline_schedule_id",
    "pipeline_schedule_name",
    "pipeline_schedule_token",
    "pipeline_schedule_type",
    "pipeline_uuid",
    "status",
    "updated_at",
    "variables",
]


def _environment(home: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("WEFT_", "MAGE_", "ENV"))}
    return {**kept, "HOME": str(home), "WEFT_PRELOAD": "", "WEFT_LEASE_TTL": "5"}


@pytest.fixture
def weft(tmp_path: Path) -> Weft:
    def call(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "weft", *arguments],
            cwd=tmp_path,
            env={**_environment(tmp_path), **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    return call


@pytest.fixture
def project(tmp_path: Path) -> Path:
    create_project(tmp_path / "shop", project_uuid="shop", with_example=False)
    return tmp_path / "shop"


def test_a_project_is_made_once(tmp_path: Path, weft: Weft) -> None:
    made = weft("init", "shop", "--json")
    assert made.returncode == 0, made.stderr
    assert _json(made) == {"path": str(tmp_path / "shop")}
    file = tmp_path / "shop" / "pipelines" / "example_pipeline" / "metadata.yaml"
    assert file.is_file()
    file.unlink()
    assert weft("init", "shop").returncode == 0
    assert not file.exists(), "a project that is there stays as it is"
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").touch()
    assert weft("init", "full").returncode == 4


def _pipeline(project: Path, name: str, blocks: Mapping[str, str]) -> None:
    """Write a chain of Python blocks, each with the given body."""
    folder = project / "pipelines" / name
    folder.mkdir(parents=True)
    lines, before = [f"name: {name}", f"uuid: {name}", "type: python", "blocks:"], None
    for uuid, body in blocks.items():
        kind = "data_loader" if before is None else "transformer"
        lines += [
            f"- uuid: {uuid}",
            f"  name: {uuid}",
            f"  type: {kind}",
            "  language: python",
            "  executor_type: local_python",
            f"  upstream_blocks: [{before or ''}]",
            "  downstream_blocks: []",
        ]
        argument = "" if before is None else "value, "
        code = "\n".join(f"    {line}" for line in body.splitlines())
        text = f"@{kind}\ndef run({argument}*args, **kwargs):\n{code}\n"
        (project / f"{kind}s" / f"{uuid}.py").write_text(text, encoding="utf-8")
        before = uuid
    (folder / "metadata.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _json(done: subprocess.CompletedProcess[str]) -> Any:
    return json.loads(done.stdout)


def test_a_run_completes_and_is_the_object_of_the_api(project: Path, weft: Weft) -> None:
    _pipeline(project, "sums", {"one": "return 40 + kwargs['more']", "two": "return value * 2"})
    done = weft("run", "shop", "sums", "--var", "more=2", "--json")
    assert done.returncode == 0, done.stderr
    run = _json(done)
    assert list(run)[: len(KEYS)] == KEYS
    assert run["status"] == "completed"
    assert [block["status"] for block in run["block_runs"]] == ["completed", "completed"]
    assert run["variables"]["more"] == 2
    assert "two: completed" in done.stderr
    listed = _json(weft("runs", "list", "-C", "shop", "--json"))
    assert [item["id"] for item in listed] == [run["id"]]
    assert _json(weft("schedules", "list", "-C", "shop", "--json")) == [], "its schedule is hidden"


def test_runtime_vars_are_those_of_mage(project: Path, weft: Weft) -> None:
    _pipeline(project, "echo", {"one": "print('year', kwargs['year'] + 1)"})
    done = weft("run", "shop", "echo", "--runtime-vars", '{"year": 1911}')
    assert done.returncode == 0, done.stderr
    assert "year 1912" in weft("logs", "1", "-C", "shop").stdout


def test_a_failing_block_fails_the_command_and_shows_why(project: Path, weft: Weft) -> None:
    _pipeline(project, "bad", {"one": "return 1", "two": "raise ValueError('no such ship')"})
    done = weft("run", "shop", "bad")
    assert done.returncode == 1
    assert "ValueError: no such ship" in done.stderr
    assert "transformers/two.py" in done.stderr
    assert "site-packages" not in done.stderr
    assert "weft/worker" not in done.stderr
    log = Path(done.stderr.split("Log: ")[1].splitlines()[0])
    assert log.is_file()
    assert "failed" in done.stdout
    shown = _json(weft("runs", "show", "1", "-C", "shop", "--json"))
    assert [block["status"] for block in shown["block_runs"]] == ["completed", "failed"]


def test_logs_are_the_stored_lines(project: Path, weft: Weft) -> None:
    _pipeline(project, "talk", {"one": "print('first')", "two": "print('second')"})
    weft("run", "shop", "talk")
    lines = [
        json.loads(line) for line in weft("logs", "1", "-C", "shop", "--json").stdout.splitlines()
    ]
    assert [line["block_uuid"] for line in lines if line["message"] in {"first", "second"}] == [
        "one",
        "two",
    ]
    only = weft("logs", "1", "-C", "shop", "--block", "two", "-f").stdout
    assert "second" in only
    assert "first" not in only
    assert weft("logs", "1", "-C", "shop", "--block", "three").returncode == 3


def test_an_interrupted_run_is_cancelled(project: Path, tmp_path: Path) -> None:
    _pipeline(project, "slow", {"one": "import threading\nthreading.Event().wait(90)"})
    process = subprocess.Popen(
        [sys.executable, "-m", "weft", "run", "shop", "slow", "--json"],
        cwd=tmp_path,
        env=_environment(tmp_path),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stderr is not None
        for line in process.stderr:
            if "one: running" in line:
                break
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 1, err
    run = json.loads(out)
    assert run["status"] == "cancelled"
    assert [block["status"] for block in run["block_runs"]] == ["cancelled"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("run", "shop", "nothing"), 3, "nothing"),
        (("run", "nowhere", "x"), 3, "weft init"),
        (("run", "shop", "x", "--var", "novalue"), 2, "name=value"),
        (("run", "shop", "x", "--runtime-vars", "{"), 2, "not valid JSON"),
        (("run", "shop", "x", "--runtime-vars", "[]"), 2, "no JSON object"),
        (("run", "shop", "x", "--block-uuid", "y"), 2, "--block-uuid"),
        (("run", "shop", "x", "--skip-sensors"), 2, "--skip-sensors"),
        (("runs", "show", "99", "-C", "shop"), 3, "99"),
        (("runs", "cancel", "99", "-C", "shop"), 3, "99"),
        (("schedules", "trigger", "99", "-C", "shop"), 3, "99"),
        (("schedules", "create", "nothing", "-C", "shop"), 3, "nothing"),
        (("start", "shop", "--host", "0.0.0.0"), 5, "SSH tunnel"),  # noqa: S104
        (("nonsense",), 2, "No such command"),
        (("run", "shop", "x", "--database-url", "mysql://a/b"), 2, "mysql"),
    ],
)
def test_a_mistake_is_one_message_and_an_honest_code(
    project: Path, weft: Weft, arguments: tuple[str, ...], code: int, words: str
) -> None:
    assert project.is_dir()
    done = weft(*arguments)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_broken_pipeline_names_file_and_line_and_disturbs_no_other(
    project: Path, weft: Weft
) -> None:
    _pipeline(project, "good", {"one": "return 1"})
    broken = project / "pipelines" / "broken"
    broken.mkdir()
    (broken / "metadata.yaml").write_text("blocks:\n- uuid: [\n", encoding="utf-8")
    done = weft("run", "shop", "broken")
    assert done.returncode == 2
    assert "pipelines/broken/metadata.yaml:" in done.stderr
    listed = {
        item["uuid"]: item["error"]
        for item in _json(weft("pipelines", "list", "-C", "shop", "--json"))
    }
    assert listed["good"] is None
    assert "metadata.yaml" in listed["broken"]
    assert weft("run", "shop", "good").returncode == 0


def test_schedules_from_birth_to_death(project: Path, weft: Weft) -> None:
    _pipeline(project, "daily", {"one": "return 1"})
    made = weft(
        "schedules", "create", "daily", "-C", "shop", "--interval", "0 6 * * 1-5",
        "--timezone", "Europe/Zurich", "--var", "x=1", "--active", "--json",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    assert "No engine is alive" in made.stderr
    schedule = _json(made)
    assert schedule["settings"] == {"weft": {"timezone": "Europe/Zurich"}}
    assert (schedule["status"], schedule["variables"]) == ("active", {"x": 1})
    assert schedule["next_pipeline_run_date"] is not None
    identity = str(schedule["id"])
    assert (
        _json(weft("schedules", "deactivate", identity, "-C", "shop", "--json"))["status"]
        == "inactive"
    )
    triggered = weft("schedules", "trigger", identity, "-C", "shop", "--key", "k", "--json")
    assert "No engine is alive" in triggered.stderr
    again = weft("schedules", "trigger", identity, "-C", "shop", "--key", "k", "--json")
    assert _json(again)["id"] == _json(triggered)["id"]
    assert weft("schedules", "delete", identity, "-C", "shop", "--yes").returncode == 0
    assert weft("schedules", "show", identity, "-C", "shop").returncode == 3


@pytest.mark.parametrize("interval", ["61 * * * *", "@sometimes", "* * *"])
def test_a_bad_interval_is_refused(project: Path, weft: Weft, interval: str) -> None:
    _pipeline(project, "daily", {"one": "return 1"})
    done = weft("schedules", "create", "daily", "-C", "shop", "--interval", interval)
    assert done.returncode == 2
    assert interval in done.stderr


def test_settings_tell_their_source(project: Path, weft: Weft) -> None:
    shown = {
        item["name"]: item
        for item in _json(weft("settings", "-C", str(project), "--json", WEFT_ENV="prod"))
    }
    assert shown["env"] == {"name": "env", "value": "prod", "source": "environment WEFT_ENV"}
    assert shown["port"]["source"] == "default"


def test_an_unknown_database_version_is_refused(project: Path, weft: Weft) -> None:
    import sqlite3  # noqa: PLC0415 - this test alone tampers with the file

    checked = weft("db", "check", "-C", "shop", "--json")
    assert checked.returncode == 0, checked.stderr
    path = Path(_json(checked)["database"].removeprefix("sqlite:///"))
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("UPDATE schema_version SET version_num = '9999'")
    connection.close()
    for arguments in (("db", "check"), ("db", "upgrade"), ("runs", "list")):
        done = weft(*arguments, "-C", "shop")
        assert done.returncode == 4, done.stderr
        assert "9999" in done.stderr
