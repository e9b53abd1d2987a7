"""Runs and block runs: found, paged, cancelled, deleted."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.served import Player, Served, serving

from weft.core.events import Admitted, Began, CancelAsked, Stopped
from weft.core.ids import BlockUuid, RunId
from weft.ports.signals import RUNS
from weft.services import runs as run_services


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path) as served:
        yield served


def ids(served: Served, path: str) -> list[int]:
    answer = served.client.get(path)
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["pipeline_runs"]]


def test_the_newest_execution_date_comes_first(served: Served) -> None:
    schedule = served.schedule()
    dates = ["2026-01-02T00:00:00", "2026-01-03T00:00:00", "2026-01-01T00:00:00"]
    made = [served.fire(schedule, {"pipeline_run": {"execution_date": d}})["id"] for d in dates]
    assert ids(served, "/api/pipeline_runs") == [made[1], made[0], made[2]]
    assert ids(served, "/api/pipeline_runs?order_by[]=id") == made
    assert ids(served, "/api/pipeline_runs?order_by[]=status asc,id desc") == made[::-1]
    assert ids(served, "/api/pipeline_runs?order_by[]=pipeline_schedule_id,id asc") == made


def test_the_list_pages(served: Served) -> None:
    schedule = served.schedule()
    made = [served.fire(schedule)["id"] for _ in range(5)]
    seen: list[int] = []
    for offset in (0, 2, 4):
        body = served.client.get(f"/api/pipeline_runs?_limit=2&_offset={offset}").json()
        assert body["metadata"] == {"count": 5, "next": offset < 4}
        seen += [item["id"] for item in body["pipeline_runs"]]
    assert seen == made[::-1]
    last = served.client.get("/api/pipeline_runs?_limit=2&_offset=3").json()
    assert last["metadata"] == {"count": 5, "next": False}
    none = served.client.get("/api/pipeline_runs?_limit=0").json()
    assert none == {"pipeline_runs": [], "metadata": {"count": 5, "next": False}}


def test_filters(served: Served) -> None:
    first, second = served.schedule(), served.schedule("lone")
    done = served.fire(first)["id"]
    served.play(done)
    failed = served.fire(first)["id"]
    served.play(failed, fail="two")
    fresh = served.fire(second, {"pipeline_run": {"backfill_id": None}})["id"]
    top = "/api/pipeline_runs"
    assert ids(served, f"{top}?pipeline_uuid=lone") == [fresh]
    assert ids(served, f"{top}?pipeline_uuid[]=lone,sums") == [fresh, failed, done]
    assert ids(served, f"{top}?status=completed") == [done]
    assert ids(served, f"{top}?status[]=failed,initial") == [fresh, failed]
    assert ids(served, f"{top}?status=last_run_failed") == [failed]
    assert ids(served, f"{top}?pipeline_tag[]=daily,other") == [failed, done]
    assert ids(served, f"{top}?pipeline_type=pyspark") == [fresh]
    assert ids(served, f"{top}?pipeline_type=pyspark&pipeline_uuid=sums") == []
    assert ids(served, f"{top}?backfill_id=3") == []
    assert ids(served, f"{top}?global_data_product_uuid=p") == []
    assert ids(served, f"{top}?start_timestamp=0&end_timestamp=1") == []
    assert ids(served, f"{top}?start_timestamp=1000000.5") == [fresh, failed, done]
    assert ids(served, f"/api/pipeline_schedules/{second['id']}/pipeline_runs") == [fresh]
    names = served.client.get(f"{top}?include_pipeline_uuids=1&_limit=0").json()["metadata"]
    assert names == {"count": 3, "next": False, "pipeline_uuids": ["lone", "sums"]}


def test_every_run_of_an_execution_date_comes_with_its_retry(served: Served) -> None:
    schedule = served.schedule()
    body = {"pipeline_run": {"execution_date": "2026-01-02T03:04:05"}}
    made = [served.fire(schedule, body)["id"] for _ in range(3)]
    path = "/api/pipeline_runs?pipeline_uuid=sums&_limit=1"
    assert ids(served, path) == made[::-1]
    assert ids(served, f"{path}&disable_retries_grouping=true") == made[-1:]
    assert ids(served, "/api/pipeline_runs?_limit=1") == made[-1:]


@pytest.mark.parametrize(
    ("query", "status", "named"),
    [
        ("status=sleeping", 422, "sleeping"),
        ("status[]=failed,sleeping", 422, "sleeping"),
        ("order_by[]=nosuchcolumn", 422, "nosuchcolumn"),
        ("order_by[]=id sideways", 400, "order_by"),
        ("start_timestamp=yesterday", 400, "Value is invalid for start_timestamp."),
        ("start_timestamp=1e300", 400, "start_timestamp"),
        ("backfill_id=x", 400, "backfill_id"),
        ("_limit=-1", 400, "_limit"),
        ("_limit=ten", 400, "_limit"),
        ("_offset=99999999999999999999", 400, "_offset"),
    ],
)
def test_a_filter_that_makes_no_sense_is_named(
    served: Served, query: str, status: int, named: str
) -> None:
    answer = served.client.get(f"/api/pipeline_runs?{query}")
    assert answer.status_code == status
    assert named in served.error(answer)["message"]


def test_block_runs_page_and_sort(served: Served) -> None:
    schedule = served.schedule()
    run = served.fire(schedule)["id"]
    served.play(run)
    waiting = served.fire(schedule)["id"]
    newest = served.client.get("/api/block_runs?_limit=3").json()
    assert [item["block_uuid"] for item in newest["block_runs"]] == ["deep/three", "two", "one"]
    assert newest["metadata"] == {"count": 6, "next": True}
    ordered = served.client.get("/api/block_runs?order_by=block_uuid asc").json()["block_runs"]
    names = [item["block_uuid"] for item in ordered]
    assert names == sorted(names)
    assert len(names) == 6
    nested = served.client.get(f"/api/pipeline_runs/{waiting}/block_runs?_limit=2&_offset=1")
    assert [i["block_uuid"] for i in nested.json()["block_runs"]] == ["two", "deep/three"]
    other = served.client.get(f"/api/block_runs?pipeline_run_id={run}&pipeline_uuid=lone").json()
    assert other["metadata"]["count"] == 0
    assert served.client.get("/api/block_runs?order_by=nothing").status_code == 422


def test_the_error_of_a_failed_block_is_in_its_metrics(served: Served) -> None:
    run = served.fire(served.schedule())["id"]
    served.play(run, fail="two")
    item = served.client.get(f"/api/pipeline_runs/{run}").json()["pipeline_run"]
    statuses = {block["block_uuid"]: block["status"] for block in item["block_runs"]}
    assert statuses == {"one": "completed", "two": "failed", "deep/three": "upstream_failed"}
    assert item["completed_at"] is None
    failed = next(block for block in item["block_runs"] if block["block_uuid"] == "two")
    assert failed["metrics"]["error"]["message"] == "no"


def test_cancelling_waits_for_the_end(served: Served) -> None:
    run = served.fire(served.schedule())["id"]
    with Player(served.context, RunId(run)) as player:
        player.tell(Began())
        asked = threading.Event()

        def hear(topic: str) -> None:
            if topic == RUNS:
                asked.set()

        stop = served.context.signals.listen(hear)
        answers: list[Any] = []
        body = {"pipeline_run": {"status": "cancelled"}}
        client = threading.Thread(
            target=lambda: answers.append(served.client.put(f"/api/pipeline_runs/{run}", json=body))
        )
        client.start()
        assert asked.wait(10)
        assert not answers
        player.cancel_when_asked()
        client.join(10)
        stop()
    (answer,) = answers
    assert answer.json()["pipeline_run"]["status"] == "cancelled"
    assert answer.json()["metadata"] is None


def test_cancelling_an_ended_run_changes_nothing(served: Served) -> None:
    run = served.fire(served.schedule())["id"]
    served.play(run)
    answer = served.client.put(
        f"/api/pipeline_runs/{run}", json={"pipeline_run": {"status": "cancelled"}}
    )
    assert answer.json()["pipeline_run"]["status"] == "completed"


def test_without_an_engine_a_cancel_answers_in_time(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_services, "CANCEL_PATIENCE", 0.05)
    run = served.fire(served.schedule())["id"]
    begun = time.monotonic()
    answer = served.client.put(
        f"/api/pipeline_runs/{run}", json={"pipeline_run": {"status": "cancelled"}}
    )
    assert time.monotonic() - begun < 5
    assert answer.json()["pipeline_run"]["status"] == "initial"
    gone = served.client.delete(f"/api/pipeline_runs/{run}")
    assert gone.status_code == 409
    assert served.error(gone)["hint"]
    assert served.counts() == (1, 1)


def test_other_statuses_change_nothing(served: Served) -> None:
    run = served.fire(served.schedule())["id"]
    path = f"/api/pipeline_runs/{run}"
    before = served.client.get(path).json()
    for body in ({"status": "completed"}, {"passed_sla": True}, {}):
        assert served.client.put(path, json={"pipeline_run": body}).status_code == 200
    assert served.client.get(path).json() == before


def test_a_retry_is_not_pretended(served: Served) -> None:
    run = served.fire(served.schedule())["id"]
    answer = served.client.put(
        f"/api/pipeline_runs/{run}", json={"pipeline_run": {"pipeline_run_action": "retry_blocks"}}
    )
    assert answer.status_code == 422
    assert "not offered yet" in served.error(answer)["message"]


def test_deleting_removes_rows_and_logs(served: Served) -> None:
    schedule = served.schedule()
    run, other = served.fire(schedule)["id"], served.fire(schedule)["id"]
    served.play(run)
    block = served.client.get(f"/api/pipeline_runs/{run}").json()["pipeline_run"]["block_runs"][0]
    log = served.context.logs.path(RunId(run), block["id"], 1)
    log.write_text('{"message": "x"}\n', encoding="utf-8")
    answer = served.client.delete(f"/api/pipeline_runs/{run}")
    assert answer.json()["pipeline_run"]["id"] == run
    assert not log.exists()
    for path in (f"/api/pipeline_runs/{run}", f"/api/block_runs/{block['id']}"):
        assert served.client.get(path).status_code == 404
    assert ids(served, "/api/pipeline_runs") == [other]


def test_deleting_an_open_run_cancels_it_first(served: Served) -> None:
    run = served.fire(served.schedule())["id"]
    with Player(served.context, RunId(run)) as player:
        player.tell(Began())
        player.tell(Admitted((BlockUuid("one"),)))
        told = threading.Event()

        def obey(topic: str) -> None:
            if topic == RUNS and not told.is_set():
                told.set()
                threading.Thread(target=end, args=(player,)).start()

        stop = served.context.signals.listen(obey)
        answer = served.client.delete(f"/api/pipeline_runs/{run}")
        stop()
        assert answer.status_code == 200, answer.text
        assert answer.json()["pipeline_run"]["status"] == "cancelled"
    assert served.counts() == (1, 0)


def end(player: Player) -> None:
    """End a run whose first block is live."""
    player.tell(CancelAsked("test"))
    player.tell(Stopped(BlockUuid("one"), 1))
