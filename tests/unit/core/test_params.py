"""The variables of a run, its partition, and the body of a trigger request."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from weft.core.errors import Invalid
from weft.core.ids import PipelineUuid, ProjectId, RunId, ScheduleId, VersionId
from weft.core.interval import Interval, parse_interval
from weft.core.params import (
    RunFields,
    asked_partition,
    asked_variables,
    run_fields,
    run_partition,
    run_variables,
    split_trigger_body,
)
from weft.core.records import PipelineRun, PipelineSchedule
from weft.core.states import RunStatus
from weft.triggers.cron import cron_calendar

DATE = datetime(2023, 10, 11, 12, 10, tzinfo=UTC)


def run(**changes: Any) -> PipelineRun:
    columns: dict[str, Any] = {
        "id": RunId(31),
        "project_id": ProjectId(1),
        "pipeline_uuid": PipelineUuid("titanic"),
        "version_id": VersionId(1),
        "status": RunStatus.INITIAL,
        "created_at": DATE,
        "updated_at": DATE,
        "schedule_id": ScheduleId(7),
        "schedule_name": "late forest",
        "execution_date": DATE,
    }
    return PipelineRun(**{**columns, **changes})


def schedule(**variables: Any) -> PipelineSchedule:
    return PipelineSchedule(
        id=ScheduleId(7),
        project_id=ProjectId(1),
        pipeline_uuid=PipelineUuid("titanic"),
        name="late forest",
        token="t",
        schedule_type="time",
        status="active",
        created_at=DATE,
        updated_at=DATE,
        variables=variables,
    )


def interval(text: str, zone: str = "UTC") -> Interval:
    return parse_interval(text, ZoneInfo(zone), cron_calendar)


def variables(of: PipelineRun, **more: Any) -> dict[str, Any]:
    return run_variables(**{"pipeline_variables": None, "schedule": schedule(), **more}, run=of)


def test_the_run_wins_over_the_schedule_and_the_schedule_over_the_pipeline() -> None:
    got = run_variables(
        pipeline_variables={"a": "pipeline", "b": "pipeline", "c": "pipeline"},
        schedule=schedule(b="schedule", c="schedule"),
        run=run(variables={"c": "run"}),
    )
    assert (got["a"], got["b"], got["c"]) == ("pipeline", "schedule", "run")


def test_an_event_variable_only_fills_a_key_that_is_free() -> None:
    got = variables(run(variables={"a": "run"}, event_variables={"a": "event", "z": "event"}))
    assert (got["a"], got["z"]) == ("run", "event")


def test_merging_is_shallow() -> None:
    got = variables(run(variables={"a": {"y": 2}}), pipeline_variables={"a": {"x": 1}})
    assert got["a"] == {"y": 2}


def test_what_weft_says_wins_over_the_user_and_extra_over_all() -> None:
    mine = {"env": "dev", "ds": "never", "pipeline_run_id": 0, "execution_date": "never"}
    got = variables(run(variables=mine), extra={"hr": "99"})
    assert (got["env"], got["ds"], got["hr"]) == ("prod", "2023-10-11", "99")
    assert (got["pipeline_run_id"], got["execution_date"]) == (31, DATE)


def test_a_run_of_the_planner_gets_exactly_these_keys() -> None:
    assert variables(run(), interval=interval("*/10 * * * *")) == {
        "ds": "2023-10-11",
        "hr": "12",
        "env": "prod",
        "event": {},
        "execution_date": DATE,
        "execution_partition": "7/20231011T121000",
        "pipeline_run_id": 31,
        "trigger_name": "late forest",
        "interval_start_datetime": DATE,
        "interval_end_datetime": DATE + timedelta(minutes=10),
        "interval_seconds": 600,
        "interval_start_datetime_previous": DATE - timedelta(minutes=10),
    }


def test_a_run_without_execution_date_lacks_what_derives_from_it() -> None:
    assert variables(run(execution_date=None), interval=interval("@hourly")) == {
        "env": "prod",
        "event": {},
        "execution_date": None,
        "execution_partition": "7",
        "pipeline_run_id": 31,
        "trigger_name": "late forest",
    }


def test_a_run_of_a_schedule_without_times_has_no_interval() -> None:
    assert not [key for key in variables(run()) if key.startswith("interval")]


def test_once_has_a_start_and_no_end() -> None:
    got = variables(run(), interval=interval("@once"))
    assert got["interval_start_datetime"] == DATE
    assert got["interval_end_datetime"] is None
    assert got["interval_seconds"] is None
    assert got["interval_start_datetime_previous"] is None


def test_an_interval_that_somebody_gave_is_kept_as_times() -> None:
    given = {
        "interval_start_datetime": "2023-01-01 00:00:00",
        "interval_end_datetime": "2023-01-02T00:00:00+01:00",
        "interval_seconds": 5,
        "interval_start_datetime_previous": "yesterday",
    }
    got = variables(run(variables=given), interval=interval("@hourly"))
    assert got["interval_start_datetime"] == datetime(2023, 1, 1, tzinfo=UTC)
    assert got["interval_end_datetime"] == datetime(2023, 1, 1, 23, tzinfo=UTC)
    assert got["interval_seconds"] == 5
    assert got["interval_start_datetime_previous"] == "yesterday"


def test_the_date_of_a_schedule_with_a_zone_is_that_of_its_zone() -> None:
    midnight = datetime(2023, 10, 10, 22, tzinfo=UTC)
    got = variables(run(execution_date=midnight), interval=interval("@daily", "Europe/Berlin"))
    assert (got["ds"], got["hr"]) == ("2023-10-11", "00")
    assert got["execution_date"] == midnight
    assert got["execution_partition"] == "7/20231010T220000"


def test_the_event_is_the_variable_of_that_name_and_the_event_variables() -> None:
    got = variables(run(variables={"event": {"a": 1, "b": 1}}, event_variables={"b": 2}))
    assert got["event"] == {"a": 1, "b": 2}
    assert variables(run(variables={"event": "text"}))["event"] == {}


def test_nothing_that_was_given_is_changed() -> None:
    mine = {"event": {"a": 1}}
    variables(run(variables=mine, event_variables={"b": 2}))["event"]["c"] = 3
    assert mine == {"event": {"a": 1}}


def test_a_deleted_schedule_leaves_its_name() -> None:
    got = variables(run(schedule_id=None), schedule=None)
    assert got["trigger_name"] == "late forest"


def test_the_partition_of_a_planned_run_is_schedule_and_second() -> None:
    assert run_partition(run()) == "7/20231011T121000"
    assert run_partition(run(execution_date=None)) == "7"
    local = DATE.astimezone(timezone(timedelta(hours=5)))
    assert run_partition(run(execution_date=local)) == "7/20231011T121000"


def test_the_partition_of_a_run_asked_for_has_microseconds() -> None:
    at = DATE.replace(microsecond=42)
    assert asked_partition(ScheduleId(7), at) == "7/20231011T121000_000042"
    assert asked_variables({"a": 1}, ScheduleId(7), at) == {
        "a": 1,
        "execution_partition": "7/20231011T121000_000042",
    }


def test_a_run_keeps_the_partition_in_its_variables() -> None:
    own = {"execution_partition": "7/20230101T000000_000001"}
    assert run_partition(run(variables=own)) == "7/20230101T000000_000001"
    assert asked_variables(own, ScheduleId(7), DATE) == own


def test_runs_of_no_schedule_do_not_share_a_partition() -> None:
    first, second = run(schedule_id=None), run(schedule_id=None, id=RunId(32))
    assert run_partition(first) != run_partition(second)


@pytest.mark.parametrize(
    "path",
    ["../7", "7/../../etc", "/etc", "7//8", "", ".", "7/", "a\\b", "a\0", "7/\n", "7/ä", 7, ["7"]],
)
def test_a_partition_never_leaves_its_folder(path: Any) -> None:
    assert run_partition(run(variables={"execution_partition": path})) == "7/20231011T121000"
    with pytest.raises(Invalid, match="execution_partition"):
        asked_variables({"execution_partition": path}, ScheduleId(7), DATE)


def test_a_request_without_a_body_has_no_event_variables() -> None:
    assert split_trigger_body(None) == (RunFields(), None)


@pytest.mark.parametrize("body", [{}, {"pipeline_run": None}, {"pipeline_run": {}}])
def test_a_body_without_further_keys_has_empty_event_variables(body: Any) -> None:
    assert split_trigger_body(body) == (RunFields(), {})


def test_a_body_is_split_and_nothing_goes_to_both_sides() -> None:
    fields, events = split_trigger_body(
        {
            "pipeline_run": {
                "variables": {"env": "staging"},
                "execution_date": "2023-01-02T03:04:05",
                "backfill_id": 3,
            },
            "extra": 5,
            "variables": {"top": True},
        }
    )
    at = datetime(2023, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert fields == RunFields({"env": "staging"}, at, 3)
    assert events == {"extra": 5, "variables": {"top": True}}


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2023-01-02T03:04:05Z", datetime(2023, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2023-01-02 03:04:05.000006", datetime(2023, 1, 2, 3, 4, 5, 6, tzinfo=UTC)),
        ("2023-01-02T03:04:05+02:00", datetime(2023, 1, 2, 1, 4, 5, tzinfo=UTC)),
    ],
)
def test_an_execution_date_is_utc_unless_it_says_otherwise(text: str, at: datetime) -> None:
    got = run_fields({"execution_date": text}).execution_date
    assert got == at
    assert got is not None
    assert got.tzinfo is UTC


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ([], "body"),
        ("text", "body"),
        (0, "body"),
        ({"pipeline_run": []}, "pipeline_run is not"),
        ({"pipeline_run": {"status": "completed", "id": 1}}, "'status', 'id'"),
        ({"pipeline_run": {"variables": [1]}}, "variables"),
        ({"pipeline_run": {"variables": "{}"}}, "variables"),
        ({"pipeline_run": {"backfill_id": "3"}}, "backfill_id"),
        ({"pipeline_run": {"backfill_id": True}}, "backfill_id"),
        ({"pipeline_run": {"backfill_id": 1.5}}, "backfill_id"),
        ({"pipeline_run": {"execution_date": "tomorrow"}}, "tomorrow"),
        ({"pipeline_run": {"execution_date": 1700000000}}, "1700000000"),
        ({"pipeline_run": {"execution_date": "2023-02-30T00:00:00"}}, "2023-02-30"),
        ({"pipeline_run": {"execution_date": "0001-01-01T00:00:00+14:00"}}, "0001-01-01"),
    ],
)
def test_a_wrong_body_is_refused_with_what_is_wrong(body: Any, named: str) -> None:
    with pytest.raises(Invalid) as refusal:
        split_trigger_body(body)
    assert named in refusal.value.message
    assert refusal.value.hint


def test_keys_that_another_request_sets_elsewhere_can_be_ignored() -> None:
    given = {"pipeline_uuid": "other", "variables": {"a": 1}}
    assert run_fields(given, ignored={"pipeline_uuid"}) == RunFields({"a": 1})
    with pytest.raises(Invalid, match="pipeline_uuid"):
        run_fields(given)
