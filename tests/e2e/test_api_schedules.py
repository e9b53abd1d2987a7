"""Triggers: made, found, changed and forgotten."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.served import Served, serving

from weft.ports.signals import SCHEDULES

NESTED = "/api/pipelines/sums/pipeline_schedules"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path) as served:
        yield served


def create(served: Served, **attributes: Any) -> Any:
    return served.client.post(NESTED, json={"pipeline_schedule": attributes})


def change(served: Served, schedule: dict[str, Any], **attributes: Any) -> Any:
    return served.client.put(
        f"/api/pipeline_schedules/{schedule['id']}", json={"pipeline_schedule": attributes}
    )


def ids(served: Served, path: str) -> list[int]:
    return [item["id"] for item in served.client.get(path).json()["pipeline_schedules"]]


def test_name_and_token_are_generated(served: Served) -> None:
    made = create(served).json()["pipeline_schedule"]
    assert re.fullmatch(r"[a-z]+ [a-z]+", made["name"])
    assert re.fullmatch(r"[0-9a-f]{32}", made["token"])
    assert made["status"] == "inactive"
    assert made["schedule_type"] is None
    assert made["last_enabled_at"] is None
    assert made["repo_path"] == served.context.project.path


def test_what_was_said_is_kept(served: Served) -> None:
    said = {
        "name": " kept as it is ",
        "description": "nightly",
        "schedule_type": "time",
        "schedule_interval": "30 2 * * *",
        "status": "active",
        "variables": {"a": {"b": [1, None, "ü"]}},
        "settings": {"allow_blocks_to_fail": True, "mine": 1, "weft": {"timezone": "Asia/Tokyo"}},
        "sla": 60,
    }
    made = create(served, **said, start_time="2026-03-06T04:53:00+01:00").json()
    item = made["pipeline_schedule"]
    assert {key: item[key] for key in said} == said
    assert item["start_time"] == "2026-03-06 03:53:00.000000+00:00"
    assert item["last_enabled_at"] is not None


def test_the_next_date_obeys_the_time_zone(served: Served) -> None:
    made = create(
        served,
        schedule_type="time",
        schedule_interval="@daily",
        settings={"weft": {"timezone": "Asia/Tokyo"}},
    ).json()["pipeline_schedule"]
    item = served.client.get(f"/api/pipeline_schedules/{made['id']}").json()["pipeline_schedule"]
    assert item["next_pipeline_run_date"].endswith(" 15:00:00.000000+00:00")


@pytest.mark.parametrize("interval", ["@once", "@always_on", None])
def test_some_have_no_next_date(served: Served, interval: str | None) -> None:
    made = create(served, schedule_type="time", schedule_interval=interval).json()
    path = f"/api/pipeline_schedules/{made['pipeline_schedule']['id']}"
    item = served.client.get(path).json()["pipeline_schedule"]
    assert item["next_pipeline_run_date"] is None


@pytest.mark.parametrize(
    ("attributes", "named"),
    [
        ({"schedule_type": "cron"}, "schedule_type"),
        ({"status": "paused"}, "status"),
        ({"schedule_interval": "99 99 * * *"}, "Cron expression is invalid."),
        ({"schedule_interval": "tomorrow"}, "Cron expression is invalid."),
        ({"start_time": "soon"}, "start_time"),
        ({"sla": -1}, "sla"),
        ({"sla": "1"}, "pipeline_schedule.sla"),
        ({"name": 7}, "pipeline_schedule.name"),
        ({"name": "   "}, "name"),
        ({"variables": [1]}, "pipeline_schedule.variables"),
        ({"settings": {"weft": {"timezone": "Mars/Base"}}}, "Mars/Base"),
        ({"settings": {"weft": {"missed": "never"}}}, "settings.weft.missed"),
        ({"settings": {"pipeline_run_limit": "x"}}, "pipeline_run_limit"),
        ({"token": "short"}, "token"),
    ],
)
def test_a_value_that_makes_no_sense_is_named_and_nothing_is_stored(
    served: Served, attributes: dict[str, Any], named: str
) -> None:
    answer = create(served, **attributes)
    assert answer.status_code == 422, answer.text
    assert named in served.error(answer)["message"]
    assert served.counts() == (0, 0)
    kept = served.schedule()
    path = f"/api/pipeline_schedules/{kept['id']}"
    before = served.client.get(path).json()
    assert change(served, kept, **attributes).status_code == 422
    assert served.client.get(path).json() == before


def test_unknown_attributes_are_refused_by_post_and_ignored_by_put(served: Served) -> None:
    answer = create(served, name="x", tags=["a"], colour="red")
    assert answer.status_code == 422
    assert "'colour', 'tags'" in served.error(answer)["message"]
    assert served.counts() == (0, 0)
    kept = served.schedule(name="x")
    answer = change(served, kept, colour="red", id=99, pipeline_uuid="lone", name="y")
    item = answer.json()["pipeline_schedule"]
    assert (item["id"], item["pipeline_uuid"], item["name"]) == (kept["id"], "sums", "y")


@pytest.mark.parametrize("key", ["tags", "event_matchers"])
def test_what_is_not_offered_yet_is_not_pretended(served: Served, key: str) -> None:
    kept = served.schedule()
    assert change(served, kept, **{key: []}).status_code == 200
    answer = change(served, kept, **{key: ["x"]}, name="changed")
    assert answer.status_code == 422
    assert "not offered yet" in served.error(answer)["message"]
    item = served.client.get(f"/api/pipeline_schedules/{kept['id']}").json()["pipeline_schedule"]
    assert item["name"] == kept["name"]


def test_only_what_is_given_changes(served: Served) -> None:
    kept = served.schedule(description="before", variables={"a": 1})
    item = change(served, kept, description=None).json()["pipeline_schedule"]
    changed = {key for key in kept if item[key] != kept[key]}
    assert changed == {"description", "updated_at"}


def test_switching_on_notes_when(served: Served) -> None:
    kept = served.schedule(status="inactive")
    first = change(served, kept, status="active").json()["pipeline_schedule"]["last_enabled_at"]
    assert first is not None
    again = change(served, kept, status="active").json()["pipeline_schedule"]
    assert again["last_enabled_at"] == first
    change(served, kept, status="inactive")
    later = change(served, kept, status="active").json()["pipeline_schedule"]
    assert later["last_enabled_at"] > first


def test_a_rotated_token_opens_and_the_old_one_does_not(served: Served) -> None:
    kept = served.schedule()
    fresh = change(served, kept, rotate_token=True).json()["pipeline_schedule"]
    assert re.fullmatch(r"[0-9a-f]{32}", fresh["token"])
    assert fresh["token"] != kept["token"]
    path = f"/api/pipeline_schedules/{kept['id']}/pipeline_runs"
    assert served.client.post(f"{path}/{kept['token']}").status_code == 401
    assert served.client.post(f"{path}/{fresh['token']}").status_code == 200


def test_deleting_forgets_the_trigger_once(served: Served) -> None:
    kept = served.schedule()
    path = f"/api/pipeline_schedules/{kept['id']}"
    assert served.client.delete(path).json()["pipeline_schedule"]["id"] == kept["id"]
    for answer in (served.client.get(path), served.client.delete(path)):
        assert answer.status_code == 404
        assert served.error(answer)["type"] == "record_not_found"


def test_every_change_is_announced(served: Served) -> None:
    heard: list[str] = []
    stop = served.context.signals.listen(heard.append)
    kept = served.schedule()
    change(served, kept, name="x")
    served.client.delete(f"/api/pipeline_schedules/{kept['id']}")
    stop()
    assert heard == [SCHEDULES] * 3


def test_filters_and_orders(served: Served) -> None:
    a = served.schedule(name="b", status="inactive")["id"]
    b = served.schedule("lone", name="a", schedule_type="time", schedule_interval="@daily")["id"]
    c = served.schedule(name="c", schedule_type="event")["id"]
    top = "/api/pipeline_schedules"
    assert ids(served, top) == [a, b, c]
    assert ids(served, f"{top}?status[]=inactive,other") == [a]
    assert ids(served, f"{top}?schedule_type[]=time,event") == [b, c]
    assert ids(served, f"{top}?schedule_interval[]=@daily") == [b]
    assert ids(served, f"{top}?order_by=name") == [b, a, c]
    assert ids(served, f"{top}?order_by=created_at") == [c, b, a]
    assert ids(served, f"{top}?tag[]=x") == []
    assert ids(served, NESTED) == [c, a]
    assert served.client.get(f"{top}?order_by=sla").status_code == 422


def test_the_list_pages(served: Served) -> None:
    made = [served.schedule()["id"] for _ in range(5)]
    pages = []
    for offset in (0, 2, 4):
        body = served.client.get(f"/api/pipeline_schedules?_limit=2&_offset={offset}").json()
        assert body["metadata"] == {"count": 5, "next": offset < 4}
        pages += [item["id"] for item in body["pipeline_schedules"]]
    assert pages == made
    none = served.client.get("/api/pipeline_schedules?_limit=0").json()
    assert none == {"pipeline_schedules": [], "metadata": {"count": 5, "next": False}}


def test_counters_are_null_without_runs(served: Served) -> None:
    idle, busy = served.schedule(), served.schedule()
    done = served.fire(busy)
    served.play(done["id"])
    served.fire(busy)
    listed = served.client.get("/api/pipeline_schedules").json()["pipeline_schedules"]
    keys = ("pipeline_runs_count", "pipeline_in_progress_runs_count", "last_pipeline_run_status")
    told = {item["id"]: tuple(item[key] for key in keys) for item in listed}
    assert told == {idle["id"]: (None, None, None), busy["id"]: (2, 1, "initial")}


def test_a_trigger_of_an_unknown_pipeline_is_refused(served: Served) -> None:
    path = "/api/pipelines/sum/pipeline_schedules"
    for answer in (
        served.client.post(path, json={"pipeline_schedule": {"name": "x"}}),
        served.client.get(path),
    ):
        assert answer.status_code == 404
        said = served.error(answer)
        assert "sum" in said["message"]
    assert served.counts() == (0, 0)
