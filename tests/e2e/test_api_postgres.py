"""The same API over PostgreSQL, from trigger to deletion."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.served import Served, serving

pytestmark = pytest.mark.postgres


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path, kind="postgres") as served:
        yield served


def test_a_run_is_started_read_and_deleted(served: Served) -> None:
    schedule = served.schedule(variables={"a": "ü"}, settings={"weft": {"timezone": "Asia/Tokyo"}})
    run = served.fire(schedule, {"pipeline_run": {"variables": {"a": 1}}, "b": [None, 1.5]})
    assert run["event_variables"] == {"b": [None, 1.5]}
    served.play(run["id"], fail="two")
    listed = served.client.get("/api/pipeline_runs?status[]=failed&order_by[]=status desc").json()
    (item,) = listed["pipeline_runs"]
    assert item["id"] == run["id"]
    statuses = [block["status"] for block in item["block_runs"]]
    assert statuses == ["completed", "failed", "upstream_failed"]
    assert served.client.delete(f"/api/pipeline_runs/{run['id']}").status_code == 200
    assert served.counts() == (1, 0)


def test_the_same_key_answers_with_the_same_run(served: Served) -> None:
    schedule = served.schedule()
    path = f"/api/pipeline_schedules/{schedule['id']}/pipeline_runs/{schedule['token']}"
    answers = [
        served.client.post(path, json={"a": 1}, headers={"Idempotency-Key": "k"}) for _ in range(3)
    ]
    assert len({answer.json()["pipeline_run"]["id"] for answer in answers}) == 1
    assert [answer.headers.get("idempotency-replayed") for answer in answers] == [
        None,
        "true",
        "true",
    ]


def test_numbers_beyond_the_database_name_nothing(served: Served) -> None:
    assert served.client.get(f"/api/pipeline_runs/{2**63 - 1}").status_code == 404
    assert served.client.get(f"/api/pipeline_runs/{2**63}").status_code == 404
    assert served.client.get(f"/api/pipeline_runs?backfill_id={2**63 - 1}").status_code == 200
