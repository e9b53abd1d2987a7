"""The objects of the API: which keys, in which order, in which format."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.served import Served, serving

MOMENT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}\+00:00")

RUN_OBJECT = [
    "backfill_id", "block_runs", "block_runs_count", "completed_at", "created_at",
    "event_variables", "execution_date", "id", "metrics", "passed_sla",
    "pipeline_schedule_id", "pipeline_schedule_name", "pipeline_schedule_token",
    "pipeline_schedule_type", "pipeline_uuid", "status", "updated_at", "variables",
]  # fmt: skip
RUN_EXTRAS = [
    "executor_type", "started_at", "completed_block_runs_count",
    "pipeline_tags", "pipeline_type", "repo_path",
]  # fmt: skip
RUN_BASE = [
    "backfill_id", "completed_at", "created_at", "event_variables", "execution_date",
    "executor_type", "id", "metrics", "passed_sla", "pipeline_schedule_id", "pipeline_uuid",
    "started_at", "status", "updated_at", "variables",
]  # fmt: skip
RUN_RAW = [
    "id", "created_at", "updated_at", "pipeline_schedule_id", "pipeline_uuid",
    "execution_date", "status", "started_at", "completed_at", "variables", "passed_sla",
    "event_variables", "metrics", "backfill_id", "executor_type",
]  # fmt: skip
BLOCK_RUN = [
    "block_uuid", "completed_at", "created_at", "id", "metrics", "pipeline_run_id",
    "started_at", "status", "updated_at",
]  # fmt: skip
TRIGGER_OF_BLOCK_RUN = ["pipeline_schedule_id", "pipeline_schedule_name"]
BLOCK_RUN_ITEM = [key for key in BLOCK_RUN if key != "metrics"] + TRIGGER_OF_BLOCK_RUN
SCHEDULE = [
    "created_at", "description", "global_data_product_uuid", "id", "last_enabled_at", "name",
    "pipeline_uuid", "repo_path", "schedule_interval", "schedule_type", "settings", "sla",
    "start_time", "status", "token", "updated_at", "variables",
]  # fmt: skip
PIPELINE = [
    "cache_block_output_in_memory", "concurrency_config", "created_at", "data_integration",
    "description", "executor_config", "executor_count", "executor_type", "name",
    "notification_config", "remote_variables_dir", "retry_config",
    "run_pipeline_in_one_process", "settings", "tags", "type", "uuid", "variables_dir",
    "blocks", "callbacks", "conditionals", "widgets",
]  # fmt: skip
BLOCK = [
    "all_upstream_blocks_executed", "color", "configuration", "downstream_blocks",
    "executor_config", "executor_type", "has_callback", "name", "language", "retry_config",
    "status", "timeout", "type", "upstream_blocks", "uuid",
]  # fmt: skip
STATUS = [
    "is_instance_manager", "max_print_output_lines", "repo_path", "repo_path_relative",
    "repo_path_relative_root", "repo_path_root", "server_process_id", "scheduler_process_id",
    "scheduler_status", "instance_type", "disable_pipeline_edit_access",
    "require_user_authentication", "require_user_permissions", "project_type", "project_uuid",
]  # fmt: skip
ACTIVITY = ["active_pipeline_run_count", "last_scheduler_activity", "last_user_request"]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("shapes")) as served:
        yield served


@pytest.fixture(scope="module")
def run(served: Served) -> dict[str, Any]:
    schedule = served.schedule(name="late forest")
    made = served.fire(schedule, {"pipeline_run": {"variables": {"a": 1}}, "from": "test"})
    served.play(made["id"])
    return made


def get(served: Served, path: str) -> Any:
    answer = served.client.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


def moments(value: Any) -> Iterator[tuple[str, str]]:
    """Yield every value whose key says that it is a time."""
    for key, inner in value.items() if isinstance(value, dict) else ():
        if isinstance(inner, str) and (key.endswith(("_at", "_date"))):
            yield key, inner
        yield from moments(inner)
    for inner in value if isinstance(value, list) else ():
        yield from moments(inner)


def test_a_run_has_the_documented_keys_then_the_others(served: Served, run: dict[str, Any]) -> None:
    body = get(served, f"/api/pipeline_runs/{run['id']}")
    assert list(body) == ["pipeline_run", "metadata"]
    assert body["metadata"] is None
    item = body["pipeline_run"]
    assert list(item) == RUN_OBJECT + RUN_EXTRAS
    assert list(item["block_runs"][0]) == BLOCK_RUN + TRIGGER_OF_BLOCK_RUN
    assert item["pipeline_schedule_name"] == "late forest"
    assert item["block_runs_count"] == item["completed_block_runs_count"] == 3
    assert item["status"] == "completed"
    assert item["event_variables"] == {"from": "test"}
    assert item["variables"]["a"] == 1
    assert re.fullmatch(r"\d+/\d{8}T\d{6}_\d{6}", item["variables"]["execution_partition"])


def test_the_list_of_runs_has_the_same_object(served: Served, run: dict[str, Any]) -> None:
    body = get(served, "/api/pipeline_runs?include_pipeline_tags=1&include_pipeline_type=true")
    assert list(body) == ["pipeline_runs", "metadata"]
    assert list(body["metadata"]) == ["count", "next"]
    item = next(item for item in body["pipeline_runs"] if item["id"] == run["id"])
    assert list(item) == RUN_OBJECT + RUN_EXTRAS
    assert list(item["block_runs"][0]) == BLOCK_RUN
    assert item["pipeline_tags"] == ["daily", "sums"]
    assert item["pipeline_type"] == "python"
    assert get(served, "/api/pipeline_runs")["pipeline_runs"][0]["pipeline_tags"] is None


@pytest.mark.parametrize("format_", ["create", "delete", "nonsense"])
def test_other_formats_have_the_base_attributes(
    served: Served, run: dict[str, Any], format_: str
) -> None:
    item = get(served, f"/api/pipeline_runs/{run['id']}?_format={format_}")["pipeline_run"]
    assert list(item) == RUN_BASE


def test_basic_details_are_three_keys(served: Served, run: dict[str, Any]) -> None:
    path = f"/api/pipeline_runs/{run['id']}?_format=with_basic_details"
    assert list(get(served, path)["pipeline_run"]) == ["execution_date", "id", "status"]


def test_the_trigger_answers_with_the_columns_and_no_metadata(served: Served) -> None:
    schedule = served.schedule()
    path = f"/api/pipeline_schedules/{schedule['id']}/pipeline_runs/{schedule['token']}"
    body = served.client.post(path, json={}).json()
    assert list(body) == ["pipeline_run"]
    assert list(body["pipeline_run"]) == RUN_RAW
    assert body["pipeline_run"]["status"] == "initial"


def test_a_list_of_block_runs_has_no_metrics(served: Served, run: dict[str, Any]) -> None:
    for path in (
        f"/api/pipeline_runs/{run['id']}/block_runs",
        f"/api/block_runs?pipeline_run_id={run['id']}",
    ):
        body = get(served, path)
        assert body["metadata"] == {"count": 3, "next": False}
        assert list(body["block_runs"][0]) == BLOCK_RUN_ITEM
        assert body["block_runs"][0]["pipeline_schedule_name"] == "late forest"


def test_one_block_run_has_its_metrics(served: Served, run: dict[str, Any]) -> None:
    listed = get(served, f"/api/pipeline_runs/{run['id']}/block_runs")["block_runs"][0]
    item = get(served, f"/api/block_runs/{listed['id']}")["block_run"]
    assert list(item) == BLOCK_RUN + TRIGGER_OF_BLOCK_RUN
    assert item["block_uuid"] == "one"
    assert item["metrics"] == {}


def test_a_trigger_has_its_keys_per_format(served: Served, run: dict[str, Any]) -> None:
    number = run["pipeline_schedule_id"]
    one = get(served, f"/api/pipeline_schedules/{number}")["pipeline_schedule"]
    assert list(one) == [*SCHEDULE, "event_matchers", "next_pipeline_run_date", "tags"]
    listed = get(served, "/api/pipeline_schedules")["pipeline_schedules"]
    assert list(listed[0]) == [
        *SCHEDULE, "event_matchers", "last_pipeline_run_status", "next_pipeline_run_date",
        "pipeline_in_progress_runs_count", "pipeline_runs_count", "tags",
    ]  # fmt: skip
    path = f"/api/pipeline_schedules/{number}?_format=with_runtime_average"
    average = get(served, path)["pipeline_schedule"]
    assert list(average) == [
        *SCHEDULE, "next_pipeline_run_date", "pipeline_runs_count", "runtime_average", "tags",
    ]  # fmt: skip
    assert average["runtime_average"] > 0
    assert average["pipeline_runs_count"] == 1


def test_create_and_delete_of_a_trigger_answer_with_the_base(served: Served) -> None:
    made = served.schedule()
    assert list(made) == SCHEDULE
    gone = served.client.delete(f"/api/pipeline_schedules/{made['id']}").json()
    assert list(gone["pipeline_schedule"]) == SCHEDULE
    assert gone["metadata"] is None


def test_the_list_of_pipelines(served: Served) -> None:
    body = get(served, "/api/pipelines")
    assert body["metadata"] == {"count": 2, "results": 2, "next": None}
    item = body["pipelines"][-1]
    assert list(item) == [*PIPELINE, "updated_at"]
    assert item["settings"] == {"triggers": None}
    assert [list(block) for block in item["blocks"]] == [BLOCK] * 3
    with_schedules = get(served, "/api/pipelines?include_schedules=1")["pipelines"][-1]
    assert list(with_schedules) == [*PIPELINE, "schedules", "updated_at"]


def test_a_pipeline_in_detail(served: Served) -> None:
    item = get(served, "/api/pipelines/sums?include_schedules=true")["pipeline"]
    assert list(item) == [*PIPELINE, "extensions", "schedules", "updated_at"]
    assert [list(block) for block in item["blocks"]] == [
        [*BLOCK, "callback_blocks", "conditional_blocks", "content", "outputs", "metadata", "tags"]
    ] * 3
    lean = get(
        served,
        "/api/pipelines/sums?includes_content=false&includes_outputs=0"
        "&includes_block_metadata=false&includes_extensions=false",
    )["pipeline"]
    assert list(lean) == [*PIPELINE, "updated_at"]
    assert list(lean["blocks"][0]) == [*BLOCK, "callback_blocks", "conditional_blocks", "tags"]


def test_blocks(served: Served, run: dict[str, Any]) -> None:
    body = get(served, "/api/pipelines/sums/blocks")
    assert body["metadata"] == {"count": 3, "next": False}
    assert list(body["blocks"][0]) == BLOCK
    assert body["blocks"][0]["downstream_blocks"] == ["two"]
    of_run = get(served, f"/api/pipeline_runs/{run['id']}/blocks")
    assert list(of_run["blocks"][0]) == [*BLOCK, "tags"]
    one = get(served, "/api/pipelines/sums/blocks/one")["block"]
    assert list(one) == [*BLOCK, "content", "outputs"]


@pytest.mark.parametrize("path", ["/api/status", "/api/statuses"])
def test_the_health_check(served: Served, path: str) -> None:
    body = get(served, path)
    assert body["metadata"] == {}
    assert list(body["statuses"][0]) == STATUS
    assert body["statuses"][0]["scheduler_status"] == "stopped"
    busy = get(served, f"{path}?_format=with_activity_details")
    assert list(busy["statuses"][0]) == STATUS + ACTIVITY


def test_every_time_is_written_alike(served: Served, run: dict[str, Any]) -> None:
    served.schedule(
        schedule_type="time", schedule_interval="@daily", start_time="2026-01-02 03:04:05"
    )
    seen = 0
    for path in (
        f"/api/pipeline_runs/{run['id']}",
        "/api/pipeline_runs",
        "/api/block_runs",
        "/api/pipeline_schedules",
        "/api/pipelines?include_schedules=1",
        "/api/pipelines/sums?include_schedules=1",
        "/api/statuses?_format=with_activity_details",
    ):
        for key, text in moments(get(served, path)):
            assert MOMENT.fullmatch(text), (path, key, text)
            seen += 1
    assert seen > 40


def test_a_run_outlives_its_trigger_with_null_fields(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        schedule = served.schedule()
        made = served.fire(schedule)
        served.play(made["id"])
        served.client.delete(f"/api/pipeline_schedules/{schedule['id']}")
        item = get(served, f"/api/pipeline_runs/{made['id']}")["pipeline_run"]
        assert list(item) == RUN_OBJECT + RUN_EXTRAS
        for key in RUN_OBJECT[10:14]:
            assert item[key] is None, key
        assert [one["id"] for one in get(served, "/api/pipeline_runs")["pipeline_runs"]] == [
            made["id"]
        ]
