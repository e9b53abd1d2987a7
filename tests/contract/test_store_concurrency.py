"""Several at once: nobody gets what another has, and nobody misses what another did."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import psycopg
import pytest
from sqlalchemy.engine import make_url
from tests.contract.stores import KINDS, LOADED, PIPELINE, TTL, A, Yard
from tests.stores import a_database, a_store

from weft.core.errors import Unavailable
from weft.core.events import Admitted, Began
from weft.core.ids import RunId, ScheduleId
from weft.ports.unit import Store
from weft.store import engine as engine_module
from weft.store import open_store
from weft.store.migrate import prepare

WAIT = 30
T = TypeVar("T")


@pytest.fixture(params=KINDS)
def yard(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Yard]:
    with a_store(request.param, tmp_path) as store:
        yield Yard.on(store)


def _at_once(*tasks: Callable[[], T]) -> list[T]:
    """Run each in a thread of its own, all let go at the same moment."""
    gate = threading.Barrier(len(tasks))

    def wait_then(task: Callable[[], T]) -> T:
        gate.wait(WAIT)
        return task()

    with ThreadPoolExecutor(len(tasks)) as pool:
        futures: list[Future[T]] = [pool.submit(wait_then, task) for task in tasks]
        return [future.result(WAIT) for future in futures]


def test_engines_that_claim_at_once_get_different_runs(yard: Yard) -> None:
    ids = {yard.make() for _ in range(60)}
    engines = [yard.enlist(f"engine-{n}") for n in range(4)]

    def claim_all(n: int) -> list[RunId]:
        taken: list[RunId] = []
        while some := yard.claim(engines[n], limit=4):
            taken += [claimed.claim.run_id for claimed in some]
        return taken

    shares = _at_once(*(lambda n=n: claim_all(n) for n in range(4)))  # type: ignore[misc]
    taken = [run_id for share in shares for run_id in share]
    assert len(taken) == len(set(taken))
    assert set(taken) == ids


@pytest.mark.postgres
def test_a_claim_does_not_wait_for_another(tmp_path: Path) -> None:
    with a_store("postgres", tmp_path) as store:
        yard = Yard.on(store)
        first, second = yard.make(), yard.make()
        other = yard.enlist("other")
        with store.write() as unit:
            (mine,) = unit.runs.claim(yard.me, [yard.project_id], 1)
            theirs = yard.claim(other)
        assert mine.claim.run_id == first
        assert [claimed.claim.run_id for claimed in theirs] == [second]


@pytest.mark.parametrize("key", ["fire_key", "idempotency_key"])
def test_doubles_made_at_once_are_one_run(yard: Yard, key: str) -> None:
    schedule = yard.schedule()

    def create() -> tuple[RunId, bool]:
        with yard.store.write() as unit:
            new = yard.new(schedule_id=schedule.id, **{key: "same"})
            return unit.runs.create(new)

    made = _at_once(*[create] * 6)
    assert len({run_id for run_id, _ in made}) == 1
    assert sum(new for _, new in made) == 1
    with yard.store.read() as unit:
        assert len(unit.runs.get(made[0][0]).blocks) == 3


def test_a_project_opened_twice_at_once_is_one(yard: Yard) -> None:
    def open_it() -> int:
        with yard.store.write() as unit:
            return unit.catalog.project(path="/new", uuid=None).id

    assert len(set(_at_once(*[open_it] * 4))) == 1


@pytest.mark.postgres
def test_a_project_is_not_kept_before_another_has_done_so(tmp_path: Path) -> None:
    with a_store("postgres", tmp_path) as store, ThreadPoolExecutor(1) as pool:

        def open_it() -> int:
            with store.write() as unit:
                return unit.catalog.project(path="/new", uuid=None).id

        with store.write() as unit:
            first = unit.catalog.project(path="/new", uuid=None).id
            second = pool.submit(open_it)
            with pytest.raises(TimeoutError):
                second.result(0.3)
        assert second.result(WAIT) == first


def test_a_version_pinned_twice_at_once_is_one(yard: Yard) -> None:
    with yard.store.write() as unit:
        elsewhere = unit.catalog.project(path="/fresh", uuid=None)

    def pin() -> int:
        with yard.store.write() as unit:
            return unit.catalog.pin(elsewhere.id, LOADED)

    assert len(set(_at_once(*[pin] * 4))) == 1


def test_a_limit_is_held_until_the_transaction_ends(yard: Yard) -> None:
    held, order = threading.Event(), list[str]()

    def second() -> None:
        held.wait(WAIT)
        with yard.store.write() as unit:
            unit.limits.lock("limit")
            order.append("second")
            # Counted under the lock, so the first one's run is seen.
            assert unit.limits.running_runs(yard.project_id, PIPELINE) == 1

    told = yard.take()
    save = told.plan(Began(), store=yard.store)
    thread = ThreadPoolExecutor(1)
    waiting = thread.submit(second)
    with yard.store.write() as unit:
        unit.limits.lock("limit")
        held.set()
        unit.runs.save([save])
        with pytest.raises(TimeoutError):
            waiting.result(0.3)
        order.append("first")
    waiting.result(WAIT)
    thread.shutdown()
    assert order == ["first", "second"]


@pytest.mark.postgres
def test_other_limits_do_not_wait(tmp_path: Path) -> None:
    with a_store("postgres", tmp_path) as store, store.write() as one, store.write() as two:
        one.limits.lock("a")
        two.limits.lock("b")


def test_limits_hold_when_everybody_counts_at_once(yard: Yard) -> None:
    told = [yard.take() for _ in range(8)]
    plans = [one.plan(Began(), store=yard.store) for one in told]

    def begin_if_room(n: int) -> bool:
        with yard.store.write() as unit:
            unit.limits.lock("pipeline")
            if unit.limits.running_runs(yard.project_id, PIPELINE) >= 3:
                return False
            unit.runs.save([plans[n]])
            return True

    begun = _at_once(*(lambda n=n: begin_if_room(n) for n in range(8)))  # type: ignore[misc]
    assert sum(begun) == 3


@pytest.mark.postgres
def test_a_number_never_appears_below_one_that_was_seen(tmp_path: Path) -> None:
    """The classic: one transaction notes first and commits last."""
    with a_store("postgres", tmp_path) as store:
        yard = Yard.on(store)

        def note(cue: str) -> None:
            with store.write() as unit:
                unit.events.add(
                    yard.project_id, actor="x", object_type="thing", object_id=1, cue=cue
                )

        seen: list[tuple[int, str]] = []

        def look() -> None:
            after = seen[-1][0] if seen else 0
            with store.read() as unit:
                seen.extend((event.seq, event.cue) for event in unit.events.since(after))

        with store.write() as slow:
            slow.events.add(
                yard.project_id, actor="x", object_type="thing", object_id=1, cue="slow"
            )
            slow.limits.lock("something that makes it write at once")
            note("quick")
            look()
        look()
        assert [cue for _, cue in seen] == ["quick", "slow"]


def test_a_reader_that_goes_on_from_the_last_number_misses_nothing(yard: Yard) -> None:
    writers, each = 4, 25
    done = threading.Event()

    def write(n: int) -> None:
        for i in range(each):
            with yard.store.write() as unit:
                unit.events.add(
                    yard.project_id, actor=str(n), object_type="thing", object_id=i, cue="x"
                )

    def read() -> list[tuple[str, int]]:
        seen: list[tuple[str, int]] = []
        after = 0
        while True:
            last = done.is_set()
            with yard.store.read() as unit:
                found = unit.events.since(after)
            seen += [(event.actor, event.object_id) for event in found]
            after = found[-1].seq if found else after
            if last:
                return seen

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        _at_once(*(lambda n=n: write(n) for n in range(writers)))  # type: ignore[misc]
        done.set()
        seen = reading.result(WAIT)
    assert len(seen) == len(set(seen)) == writers * each


def test_two_saves_of_one_run_at_once_are_done_once(yard: Yard) -> None:
    told = yard.take()
    save = told.plan(Began(), Admitted((A,)), store=yard.store)
    assert _at_once(*[lambda: yard.save(save)] * 3) == [frozenset()] * 3
    assert len(yard.cues(told.claim.run_id)) == 1 + len(save.moves)


def test_a_writer_of_another_process_is_waited_for(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'weft.db'}"
    prepare(url, upgrade=True)
    one, two = open_store(url), open_store(url)
    yard = Yard.on(one)
    done = threading.Event()

    def later() -> RunId:
        done.set()
        with two.write() as unit:
            return unit.runs.create(yard.new())[0]

    with ThreadPoolExecutor(1) as pool:
        with one.write() as unit:
            first = unit.runs.create(yard.new())[0]
            waiting = pool.submit(later)
            done.wait(WAIT)
        assert waiting.result(WAIT) > first
    one.close()
    two.close()


def test_a_writer_that_waits_too_long_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "BUSY_SECONDS", 0.05)
    url = f"sqlite:///{tmp_path / 'weft.db'}"
    prepare(url, upgrade=True)
    one, two = open_store(url), open_store(url)
    with one.write():
        for other in (one, two):
            with pytest.raises(Unavailable) as caught, other.write():
                pass
            assert caught.value.hint
    with two.write() as unit:
        unit.now()
    one.close()
    two.close()


def _kill_all(store_url: str) -> None:
    """End every connection of the store, as an administrator or a restart would."""
    server = make_url(store_url).difference_update_query(["weft_schema", "application_name"])
    with psycopg.connect(server.render_as_string(hide_password=False), autocommit=True) as link:
        name = make_url(store_url).query["application_name"]
        link.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE application_name = %s AND pid <> pg_backend_pid()",
            (name,),
        )


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[tuple[Store, Callable[[], None]]]:
    """A store whose connections can be killed without killing anybody else's."""
    with a_database("postgres", tmp_path) as url:
        named = f"{url}&application_name=mortal_{url[-16:]}"
        prepare(url, upgrade=True)
        store = open_store(named)
        yield store, lambda: _kill_all(named)
        store.close()


