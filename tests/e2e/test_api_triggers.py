"""Starting runs: by token, by trigger, once per key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.projects import write_pipeline
from tests.served import Served, serving

from weft.ports.signals import RUNS


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path) as served:
        yield served


def path_of(schedule: dict[str, Any]) -> str:
    return f"/api/pipeline_schedules/{schedule['id']}/pipeline_runs/{schedule['token']}"


@pytest.mark.parametrize(
    ("body", "variables", "event_variables"),
    [
        (None, {}, None),
        (b"", {}, None),
        (b"{}", {}, {}),
        (b'{"pipeline_run": {"variables": {"a": 1}}}', {"a": 1}, {}),
        (b'{"pipeline_run": null, "b": [2]}', {}, {"b": [2]}),
        (b'{"pipeline_run": {"variables": {"a": 1}}, "a": 2}', {"a": 1}, {"a": 2}),
    ],
)
def test_nothing_of_the_body_goes_to_both(
    served: Served, body: bytes | None, variables: Any, event_variables: Any
) -> None:
    answer = served.client.post(path_of(served.schedule()), content=body)
    assert answer.status_code == 200, answer.text
    run = answer.json()["pipeline_run"]
    assert run["variables"].pop("execution_partition").startswith(f"{run['pipeline_schedule_id']}/")
    assert run["variables"] == variables
    assert run["event_variables"] == event_variables


def test_the_token_may_come_as_bearer(served: Served) -> None:
    schedule = served.schedule()
    answer = served.client.post(
        f"/api/pipeline_schedules/{schedule['id']}/api_trigger",
        headers={"Authorization": f"Bearer {schedule['token']}"},
        json={"pipeline_run": {"execution_date": "2023-01-02T03:04:05"}},
    )
    assert answer.json()["pipeline_run"]["execution_date"] == "2023-01-02 03:04:05.000000+00:00"


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer wrong", "Basic abc"])
def test_a_wrong_bearer_is_refused(served: Served, header: str) -> None:
    schedule = served.schedule()
    answer = served.client.post(
        f"/api/pipeline_schedules/{schedule['id']}/api_trigger", headers={"Authorization": header}
    )
    assert answer.status_code == 401
    assert served.error(answer)["type"] == "invalid_token"
    assert served.counts() == (1, 0)


def test_an_inactive_trigger_becomes_active(served: Served) -> None:
    schedule = served.schedule(status="inactive")
    assert schedule["last_enabled_at"] is None
    served.fire(schedule)
    after = served.client.get(f"/api/pipeline_schedules/{schedule['id']}").json()
    assert after["pipeline_schedule"]["status"] == "active"
    assert after["pipeline_schedule"]["last_enabled_at"] is not None


def test_a_trigger_of_another_type_has_no_such_endpoint(served: Served) -> None:
    schedule = served.schedule(schedule_type="time", schedule_interval="@daily")
    answer = served.client.post(path_of(schedule))
    assert answer.status_code == 422
    assert served.error(answer)["message"] == "This endpoint is only supported for API trigger."
    assert served.counts() == (1, 0)


def test_the_same_key_answers_with_the_same_run(served: Served) -> None:
    schedule, key = served.schedule(), {"Idempotency-Key": "monday"}
    body = {"pipeline_run": {"variables": {"a": 1}}}
    first = served.client.post(path_of(schedule), json=body, headers=key)
    again = served.client.post(path_of(schedule), json=body, headers=key)
    assert first.json()["pipeline_run"]["id"] == again.json()["pipeline_run"]["id"]
    assert "idempotency-replayed" not in first.headers
    assert (again.status_code, again.headers["idempotency-replayed"]) == (200, "true")
    assert served.counts() == (1, 1)


def test_the_same_key_with_another_body_is_a_conflict(served: Served) -> None:
    schedule, key = served.schedule(), {"Idempotency-Key": "monday"}
    served.client.post(path_of(schedule), json={"a": 1}, headers=key)
    again = served.client.post(path_of(schedule), json={"a": 2}, headers=key)
    assert again.status_code == 409
    assert served.error(again)["type"] == "conflict"
    assert served.counts() == (1, 1)


def test_keys_of_different_triggers_do_not_meet(served: Served) -> None:
    key = {"Idempotency-Key": "monday"}
    ids = {
        served.client.post(path_of(served.schedule()), headers=key).json()["pipeline_run"]["id"]
        for _ in range(2)
    }
    assert len(ids) == 2


def test_a_new_run_is_announced_after_the_commit(served: Served) -> None:
    seen: list[int] = []
    stop = served.context.signals.listen(
        lambda topic: seen.append(served.counts()[1]) if topic == RUNS else None
    )
    served.fire(served.schedule())
    stop()
    assert seen == [1]


def test_a_broken_pipeline_is_refused_with_its_place(served: Served) -> None:
    schedule = served.schedule()
    metadata = write_pipeline(
        served.context.files.path, "sums", {"blocks": {"a": {"upstream": ["b"]}, "b": "return 1"}}
    )
    metadata.write_text("blocks: [\n", encoding="utf-8")
    answer = served.client.post(path_of(schedule))
    assert answer.status_code == 422
    said = served.error(answer)
    assert said["type"] == "broken_pipeline"
    assert said["where"]["path"].endswith("pipelines/sums/metadata.yaml")
    assert served.counts() == (1, 0)


def test_a_pipeline_that_is_gone_is_not_found(served: Served) -> None:
    schedule = served.schedule()
    (served.context.files.path / "pipelines/sums/metadata.yaml").unlink()
    answer = served.client.post(path_of(schedule))
    assert answer.status_code == 404
    assert served.counts() == (1, 0)


def test_a_run_of_a_time_trigger_is_made_by_hand(served: Served) -> None:
    schedule = served.schedule(schedule_type="time", schedule_interval="@once", status="inactive")
    path = f"/api/pipeline_schedules/{schedule['id']}/pipeline_runs"
    body = {"pipeline_run": {"variables": {"a": 1}, "event_variables": {"b": 2}}}
    run = served.client.post(path, json=body).json()["pipeline_run"]
    assert run["variables"]["a"] == 1
    assert run["event_variables"] == {"b": 2}
    after = served.client.get(f"/api/pipeline_schedules/{schedule['id']}").json()
    assert after["pipeline_schedule"]["status"] == "active"
    assert served.client.get(path).json()["metadata"] == {"count": 1, "next": False}


def test_a_run_pins_what_the_files_said(served: Served) -> None:
    run = served.fire(served.schedule())
    write_pipeline(served.context.files.path, "sums", {"blocks": {"other": "return 1"}})
    blocks = served.client.get(f"/api/pipeline_runs/{run['id']}/blocks").json()["blocks"]
    assert [block["uuid"] for block in blocks] == ["one", "two", "deep/three"]
