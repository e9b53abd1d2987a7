"""Projects, versions, schedules, events and the outbox in a store."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.contract.stores import KINDS, LOADED, PIPELINE, SPEC, A, Yard
from tests.stores import a_store

from weft.core.errors import Invalid, NotFound
from weft.core.events import Began
from weft.core.ids import PipelineUuid, ProjectId, ScheduleId, VersionId
from weft.core.records import ScheduleCounts
from weft.core.spec import BlockSpec, Limits, LoadedPipeline, PipelineSpec
from weft.core.states import RunStatus
from weft.ports.schedules import Fired

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOLD = timedelta(seconds=60)


@pytest.fixture(params=KINDS)
def yard(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Yard]:
    with a_store(request.param, tmp_path) as store:
        yield Yard.on(store)


def test_a_project_is_known_by_its_uuid_wherever_it_lies(yard: Yard) -> None:
    with yard.store.write() as unit:
        moved = unit.catalog.project(path="/elsewhere", uuid="titanic-uuid")
        assert (moved.id, moved.path) == (yard.project_id, "/elsewhere")
        other = unit.catalog.project(path="/elsewhere", uuid="another")
        assert other.id != moved.id


def test_a_project_without_uuid_is_known_by_its_path(yard: Yard) -> None:
    with yard.store.write() as unit:
        first = unit.catalog.project(path="/x", uuid=None)
        assert first.uuid
        assert unit.catalog.project(path="/x", uuid=None) == first
        assert unit.catalog.project(path="/y", uuid=None).id != first.id
    with yard.store.write() as unit:
        named = unit.catalog.project(path="/x", uuid="given")
        assert (named.id, named.uuid) == (first.id, "given")
        assert unit.catalog.project(path="/x", uuid=None).id == first.id


def test_a_project_is_found_as_it_is_kept(yard: Yard) -> None:
    with yard.store.write() as unit:
        found = unit.catalog.find(path="/elsewhere", uuid="titanic-uuid")
        assert found is not None
        assert (found.id, found.path) == (yard.project_id, "/projects/titanic")
        assert unit.catalog.find(path="/elsewhere", uuid="another") is None
        assert unit.catalog.find(path="/elsewhere", uuid=None) is None
        assert unit.catalog.project(path="/elsewhere", uuid="titanic-uuid").id == found.id
        assert unit.catalog.find(path="/elsewhere", uuid=None) is not None


def test_a_version_is_kept_once_per_content(yard: Yard) -> None:
    with yard.store.write() as unit:
        assert unit.catalog.pin(yard.project_id, LOADED) == yard.version_id
        touched = LoadedPipeline(SPEC, LOADED.code, etag="new", updated_at=99.0)
        assert unit.catalog.pin(yard.project_id, touched) == yard.version_id
        blocks = (*SPEC.blocks[:2], BlockSpec(uuid=A, type="custom", code_hash="other"))
        changed = LoadedPipeline(PipelineSpec(uuid=PIPELINE, blocks=blocks), {"other": "x"})
        newer = unit.catalog.pin(yard.project_id, changed)
        assert newer != yard.version_id
        elsewhere = unit.catalog.project(path="/other", uuid=None).id
        assert unit.catalog.pin(elsewhere, LOADED) not in {newer, yard.version_id}


def test_a_version_comes_back_whole(yard: Yard) -> None:
    spec = PipelineSpec(
        uuid=PipelineUuid("p"),
        tags=("a", "b"),
        variables={"z": 1, "a": [1.5, None]},
        limits=Limits(block_run_limit=2),
        blocks=(BlockSpec(uuid=A, type="data_loader", timeout=1.5, entry={"unknown": {"x": 1}}),),
        config={"name": "p", "later": "é"},
    )
    with yard.store.write() as unit:
        version_id = unit.catalog.pin(yard.project_id, LoadedPipeline(spec, {}))
    with yard.store.read() as unit:
        version = unit.catalog.version(version_id)
        assert version.spec == spec
        assert list(version.spec.variables) == ["z", "a"]
        assert (version.project_id, version.pipeline_uuid) == (yard.project_id, "p")
        assert unit.catalog.code(["hash-a", "hash-b", "nothing"]) == {
            "hash-a": "return 1",
            "hash-b": "é",
        }
        assert unit.catalog.code([]) == {}
        with pytest.raises(NotFound):
            unit.catalog.version(VersionId(999))


def test_a_schedule_comes_back_as_it_was_made(yard: Yard) -> None:
    made = yard.schedule(
        description="Every day",
        start_time=NOON,
        variables={"x": [1]},
        settings={"weft": {"timezone": "Europe/Berlin"}},
        sla=60,
        repo_path="/projects/titanic",
        global_data_product_uuid="g",
    )
    with yard.store.read() as unit:
        assert unit.schedules.get(made.id) == made
    assert (made.start_time, made.variables, made.sla) == (NOON, {"x": [1]}, 60)
    assert made.settings == {"weft": {"timezone": "Europe/Berlin"}}
    assert (made.description, made.repo_path) == ("Every day", "/projects/titanic")
    assert (made.global_data_product_uuid, made.hidden) == ("g", False)


def test_schedules_are_found_by_project_and_pipeline(yard: Yard) -> None:
    one = yard.schedule()
    two = yard.schedule(pipeline_uuid="other")
    hidden = yard.schedule(hidden=True)
    with yard.store.read() as unit:
        find = unit.schedules.find
        assert list(find(yard.project_id)) == [one, two]
        assert list(find(yard.project_id, with_hidden=True)) == [one, two, hidden]
        assert list(find(yard.project_id, PIPELINE)) == [one]
        assert list(find(ProjectId(999))) == []


def test_only_active_time_schedules_with_an_interval_are_planned(yard: Yard) -> None:
    planned = yard.schedule()
    yard.schedule(status="inactive")
    yard.schedule(schedule_type="api")
    yard.schedule(schedule_interval=None)
    with yard.store.read() as unit:
        assert list(unit.schedules.active([yard.project_id])) == [planned]
        assert list(unit.schedules.active([])) == []


def test_a_schedule_changes_only_where_it_is_told_to(yard: Yard) -> None:
    made = yard.schedule()
    with yard.store.write() as unit:
        changes = {"status": "inactive", "variables": {"a": 1}, "start_time": NOON, "sla": None}
        changed = unit.schedules.update(made.id, changes, "ann")
    with yard.store.read() as unit:
        assert unit.schedules.get(made.id) == changed
        event = unit.events.since(0)[-1]
    assert (changed.status, changed.variables, changed.start_time) == ("inactive", {"a": 1}, NOON)
    assert (changed.name, changed.token) == (made.name, made.token)
    assert changed.updated_at > made.updated_at == made.created_at
    assert (event.actor, event.object_type, event.cue) == ("ann", "pipeline_schedule", "update")
    with yard.store.write() as unit:
        with pytest.raises(NotFound):
            unit.schedules.update(ScheduleId(999), {"name": "x"}, "ann")
        with pytest.raises(Invalid) as caught:
            unit.schedules.update(made.id, {"fired_count": 0}, "ann")
        assert "schedule_interval" in (caught.value.hint or "")


def test_the_runs_of_a_deleted_schedule_stay_without_one(yard: Yard) -> None:
    schedule = yard.schedule()
    run_id = yard.make(schedule_id=schedule.id, fire_key="x")
    with yard.store.write() as unit:
        unit.schedules.delete(schedule.id, "ann")
    with yard.store.write() as unit:
        run = unit.runs.get(run_id).run
        assert (run.schedule_id, run.schedule_name, run.schedule_token) == (None, None, None)
        for ask in (
            lambda: unit.schedules.get(schedule.id),
            lambda: unit.schedules.delete(schedule.id, "ann"),
        ):
            with pytest.raises(NotFound):
                ask()


def test_every_change_of_a_schedule_raises_the_revision(yard: Yard) -> None:
    def revision() -> int:
        with yard.store.read() as unit:
            return unit.schedules.revision()

    seen = [revision()]
    schedule = yard.schedule()
    seen.append(revision())
    with yard.store.write() as unit:
        unit.schedules.update(schedule.id, {"name": "x"}, "ann")
        assert unit.schedules.revision() > seen[-1]
    seen.append(revision())
    with yard.store.write() as unit:
        unit.schedules.delete(schedule.id, "ann")
    seen.append(revision())
    assert seen == sorted(set(seen))
    yard.make()
    assert revision() == seen[-1]


def test_a_schedule_knows_what_it_fired(yard: Yard) -> None:
    schedule, idle = yard.schedule(), yard.schedule()
    yard.make(schedule_id=schedule.id, fire_key="1", execution_date=NOON)
    later = NOON + timedelta(days=1)
    yard.make(schedule_id=schedule.id, fire_key="2", execution_date=later)
    told = yard.take(schedule_id=schedule.id, execution_date=later + timedelta(days=9))
    yard.turn(told, Began())
    ids = [schedule.id, idle.id, ScheduleId(999)]
    with yard.store.read() as unit:
        assert unit.schedules.fired(ids) == {
            schedule.id: Fired(2, later, RunStatus.RUNNING),
            idle.id: Fired(0, None, None),
            999: Fired(0, None, None),
        }
        assert unit.schedules.fired([]) == {}
        assert unit.schedules.counts(ids) == {
            schedule.id: ScheduleCounts(RunStatus.RUNNING, runs=3, in_progress=3)
        }
    yard.finish(told)
    with yard.store.read() as unit:
        counts = unit.schedules.counts(ids)[schedule.id]
        assert counts == ScheduleCounts(RunStatus.COMPLETED, runs=3, in_progress=2)
    # What fired has fired, even if its run is removed: the planner must not do it again.
    with yard.store.write() as unit:
        unit.runs.delete(told.claim.run_id)
    with yard.store.read() as unit:
        found = unit.schedules.fired([schedule.id])[schedule.id]
        assert (found.count, found.last_status) == (2, RunStatus.INITIAL)


def test_events_are_read_on_from_where_one_stopped(yard: Yard) -> None:
    one, two = yard.make(), yard.make()
    with yard.store.write() as unit:
        unit.events.add(
            yard.project_id,
            actor="ann\x00",
            object_type="pipeline",
            object_id=3,
            cue="save",
            reason="\ud800",
        )
        # What this very transaction noted can be read within it.
        assert unit.events.since(0)[-1].cue == "save"
    with yard.store.read() as unit:
        everything = list(unit.events.since(0))
        assert [e.run_id for e in everything] == [one, two, None]
        assert list(unit.events.since(everything[0].seq)) == everything[1:]
        assert list(unit.events.since(0, limit=2)) == everything[:2]
        assert list(unit.events.since(0, run_id=two)) == [everything[1]]
        assert list(unit.events.since(everything[-1].seq)) == []
    last = everything[-1]
    assert (last.object_type, last.object_id, last.before, last.after) == (
        ("pipeline", 3, None, None)
    )
    assert (last.actor, last.reason) == ("ann\N{REPLACEMENT CHARACTER}", "?")


def test_an_announcement_is_held_then_told_again_until_it_is_done(yard: Yard) -> None:
    with yard.store.write() as unit:
        for n in range(3):
            unit.outbox.add(yard.project_id, "topic", {"n": n, "nan": float("nan")})
    with yard.store.write() as unit:
        first = unit.outbox.take(2, HOLD)
        assert [a.payload for a in first] == [{"n": 0, "nan": None}, {"n": 1, "nan": None}]
        assert {a.deliveries for a in first} == {1}
        rest = unit.outbox.take(2, -HOLD)
        assert [a.payload["n"] for a in rest] == [2]
        assert unit.outbox.free_in() == timedelta(0)
        unit.outbox.done([first[0].id])
    with yard.store.write() as unit:
        again = unit.outbox.take(10, HOLD)
        assert [(a.payload["n"], a.deliveries) for a in again] == [(2, 2)]
        left = unit.outbox.free_in()
        assert left is not None
        assert HOLD / 2 < left <= HOLD
        unit.outbox.done([])
        unit.outbox.done([a.id for a in (*first, *again)])
        assert unit.outbox.free_in() is None
        assert unit.outbox.take(10, HOLD) == []


def test_a_read_cannot_write(yard: Yard) -> None:
    run_id = yard.make()
    with pytest.raises(RuntimeError), yard.store.read() as unit:
        unit.outbox.add(yard.project_id, "topic", {})
    with pytest.raises(Exception, match=r"read.?only"), yard.store.read() as unit:
        unit.runs.create(yard.new())
    with yard.store.read() as unit:
        assert unit.runs.get(run_id).run.id == run_id


def test_a_read_has_one_consistent_view(yard: Yard) -> None:
    with yard.store.read() as unit:
        before = list(unit.events.since(0))
        yard.make()
        assert list(unit.events.since(0)) == before
        assert unit.schedules.revision() == 0
    with yard.store.read() as unit:
        assert len(unit.events.since(0)) == len(before) + 1


def test_time_is_that_of_the_database(yard: Yard) -> None:
    with yard.store.write() as unit:
        first = unit.now()
        assert first.utcoffset() == timedelta(0)
        assert unit.now() == first
    with yard.store.read() as unit:
        assert unit.now() > first
