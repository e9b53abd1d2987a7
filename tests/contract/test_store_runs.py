"""Runs in a store: made once, read whole, owned by one, listed, removed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from tests.contract.stores import KINDS, PIPELINE, SPEC, TTL, A, B, Yard, an_attempt, names
from tests.stores import a_store

from weft.core.errors import Conflict, Invalid, NotFound
from weft.core.events import Admitted, Began, CancelAsked, Failed, RetryAsked, Started
from weft.core.ids import BlockRunId, EngineId, ProjectId, RunId, ScheduleId
from weft.core.machine import BlockRun
from weft.core.states import BlockStatus, RunStatus
from weft.ports.runs import Claim, RunFilter

DAY = datetime(2026, 11, 23, 15, 28, 50, 956251, tzinfo=UTC)


@pytest.fixture(params=KINDS)
def yard(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Yard]:
    with a_store(request.param, tmp_path) as store:
        yield Yard.on(store)


def _listed(yard: Yard, **said: object) -> list[RunId]:
    with yard.store.read() as unit:
        page = unit.runs.find(RunFilter(yard.project_id, **said))  # type: ignore[arg-type]
    return [item.run.id for item in page.items]


def test_a_run_comes_back_as_it_was_made(yard: Yard) -> None:
    schedule = yard.schedule()
    variables = {"b": 1, "a": [None, True, 1.5, "é\x00\n"], "big": 2**70, "deep": {"": {}}}
    run_id = yard.make(
        schedule_id=schedule.id,
        execution_date=DAY,
        variables=variables,
        event_variables={},
        backfill_id=7,
        executor_type="ray",
        idempotency_key="key",
    )
    with yard.store.read() as unit:
        found = unit.runs.get(run_id)
    run = found.run
    assert run.variables == variables
    assert list(run.variables or ()) == list(variables)
    assert run.event_variables == {}
    assert run.metrics is None
    assert (run.execution_date, run.backfill_id, run.executor_type) == (DAY, 7, "ray")
    assert (run.schedule_id, run.schedule_name) == (schedule.id, "late forest")
    assert (run.schedule_token, run.schedule_type) == ("0" * 32, "time")
    assert (run.status, run.epoch, run.fence, run.owner) == (RunStatus.INITIAL, 1, 0, None)
    assert (run.project_id, run.pipeline_uuid) == (yard.project_id, PIPELINE)
    assert run.version_id == yard.version_id
    assert run.idempotency_key == "key"
    assert run.passed_sla is False
    assert names(found.blocks) == ["a", "b", "c"]
    assert {block.status for block in found.blocks} == {BlockStatus.INITIAL}
    assert {block.run_id for block in found.blocks} == {run_id}
    assert yard.cues(run_id) == [(None, "create")]


def test_times_are_instants_in_utc_to_the_microsecond(yard: Yard) -> None:
    elsewhere = DAY.astimezone(timezone(timedelta(hours=-5)))
    run_id = yard.make(execution_date=elsewhere)
    with yard.store.read() as unit:
        run = unit.runs.get(run_id).run
    assert run.execution_date is not None
    assert run.execution_date.isoformat(" ") == "2026-11-23 15:28:50.956251+00:00"
    assert run.created_at.utcoffset() == timedelta(0)
    whole = yard.make(execution_date=DAY.replace(microsecond=0))
    with yard.store.read() as unit:
        assert unit.runs.get(whole).run.execution_date == DAY.replace(microsecond=0)
    # Both kinds of second sort as the instants that they are.
    assert _listed(yard) == [run_id, whole]


def test_a_time_without_a_zone_is_refused(yard: Yard) -> None:
    with pytest.raises(Invalid, match="zone"):
        yard.make(execution_date=DAY.replace(tzinfo=None))


def test_what_json_cannot_say_breaks_nothing(yard: Yard) -> None:
    run_id = yard.make(variables={"nan": math.nan, "inf": [math.inf], "odd": "\ud800", "d": DAY})
    with yard.store.read() as unit:
        said = unit.runs.get(run_id).run.variables
    assert said == {"nan": None, "inf": [None], "odd": "?", "d": "2026-11-23T15:28:50.956251Z"}


def test_one_fire_makes_one_run(yard: Yard) -> None:
    schedule = yard.schedule()
    other = yard.schedule()
    first = yard.make(schedule_id=schedule.id, fire_key="noon", execution_date=DAY)
    with yard.store.write() as unit:
        again = unit.runs.create(yard.new(schedule_id=schedule.id, fire_key="noon"))
    assert again == (first, False)
    assert yard.make(schedule_id=other.id, fire_key="noon") != first
    assert yard.make(schedule_id=schedule.id, fire_key="one") != first
    with yard.store.read() as unit:
        assert unit.schedules.fired([schedule.id])[schedule.id].count == 2
        assert len(unit.runs.get(first).blocks) == 3
        assert len(yard.cues(first)) == 1


def test_one_idempotency_key_makes_one_run(yard: Yard) -> None:
    first = yard.make(idempotency_key="k")
    with yard.store.write() as unit:
        assert unit.runs.create(yard.new(idempotency_key="k")) == (first, False)
        elsewhere = unit.catalog.project(path="/other", uuid=None)
        new = yard.new(project_id=elsewhere.id, idempotency_key="k")
        assert unit.runs.create(new)[1]
    assert yard.make() != yard.make()


def test_a_run_of_an_unknown_schedule_is_refused_and_leaves_nothing(yard: Yard) -> None:
    with pytest.raises(Conflict):
        yard.make(schedule_id=ScheduleId(999))
    assert _listed(yard) == []


def test_what_fails_leaves_nothing(yard: Yard) -> None:
    def make_and_fail() -> None:
        with yard.store.write() as unit:
            unit.runs.create(yard.new())
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        make_and_fail()
    assert _listed(yard) == []
    with yard.store.read() as unit:
        assert [e for e in unit.events.since(0) if e.object_type == "pipeline_run"] == []


def test_unknown_things_are_not_found(yard: Yard) -> None:
    nobody = RunId(999)
    with yard.store.write() as unit:
        with pytest.raises(NotFound):
            unit.runs.get(nobody)
        with pytest.raises(NotFound):
            unit.runs.delete(nobody)
        with pytest.raises(NotFound):
            unit.runs.request_cancel(nobody, "me")
        with pytest.raises(NotFound):
            unit.runs.block_run(BlockRunId(999))
        assert list(unit.runs.attempts(nobody)) == []


def test_a_block_run_knows_its_run(yard: Yard) -> None:
    run_id = yard.make()
    with yard.store.read() as unit:
        block = unit.runs.get(run_id).blocks[1]
        run, uuid = unit.runs.block_run(block.id)
        assert (run, uuid) == (unit.runs.get(run_id).run, B)


def test_claims_take_free_runs_oldest_first(yard: Yard) -> None:
    ids = [yard.make() for _ in range(3)]
    first = yard.claim(limit=2)
    assert [claimed.claim for claimed in first] == [Claim(ids[0], 1), Claim(ids[1], 1)]
    assert [claimed.stored.run.owner for claimed in first] == ["me", "me"]
    assert names(first[0].stored.blocks) == ["a", "b", "c"]
    assert [claimed.claim.run_id for claimed in yard.claim()] == [ids[2]]
    assert yard.claim() == []


def test_claims_stay_within_the_projects_asked_for(yard: Yard) -> None:
    yard.make()
    with yard.store.write() as unit:
        assert list(unit.runs.claim(yard.me, [ProjectId(999)], 10)) == []
        assert list(unit.runs.claim(yard.me, [], 10)) == []


def test_a_run_born_owned_is_nobody_elses(yard: Yard) -> None:
    run_id = yard.make(owner=yard.me)
    assert yard.claim(yard.enlist("other")) == []
    assert yard.claim() == []
    with yard.store.read() as unit:
        assert (unit.runs.get(run_id).run.owner, unit.runs.get(run_id).run.fence) == ("me", 1)


def test_a_run_is_free_once_its_owners_lease_is_over(yard: Yard) -> None:
    run_id = yard.make()
    dead = yard.enlist("dead")
    assert yard.claim(dead)[0].claim == Claim(run_id, 1)
    assert yard.claim() == []
    with yard.store.write() as unit:
        assert unit.engines.renew(dead, timedelta(seconds=-1))
    assert [claimed.claim for claimed in yard.claim()] == [Claim(run_id, 2)]


def test_a_run_of_my_earlier_incarnation_is_free(yard: Yard) -> None:
    run_id = yard.make()
    assert yard.claim()[0].claim == Claim(run_id, 1)
    again = yard.enlist("me")
    assert again.incarnation == yard.me.incarnation + 1
    assert yard.claim(again)[0].claim == Claim(run_id, 2)


def test_an_engine_can_ask_what_is_its_own(yard: Yard) -> None:
    mine, born = yard.make(), yard.make(owner=yard.me)
    yard.finish(yard.take())
    yard.claim()
    other = yard.enlist("other")
    theirs = yard.make(owner=other)
    with yard.store.read() as unit:
        found = unit.runs.owned(yard.me)
        assert [claimed.claim for claimed in found] == [Claim(mine, 1), Claim(born, 1)]
        assert found[0].stored == unit.runs.get(mine)
        assert [claimed.claim.run_id for claimed in unit.runs.owned(other)] == [theirs]
    assert yard.enlist("me") != yard.me
    with yard.store.read() as unit:
        assert [claimed.claim.run_id for claimed in unit.runs.owned(yard.me)] == [mine, born]


def test_an_ended_run_is_never_claimed(yard: Yard) -> None:
    yard.finish(yard.take())
    assert yard.claim(yard.enlist("other")) == []


def test_a_released_run_is_free_and_its_old_claim_void(yard: Yard) -> None:
    told = yard.take()
    with yard.store.write() as unit:
        unit.runs.release([told.claim, Claim(RunId(999), 1)])
    late = told.plan(Began(), store=yard.store)
    assert yard.save(late) == {told.claim.run_id}
    other = yard.enlist("other")
    assert [claimed.claim for claimed in yard.claim(other)] == [Claim(told.claim.run_id, 2)]


def test_releasing_late_takes_nothing_from_the_new_owner(yard: Yard) -> None:
    run_id = yard.make()
    dead = yard.enlist("dead", -TTL)
    old = yard.claim(dead)[0].claim
    yard.claim()
    with yard.store.write() as unit:
        unit.runs.release([old])
    with yard.store.read() as unit:
        assert unit.runs.get(run_id).run.owner == "me"


def test_engines_live_by_their_leases(yard: Yard) -> None:
    other = yard.enlist("other")
    with yard.store.write() as unit:
        assert unit.engines.renew(other, TTL)
        live = {row.ref.id: row.live for row in unit.engines.all()}
        assert live == {"me": True, "other": True}
        until = {row.ref.id: row.lease_until for row in unit.engines.all()}
        assert unit.now() + TTL - timedelta(seconds=5) < until[EngineId("other")]
        assert until[EngineId("other")] <= unit.now() + TTL
        unit.engines.retire(other)
        assert {row.ref.id: row.live for row in unit.engines.all()}["other"] is False
    newer = yard.enlist("other")
    with yard.store.write() as unit:
        assert not unit.engines.renew(other, TTL)
        unit.engines.retire(other)
        assert {row.ref: row.live for row in unit.engines.all()}[newer]


def test_an_engine_says_where_it_works_and_where_it_has_moved_to(yard: Yard) -> None:
    def whereabouts() -> tuple[str, int, str]:
        with yard.store.read() as unit:
            (row,) = (row for row in unit.engines.all() if row.ref.id == "me")
        return row.host, row.pid, row.data_dir

    assert whereabouts() == ("here", 1, "/data/me")
    with yard.store.write() as unit:
        unit.engines.enlist(EngineId("me"), TTL, host="there", pid=3, data_dir="/déjà/me")
    assert whereabouts() == ("there", 3, "/déjà/me")


def test_a_cancel_is_asked_once_taken_once_and_written_down(yard: Yard) -> None:
    told = yard.take()
    run_id = told.claim.run_id
    with yard.store.write() as unit:
        assert unit.runs.request_cancel(run_id, "ann")
    with yard.store.write() as unit:
        assert unit.runs.request_cancel(run_id, "bob")
    with yard.store.write() as unit:
        assert unit.runs.cancels([]) == {}
        assert unit.runs.cancels([Claim(run_id, 99)]) == {}
        assert unit.runs.cancels([told.claim]) == {run_id: "ann"}
        assert unit.runs.cancels([told.claim]) == {}
    assert yard.cues(run_id) == [(None, "create"), *[(None, "cancel_asked")] * 2]


def test_a_request_taken_by_an_engine_that_died_is_taken_again(yard: Yard) -> None:
    run_id = yard.make()
    dead = yard.enlist("dead", -TTL)
    old = yard.claim(dead)[0].claim
    with yard.store.write() as unit:
        unit.runs.request_cancel(run_id, "ann")
        assert unit.runs.cancels([old]) == {run_id: "ann"}
    new = yard.claim()[0].claim
    with yard.store.write() as unit:
        assert unit.runs.cancels([new]) == {run_id: "ann"}


def test_an_ended_run_takes_no_request_and_keeps_none(yard: Yard) -> None:
    told = yard.take()
    run_id = told.claim.run_id
    with yard.store.write() as unit:
        unit.runs.request_cancel(run_id, "ann")
    yard.turn(told, CancelAsked("ann"))
    assert told.run.status is RunStatus.CANCELLED
    with yard.store.write() as unit:
        assert not unit.runs.request_cancel(run_id, "bob")
        assert unit.runs.cancels([told.claim]) == {}
        assert unit.runs.get(run_id).run.cancel_requested_at is not None


def test_a_request_that_came_too_late_does_not_end_a_retry(yard: Yard) -> None:
    told = yard.take()
    with yard.store.write() as unit:
        unit.runs.request_cancel(told.claim.run_id, "ann")
    yard.finish(told)
    yard.turn(told, RetryAsked("bob", SPEC.graph(), {}, from_block=A))
    (again,) = yard.claim()
    with yard.store.write() as unit:
        assert unit.runs.cancels([again.claim]) == {}


def test_only_an_ended_run_is_deleted_and_all_of_it(yard: Yard) -> None:
    told = yard.take()
    other = yard.make()
    with pytest.raises(Conflict) as caught, yard.store.write() as unit:
        unit.runs.delete(told.claim.run_id)
    assert caught.value.hint
    yard.finish(told)
    with yard.store.write() as unit:
        unit.runs.delete(told.claim.run_id)
    with yard.store.read() as unit:
        assert list(unit.runs.attempts(told.claim.run_id)) == []
        assert list(unit.events.since(0, run_id=told.claim.run_id)) == []
        assert unit.artifacts.of_run(told.claim.run_id) == {}
    assert _listed(yard) == [other]
    # Its number is not given to anybody else: logs and outputs lie under it.
    assert yard.make() > other > told.claim.run_id


def test_limits_count_what_is_live(yard: Yard) -> None:
    schedule = yard.schedule()
    told = yard.take(schedule_id=schedule.id)
    loose = yard.take()
    projects = [yard.project_id]
    with yard.store.read() as unit:
        assert unit.limits.live_blocks(projects) == 0
        assert unit.limits.running_runs(yard.project_id, PIPELINE) == 0
    yard.turn(told, Began(), Admitted((A,)), attempts={(A, 1): an_attempt()})
    yard.turn(loose, Began(), Admitted((A,)), Started(A, 1))
    with yard.store.read() as unit:
        assert unit.limits.live_blocks(projects) == 2
        assert unit.limits.live_blocks([]) == 0
        assert unit.limits.running_runs(yard.project_id, PIPELINE) == 2
        assert unit.limits.running_runs(yard.project_id, PIPELINE, schedule.id) == 1
    yard.turn(told, Started(A, 1), Failed(A, 1))
    assert told.run.blocks[A] == BlockRun(BlockStatus.FAILED, attempt=1, failures=1)
    with yard.store.read() as unit:
        assert unit.limits.live_blocks(projects) == 1
        assert unit.limits.running_runs(yard.project_id, PIPELINE, schedule.id) == 0


def test_lists_are_ordered_by_execution_date_then_id_newest_first(yard: Yard) -> None:
    late = yard.make(execution_date=DAY)
    undated = yard.make()
    early = yard.make(execution_date=DAY - timedelta(days=1))
    later = yard.make(execution_date=DAY)
    assert _listed(yard) == [later, late, early, undated]
    assert _listed(yard, order_by=(("id", False),)) == [late, undated, early, later]
    assert _listed(yard, order_by=(("status", True), ("execution_date", False))) == [
        undated,
        early,
        later,
        late,
    ]
    with pytest.raises(Invalid) as caught:
        _listed(yard, order_by=(("secrets", False),))
    assert "execution_date" in (caught.value.hint or "")


def test_lists_come_in_pages_with_their_block_runs(yard: Yard) -> None:
    ids = [yard.make(execution_date=DAY + timedelta(hours=n)) for n in range(5)]
    with yard.store.read() as unit:
        page = unit.runs.find(RunFilter(yard.project_id, limit=2, offset=1))
        assert page.total == 5
        assert [item.run.id for item in page.items] == [ids[3], ids[2]]
        assert [names(item.blocks) for item in page.items] == [["a", "b", "c"]] * 2
        assert page.items[0] == unit.runs.get(ids[3])
        everything = unit.runs.find(RunFilter(yard.project_id, limit=None))
        assert len(everything.items) == 5
        nothing = unit.runs.find(RunFilter(yard.project_id, limit=0))
        assert (nothing.items, nothing.total) == ((), 5)


def test_lists_filter(yard: Yard) -> None:
    schedule = yard.schedule()
    hidden = yard.schedule(hidden=True)
    one = yard.make(schedule_id=schedule.id, backfill_id=3)
    two = yard.make(pipeline_uuid="other")
    secret = yard.make(schedule_id=hidden.id)
    told = yard.take()
    yard.finish(told)
    done = told.claim.run_id
    with yard.store.write() as unit:
        elsewhere = unit.catalog.project(path="/other", uuid=None).id
    foreign = yard.make(project_id=elsewhere)
    assert _listed(yard) == [done, two, one]
    assert _listed(yard, with_hidden=True) == [done, secret, two, one]
    assert _listed(yard, schedule_id=schedule.id) == [one]
    assert _listed(yard, backfill_id=3) == [one]
    assert _listed(yard, pipeline_uuids=["other"]) == [two]
    assert _listed(yard, pipeline_uuids=["other", PIPELINE]) == [done, two, one]
    assert _listed(yard, pipeline_uuids=[]) == []
    assert _listed(yard, statuses=[RunStatus.COMPLETED]) == [done]
    assert _listed(yard, statuses=[RunStatus.COMPLETED, RunStatus.INITIAL]) == [done, two, one]
    assert _listed(yard, statuses=[]) == []
    with yard.store.read() as unit:
        made = unit.runs.get(two).run.created_at
        assert [i.run.id for i in unit.runs.find(RunFilter(elsewhere)).items] == [foreign]
    assert _listed(yard, created_from=made) == [done, two]
    assert _listed(yard, created_to=made) == [two, one]


def test_last_failed_shows_only_runs_that_nobody_has_made_good(yard: Yard) -> None:
    def a_run(*, good: bool, date: datetime = DAY) -> RunId:
        told = yard.take(execution_date=date)
        if good:
            yard.finish(told)
        else:
            yard.turn(told, Began(), Admitted((A,)), Started(A, 1), Failed(A, 1))
            assert told.run.status is RunStatus.FAILED
        return told.claim.run_id

    a_run(good=False)
    a_run(good=True)
    a_run(good=False, date=DAY + timedelta(days=1))
    still_bad = a_run(good=False, date=DAY + timedelta(days=1))
    assert _listed(yard, last_failed=True) == [still_bad]


def test_retries_stand_beside_their_run(yard: Yard) -> None:
    first = [yard.make(execution_date=DAY) for _ in range(3)]
    second = [yard.make(execution_date=DAY - timedelta(days=1)) for _ in range(2)]
    with yard.store.read() as unit:
        page = unit.runs.find(RunFilter(yard.project_id, limit=2, group_retries=True))
        assert [item.run.id for item in page.items] == first[::-1]
        assert page.total == 5
        page = unit.runs.find(RunFilter(yard.project_id, limit=2, offset=2, group_retries=True))
        assert [item.run.id for item in page.items] == [*first[::-1], *second[::-1]]
