"""Admission by example."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from weft.core.admission import (
    SHARE,
    ReadyBlock,
    WaitingRun,
    choose_blocks,
    choose_runs,
    skipped_runs,
)
from weft.core.ids import BlockUuid, PipelineUuid, ProjectId, RunId, ScheduleId

T0 = datetime(2023, 5, 1, tzinfo=UTC)
P = PipelineUuid("p")
ONE = ProjectId(1)


def block(run: int, name: str, seconds: float = 0, pipeline: str = "p") -> ReadyBlock:
    return ReadyBlock(
        run_id=RunId(run),
        project_id=ONE,
        pipeline_uuid=PipelineUuid(pipeline),
        block_uuid=BlockUuid(name),
        ready_at=T0 + timedelta(seconds=seconds),
    )


def run(number: int, schedule: int, date: datetime, **limits: int | bool | None) -> WaitingRun:
    return WaitingRun(RunId(number), ONE, P, ScheduleId(schedule), date, **limits)  # type: ignore[arg-type]


def names(blocks: list[ReadyBlock]) -> list[str]:
    return [f"{b.run_id}{b.block_uuid}" for b in blocks]


def test_a_small_run_does_not_wait_behind_a_wide_one() -> None:
    wide = [block(1, f"w{i:02}") for i in range(50)]
    small = block(2, "s", 1)
    assert names(choose_blocks([*wide, small], 3)) == ["1w00", "2s", "1w01"]


def test_pipelines_take_turns_too() -> None:
    many = [block(run, "m") for run in range(1, 9)]
    other = block(9, "o", pipeline="q")
    assert names(choose_blocks([*many, other], 3)) == ["1m", "9o", "2m"]


def test_places_held_from_earlier_calls_count() -> None:
    blocks = [block(1, "a"), block(2, "b", 1)]
    assert names(choose_blocks(blocks, 1)) == ["1a"]
    assert names(choose_blocks(blocks, 1, live_by_run={RunId(1): 3})) == ["2b"]


def test_who_waits_a_share_longer_makes_up_for_one_place() -> None:
    late = SHARE.total_seconds()
    held = {RunId(1): 1}
    assert names(choose_blocks([block(1, "a"), block(2, "b", late - 1)], 1, live_by_run=held)) == [
        "2b"
    ]
    assert names(choose_blocks([block(1, "a"), block(2, "b", late + 1)], 1, live_by_run=held)) == [
        "1a"
    ]


def test_no_free_place_means_no_block() -> None:
    assert choose_blocks([block(1, "a")], 0) == []
    assert choose_blocks([block(1, "a")], -3) == []


def test_the_oldest_execution_dates_fill_the_pipeline() -> None:
    hourly = run(1, 1, datetime(2023, 5, 3, 1, tzinfo=UTC), limit_pipeline=2)
    daily = run(2, 2, datetime(2023, 5, 3, tzinfo=UTC), limit_pipeline=2)
    weekly = run(3, 3, datetime(2023, 5, 1, tzinfo=UTC), limit_pipeline=2)
    assert choose_runs([hourly, daily, weekly], {}, {}) == [weekly, daily]


def test_a_full_schedule_does_not_hold_back_another() -> None:
    blocked = run(1, 1, T0, limit_pipeline=2, limit_schedule=1)
    free = run(2, 2, T0 + timedelta(hours=1), limit_pipeline=2, limit_schedule=1)
    running = {(ONE, P): 1}
    assert choose_runs([blocked, free], running, {ScheduleId(1): 1}) == [free]


def test_more_running_than_allowed_lets_nobody_begin() -> None:
    assert choose_runs([run(1, 1, T0, limit_pipeline=1)], {(ONE, P): 2}, {}) == []


def test_pipelines_of_one_name_in_two_projects_have_limits_of_their_own() -> None:
    mine = run(1, 1, T0, limit_pipeline=1)
    assert choose_runs([mine], {(ProjectId(2), P): 1}, {}) == [mine]


def test_a_run_of_a_schedule_switched_off_neither_begins_nor_is_skipped() -> None:
    off = run(1, 1, T0, active=False, skip=True)
    assert choose_runs([off], {}, {}) == []
    assert skipped_runs([off], []) == []


def test_the_policy_skip_cancels_what_found_no_room() -> None:
    first = run(1, 1, T0, limit_pipeline=1, skip=True)
    second = run(2, 1, T0 + timedelta(hours=1), limit_pipeline=1, skip=True)
    chosen = choose_runs([first, second], {}, {})
    assert chosen == [first]
    assert skipped_runs([first, second], chosen) == [second]
