"""Logs and outputs: read whole, in part, and followed live."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tests.projects import write_pipeline
from tests.served import Player, Served, serving

from weft.artifacts.files import store
from weft.core.events import Admitted, Began, CancelAsked, Stopped
from weft.core.ids import BlockRunId, BlockUuid, RunId


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path) as served:
        yield served


@pytest.fixture
def run(served: Served) -> dict[str, Any]:
    return served.fire(served.schedule())


def block_runs(served: Served, run: dict[str, Any]) -> dict[str, int]:
    body = served.client.get(f"/api/pipeline_runs/{run['id']}").json()
    return {one["block_uuid"]: one["id"] for one in body["pipeline_run"]["block_runs"]}


def write(served: Served, run: dict[str, Any], block_run: int, *said: str) -> None:
    path = served.context.logs.path(RunId(run["id"]), BlockRunId(block_run), 1)
    with path.open("a", encoding="utf-8") as stream:
        for number, message in enumerate(said):
            line = {"timestamp": 1795416049 + number, "level": "INFO", "message": message}
            stream.write(json.dumps(line) + "\n")


def events(text: str) -> list[str]:
    """Return the messages of a stream that ended as it should."""
    parts = [part for part in text.split("\n\n") if part and not part.startswith(":")]
    assert parts[-1] == "event: end\ndata: {}"
    found = [part.split("\n") for part in parts[:-1]]
    assert [one[0] for one in found] == [f"id: {n}" for n in range(1, len(found) + 1)]
    return [json.loads(one[1].removeprefix("data: "))["message"] for one in found]


def test_logs_are_text_with_a_time_and_json(served: Served, run: dict[str, Any]) -> None:
    ids = block_runs(served, run)
    write(served, run, ids["one"], "hello", "wörld\nsecond line")
    write(served, run, ids["two"], "later")
    (one, two) = served.client.get(f"/api/pipeline_runs/{run['id']}/logs").json()["logs"]
    assert list(one) == ["name", "path", "size", "modified_timestamp", "content"]
    first, second, rest = one["content"].split("\n")
    assert first.startswith("2026-11-23T06:40:49 {")
    assert json.loads(second.partition(" ")[2])["message"] == "wörld\nsecond line"
    assert rest == ""
    assert one["size"] > 0
    body = served.client.get(f"/api/block_runs/{ids['two']}/logs").json()
    assert body == {"logs": [two], "metadata": {}}


def test_a_pipeline_s_logs_have_one_element(served: Served, run: dict[str, Any]) -> None:
    ids = block_runs(served, run)
    write(served, run, ids["one"], "a")
    write(served, run, ids["two"], "b")
    other = served.fire(served.schedule())
    write(served, other, block_runs(served, other)["one"], "c")
    write_pipeline(served.context.files.path, "apart", {"blocks": {"away": "return 1"}})
    foreign = served.fire(served.schedule("apart"))
    write(served, foreign, block_runs(served, foreign)["away"], "d")

    def ask(query: str) -> tuple[list[str], int]:
        body = served.client.get(f"/api/pipelines/sums/logs?{query}").json()
        (logs,) = body["logs"]
        assert list(logs) == [
            "block_run_logs",
            "pipeline_run_logs",
            "total_block_run_log_count",
            "total_pipeline_run_log_count",
        ]
        assert (logs["pipeline_run_logs"], logs["total_pipeline_run_log_count"]) == ([], 0)
        said = [json.loads(f["content"].split(" ", 1)[1]) for f in logs["block_run_logs"]]
        return [one["message"] for one in said], logs["total_block_run_log_count"]

    assert ask("") == (["c", "a", "b"], 3)
    assert ask("_limit=1") == (["c"], 1)
    assert ask(f"pipeline_run_id[]={run['id']}") == (["a", "b"], 2)
    assert ask(f"block_run_id[]={ids['two']}") == (["b"], 1)
    assert ask("block_uuid[]=tw") == (["b"], 1)
    assert ask(f"pipeline_schedule_id[]={other['pipeline_schedule_id']}") == (["c"], 1)
    assert ask("end_timestamp=1") == ([], 0)
    assert ask(f"pipeline_run_id[]={foreign['id']}") == ([], 0)
    assert served.client.get("/api/pipelines/sums/logs?pipeline_run_id[]=x").status_code == 400


def test_a_stream_of_an_ended_run_tells_all_and_ends(served: Served, run: dict[str, Any]) -> None:
    ids = block_runs(served, run)
    write(served, run, ids["one"], "a", "b")
    write(served, run, ids["two"], "c")
    served.play(run["id"])
    answer = served.client.get(f"/api/pipeline_runs/{run['id']}/logs/stream")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert sorted(events(answer.text)) == ["a", "b", "c"]
    answer = served.client.get(f"/api/block_runs/{ids['two']}/logs/stream")
    assert events(answer.text) == ["c"]


def test_a_stream_follows_until_the_run_has_ended(served: Served, run: dict[str, Any]) -> None:
    ids = block_runs(served, run)
    write(served, run, ids["one"], "before")
    texts: list[str] = []
    with Player(served.context, RunId(run["id"])) as player:
        player.tell(Began())
        player.tell(Admitted((BlockUuid("one"),)))
        listened = threading.Event()
        plain = served.context.signals.listen

        def listen(heard: Any) -> Any:
            stop = plain(heard)
            listened.set()
            return stop

        looks = threading.Semaphore(0)
        files = served.context.logs.files

        def look(run_id: RunId) -> Any:
            looks.release()
            return files(run_id)

        served.context.signals.listen = listen  # type: ignore[method-assign]
        served.context.logs.files = look  # type: ignore[method-assign]
        path = f"/api/pipeline_runs/{run['id']}/logs/stream"
        client = threading.Thread(target=lambda: texts.append(served.client.get(path).text))
        client.start()
        assert listened.wait(10)
        write(served, run, ids["one"], "meanwhile")
        player.tell(CancelAsked("test"))
        while looks.acquire(blocking=False):
            pass
        for _ in range(3):
            assert looks.acquire(timeout=10), "a move that is no end ended the stream"
        write(served, run, ids["one"], "last words")
        player.tell(Stopped(BlockUuid("one"), 1))
        client.join(10)
    assert not client.is_alive()
    assert events(texts[0]) == ["before", "meanwhile", "last words"]


def test_outputs_show_some_rows_of_many(
    served: Served, run: dict[str, Any], tmp_path: Path
) -> None:
    frame = pd.DataFrame({"a": range(5000), "b": ["x", None] * 2500})
    (tmp_path / "out").mkdir()
    output = store([frame], tmp_path / "out", fsync=False)[0]
    served.play(run["id"], output=output)
    path = f"/api/block_runs/{block_runs(served, run)['two']}/outputs"
    (item,) = served.client.get(path).json()["outputs"]
    assert list(item) == [
        "outputs", "sample_data", "shape", "text_data", "type", "variable_uuid",
    ]  # fmt: skip
    assert (item["type"], item["variable_uuid"]) == ("table", "output_0")
    assert item["shape"] == [5000, 2]
    assert item["sample_data"]["columns"] == ["a", "b"]
    assert len(item["sample_data"]["rows"]) == 1000
    (few,) = served.client.get(f"{path}?sample_count=2").json()["outputs"]
    assert few["sample_data"]["rows"] == [[0, "x"], [1, None]]
    newest = served.client.get("/api/pipelines/sums/block_outputs/deep%2Fthree?sample_count=1")
    assert newest.json()["outputs"][0]["sample_data"]["rows"] == [[0, "x"]]


def test_a_plain_value_is_text(served: Served, run: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    output = store([42], tmp_path / "out", fsync=False)[0]
    served.play(run["id"], output=output)
    path = f"/api/block_runs/{block_runs(served, run)['one']}/outputs"
    (item,) = served.client.get(path).json()["outputs"]
    assert (item["type"], item["text_data"], item["sample_data"]) == ("text", "42", None)


def test_a_file_that_retention_removed_is_said_to_be_gone(
    served: Served, run: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    output = store(["x" * 5000], tmp_path / "out", fsync=False)[0]
    served.play(run["id"], output=output)
    Path(output.uri).unlink()
    path = f"/api/block_runs/{block_runs(served, run)['one']}/outputs"
    (item,) = served.client.get(path).json()["outputs"]
    assert "is gone" in item["text_data"]


def test_a_block_without_outputs_has_none(served: Served, run: dict[str, Any]) -> None:
    path = f"/api/block_runs/{block_runs(served, run)['one']}/outputs"
    assert served.client.get(path).json() == {"outputs": [], "metadata": {}}