@pytest.mark.postgres
def test_killed_connections_are_unavailable_once_and_then_forgotten(
    mortal: tuple[Store, Callable[[], None]],
) -> None:
    store, kill = mortal
    yard = Yard.on(store)
    _at_once(*[yard.make] * 4)
    kill()
    with pytest.raises(Unavailable) as caught:
        yard.make()
    assert caught.value.hint
    made = _at_once(*[yard.make] * 4)
    assert len(set(made)) == 4


@pytest.mark.postgres
def test_a_connection_killed_in_the_middle_leaves_nothing_behind(
    mortal: tuple[Store, Callable[[], None]],
) -> None:
    store, kill = mortal
    yard = Yard.on(store)
    told = yard.take()
    save = told.plan(Began(), Admitted((A,)), store=store)
    with pytest.raises(Unavailable), store.write() as unit:  # noqa: PT012 - raised by its commit
        unit.runs.save([save])
        kill()
    assert yard.cues(told.claim.run_id) == [(None, "create")]
    assert yard.save(save) == frozenset()
    assert len(yard.cues(told.claim.run_id)) == 1 + len(save.moves)
    with store.write() as unit:
        assert unit.engines.renew(yard.me, TTL)


@pytest.mark.postgres
def test_a_transaction_given_up_for_another_may_be_repeated(tmp_path: Path) -> None:
    with a_store("postgres", tmp_path) as store:
        both = threading.Barrier(2)

        def lock(first: str, second: str) -> str:
            try:
                with store.write() as unit:
                    unit.limits.lock(first)
                    both.wait(WAIT)
                    unit.limits.lock(second)
            except Unavailable as error:
                return error.hint or ""
            return "done"

        said = _at_once(lambda: lock("a", "b"), lambda: lock("b", "a"))
        assert sorted(said) == ["Try again.", "done"]


@pytest.mark.postgres
def test_a_failed_statement_that_is_swallowed_does_not_pass_for_a_commit(tmp_path: Path) -> None:
    with a_store("postgres", tmp_path) as store:
        yard = Yard.on(store)
        swallowed = pytest.raises(Unavailable, match="undid")
        with swallowed, store.write() as unit:
            with pytest.raises(psycopg.Error):
                unit.runs.create(yard.new(schedule_id=ScheduleId(999)))
            unit.runs.release([])


def test_a_closed_store_opens_again(yard: Yard) -> None:
    run_id = yard.make()
    yard.store.close()
    with yard.store.read() as unit:
        assert unit.runs.get(run_id).run.id == run_id
