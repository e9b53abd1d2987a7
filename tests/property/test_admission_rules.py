"""Admission: no limit exceeded, no place wasted, nobody starved."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from weft.core.admission import (
    SHARE,
    ReadyBlock,
    WaitingRun,
    choose_blocks,
    choose_runs,
    skipped_runs,
)
from weft.core.ids import BlockUuid, PipelineUuid, ProjectId, RunId, ScheduleId

T0 = datetime(2024, 1, 1, tzinfo=UTC)
limits = st.none() | st.integers(-1, 4)


@st.composite
def ready_blocks(draw: st.DrawFn) -> list[ReadyBlock]:
    blocks: list[ReadyBlock] = []
    for run in range(draw(st.integers(0, 6))):
        pipeline, limit = draw(st.integers(0, 2)), draw(limits)
        blocks += [
            ReadyBlock(
                run_id=RunId(run),
                project_id=ProjectId(pipeline % 2),
                pipeline_uuid=PipelineUuid(f"p{pipeline}"),
                block_uuid=BlockUuid(f"b{index}"),
                ready_at=T0 + timedelta(seconds=draw(st.integers(0, 60))),
                block_limit_left=limit,
            )
            for index in range(draw(st.integers(1, 6)))
        ]
    return draw(st.permutations(blocks))


@st.composite
def waiting_runs(draw: st.DrawFn) -> list[WaitingRun]:
    """Runs whose schedules and pipelines have one limit each, as in life."""
    by_pipeline = draw(st.lists(limits, min_size=3, max_size=3))
    by_schedule = draw(st.lists(limits, min_size=5, max_size=5))
    runs: list[WaitingRun] = []
    for run in range(draw(st.integers(0, 15))):
        schedule = draw(st.none() | st.integers(0, 4))
        pipeline = draw(st.integers(0, 2)) if schedule is None else schedule % 3
        date = draw(st.none() | st.integers(0, 20))
        runs.append(
            WaitingRun(
                run_id=RunId(run),
                project_id=ProjectId(1),
                pipeline_uuid=PipelineUuid(f"p{pipeline}"),
                schedule_id=None if schedule is None else ScheduleId(schedule),
                execution_date=None if date is None else T0 + timedelta(hours=date),
                limit_schedule=None if schedule is None else by_schedule[schedule],
                limit_pipeline=by_pipeline[pipeline],
                active=draw(st.booleans()),
                skip=draw(st.booleans()),
            )
        )
    return runs


running_pipelines = st.dictionaries(
    st.tuples(st.just(ProjectId(1)), st.sampled_from([PipelineUuid(f"p{i}") for i in range(3)])),
    st.integers(0, 4),
)
running_schedules = st.dictionaries(st.integers(0, 4).map(ScheduleId), st.integers(0, 4))


@given(ready_blocks(), st.integers(-2, 20))
def test_blocks_never_exceed_places_or_the_limit_of_their_run(
    ready: list[ReadyBlock], free: int
) -> None:
    chosen = choose_blocks(ready, free)
    assert len(chosen) <= max(free, 0)
    assert len(set(chosen)) == len(chosen)
    assert set(chosen) <= set(ready)
    by_run = Counter(block.run_id for block in chosen)
    for block in ready:
        if block.block_limit_left is not None:
            assert by_run[block.run_id] <= max(block.block_limit_left, 0)


@given(ready_blocks(), st.integers(0, 20))
def test_no_place_stays_free_while_a_block_may_take_it(ready: list[ReadyBlock], free: int) -> None:
    eligible = 0
    for run in {block.run_id for block in ready}:
        mine = [block for block in ready if block.run_id == run]
        left = mine[0].block_limit_left
        eligible += len(mine) if left is None else min(len(mine), max(left, 0))
    assert len(choose_blocks(ready, free)) == min(free, eligible)


@given(ready_blocks(), st.integers(0, 20))
def test_the_oldest_block_of_a_run_comes_first(ready: list[ReadyBlock], free: int) -> None:
    chosen = choose_blocks(ready, free)
    for run in {block.run_id for block in chosen}:
        taken = [block.ready_at for block in chosen if block.run_id == run]
        left = [b.ready_at for b in ready if b.run_id == run and b not in chosen]
        assert taken == sorted(taken)
        assert not left or max(taken) <= min(left)


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 25))
def test_runs_that_wait_equally_long_get_equally_many_places(
    runs: int, each: int, free: int
) -> None:
    ready = [
        ReadyBlock(
            RunId(run),
            ProjectId(1),
            PipelineUuid("p"),
            BlockUuid(f"b{i}"),
            T0,
            block_limit_left=None,
        )
        for run in range(runs)
        for i in range(each)
    ]
    got = Counter(block.run_id for block in choose_blocks(ready, free))
    counts = [got[RunId(run)] for run in range(runs)]
    assert max(counts) - min(counts) <= 1


@given(st.integers(1, 3), st.integers(1, 4))
@settings(max_examples=25)
def test_a_block_of_a_busy_run_starts_in_the_end_however_many_newcomers_arrive(
    places: int, held: int
) -> None:
    """Each second one place frees and a brand-new run arrives that holds none."""
    patient = ReadyBlock(RunId(0), ProjectId(1), PipelineUuid("busy"), BlockUuid("patient"), T0)
    waiting = [patient]
    for second in range(1, 2 * held * int(SHARE.total_seconds()) + 60):
        newcomers = [
            replace(
                patient,
                run_id=RunId(1000 * second + i),
                pipeline_uuid=PipelineUuid(f"new{second}-{i}"),
                ready_at=T0 + timedelta(seconds=second),
            )
            for i in range(places)
        ]
        waiting += newcomers
        chosen = choose_blocks(
            waiting, places, live_by_run={RunId(0): held}, live_by_pipeline={patient.pipeline: held}
        )
        if patient in chosen:
            return
        waiting = [block for block in waiting if block not in chosen]
    raise AssertionError(f"starved among {len(waiting)}")


@given(waiting_runs(), running_pipelines, running_schedules)
def test_runs_never_exceed_a_limit_and_no_room_is_wasted(
    waiting: list[WaitingRun],
    pipelines: dict[tuple[ProjectId, PipelineUuid], int],
    schedules: dict[ScheduleId, int],
) -> None:
    chosen = choose_runs(waiting, pipelines, schedules)
    by_pipeline = Counter(pipelines) + Counter(run.pipeline for run in chosen)
    by_schedule = Counter(schedules) + Counter(
        run.schedule_id for run in chosen if run.schedule_id is not None
    )

    def room(run: WaitingRun, extra: int) -> bool:
        pipeline = run.limit_pipeline is None or by_pipeline[run.pipeline] + extra <= (
            run.limit_pipeline
        )
        schedule = (
            run.schedule_id is None
            or run.limit_schedule is None
            or by_schedule[run.schedule_id] + extra <= run.limit_schedule
        )
        return pipeline and schedule

    assert all(run.active and room(run, 0) for run in chosen)
    assert not any(room(run, 1) for run in waiting if run.active and run not in chosen)


@given(waiting_runs(), running_pipelines, running_schedules)
def test_the_oldest_run_begins_first_and_the_order_of_asking_is_no_matter(
    waiting: list[WaitingRun],
    pipelines: dict[tuple[ProjectId, PipelineUuid], int],
    schedules: dict[ScheduleId, int],
) -> None:
    chosen = choose_runs(waiting, pipelines, schedules)
    assert chosen == choose_runs(waiting[::-1], pipelines, schedules)
    undated = datetime.min.replace(tzinfo=UTC)
    for schedule in {run.schedule_id for run in waiting}:
        mine = [run for run in waiting if run.schedule_id == schedule and run.active]
        begun = [(r.execution_date or undated, r.run_id) for r in mine if r in chosen]
        left = [(r.execution_date or undated, r.run_id) for r in mine if r not in chosen]
        if schedule is not None:
            assert not begun or not left or max(begun) < min(left)


@given(waiting_runs(), running_pipelines, running_schedules)
def test_what_a_limit_kept_out_is_skipped_only_where_its_pipeline_says_so(
    waiting: list[WaitingRun],
    pipelines: dict[tuple[ProjectId, PipelineUuid], int],
    schedules: dict[ScheduleId, int],
) -> None:
    chosen = choose_runs(waiting, pipelines, schedules)
    skipped = skipped_runs(waiting, chosen)
    assert {run.run_id for run in skipped} == {
        run.run_id for run in waiting if run.skip and run.active
    } - {run.run_id for run in chosen}
