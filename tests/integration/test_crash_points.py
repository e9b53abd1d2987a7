"""A process ends at each point between two writes; the next start repairs what it left.

Every point is in `core.checkpoints.POINTS`. A real server runs a chain of five blocks
and a trigger that fires once, while a client does what clients do: it asks again
whatever was not answered.
"""

from __future__ import annotations

import ast
import http.client
import json
import os
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.projects import write_project
from tests.servers import LIMIT, Server
from tests.stores import a_database

import weft
from weft.app.settings import CRASH_AT
from weft.artifacts.files import INLINE
from weft.core.checkpoints import CRASH_EXIT, POINTS, Side, read_crash
from weft.core.errors import Invalid
from weft.core.ids import RunId
from weft.core.states import Cause
from weft.ports.unit import Store
from weft.store import open_store

CHAIN = [f"b{number}" for number in range(5)]
TOO_LONG = INLINE + 1
"""Characters of a value that needs a file of its own."""
VALUES = {name: str(number) for number, name in enumerate(CHAIN, 1)}
ENGINE = [point for point in POINTS if point.startswith(("turn.", "act.", "planned"))]
REQUESTS = ["trigger.made", "trigger.changed", "run.made", *ENGINE]
ENDINGS = ["cancel.asked", "delete.logs", "trigger.deleted"]
OUTBOX = [point for point in POINTS if point.startswith("outbox.")]
STARTS = [point for point in POINTS if point.startswith("start.")]
WORKERS = [point for point, side in POINTS.items() if side is not Side.SERVER]
OFTEN = {
    **{point: (1, 3, 6) for point in ENGINE if point.startswith("turn.")},
    **{point: (1, 2, 2) for point in ENGINE if point.startswith("act.")},
}
"""At which passing to end, one life of the server after the other; once if not named."""


HOLD = timedelta(seconds=1)
NOTING = """
import json, os

class Noting:
    name = "noting"

    def send(self, announcement):
        with open(os.environ["WEFT_TEST_TOLD"], "a") as told:
            told.write(json.dumps(announcement.payload) + "\\n")
"""


def test_the_list_names_every_point_in_the_source_and_no_other() -> None:
    source = Path(weft.__file__).parent
    called = Counter(
        node.args[0].value
        for path in source.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name | ast.Attribute)
        and _name(node.func).lstrip("_") == "checkpoint"
        and isinstance(node.args[0], ast.Constant)
    )
    assert called == dict.fromkeys(POINTS, 1)


def test_every_point_is_ended_at_by_some_test() -> None:
    tried = Counter([*STARTS, *REQUESTS, *ENDINGS, *OUTBOX, *WORKERS])
    assert tried == dict.fromkeys(POINTS, 1)


@pytest.mark.parametrize("text", ["nowhere", "run.made:0", "run.made:-1", "run.made:x"])
def test_a_point_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match=r"not a point") as refused:
        read_crash(text)
    assert "turn.saved" in str(refused.value.hint)


@pytest.mark.parametrize("point", [*STARTS, *REQUESTS])
def test_an_end_of_the_server_costs_nothing(point: str, tmp_path: Path) -> None:
    with a_database("sqlite", tmp_path) as url:
        _end_at(point, OFTEN.get(point, (1,)), Scene(tmp_path, url))


@pytest.mark.postgres
@pytest.mark.parametrize("point", ENGINE)
def test_an_end_of_the_engine_costs_nothing_on_postgres(point: str, tmp_path: Path) -> None:
    with a_database("postgres", tmp_path) as url:
        _end_at(point, OFTEN.get(point, (1,))[-1:], Scene(tmp_path, url))


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
@pytest.mark.parametrize("point", list(OFTEN))
def test_ends_at_ten_passings_in_a_row_cost_nothing(point: str, kind: str, tmp_path: Path) -> None:
    with a_database(kind, tmp_path) as url:
        scene = Scene(tmp_path, url)
        wanted = (1, 1, 2, 2, 3, 3, 2, 4, 2, 5)
        died = sum(scene.life(f"{point}:{nth}") for nth in wanted)
        assert died >= 5
        scene.last_life()


@pytest.mark.parametrize("point", OUTBOX)
def test_an_announcement_outlives_the_end_of_its_teller(point: str, tmp_path: Path) -> None:
    with a_database("sqlite", tmp_path) as url:
        scene = Scene(tmp_path, url, environment={"WEFT_LEASE_TTL": "1"})
        _end_at(point, (1,), scene)


@pytest.mark.parametrize("nth", [2, *(pytest.param(n, marks=pytest.mark.long) for n in (1, 3, 6))])
@pytest.mark.parametrize("point", WORKERS)
def test_an_end_of_a_zygote_or_child_costs_nothing(point: str, nth: int, tmp_path: Path) -> None:
    with a_database("sqlite", tmp_path) as url:
        scene = Scene(tmp_path, url)
        assert not scene.life(f"{point}:{nth}"), "the server must outlive its children"
        assert f"weft: ended at {point}" in scene.server.said()
        lost = [attempt.cause for attempt in scene.attempts() if attempt.cause]
        # A child that has reported is believed, however it ends.
        assert set(lost) == (set() if point == "child.reported" else {Cause.LOST})
        # A zygote takes all its children with it: those of both runs.
        assert len(lost) <= (2 if POINTS[point] is Side.ZYGOTE else 1)
        if point == "output.written":
            assert list(tmp_path.rglob(".output_*.tmp")), "it ended too early, or too late"
        scene.last_life()


@pytest.mark.parametrize("point", ENDINGS)
def test_what_was_asked_for_is_done_though_the_server_ended(point: str, tmp_path: Path) -> None:
    code = "import time; time.sleep(600)"
    project = write_project(tmp_path / "project", {"slow": {"blocks": {"a": code}}})
    server = Server(project, tmp_path / "data", environment={CRASH_AT: point, "WEFT_PRELOAD": ""})
    server.start()
    trigger = server.trigger_of("slow")
    run_id = server.fire(trigger)
    server.until(lambda: server.block(run_id, "a")["status"] == "running" or None)
    run, schedule = f"/api/pipeline_runs/{run_id}", f"/api/pipeline_schedules/{trigger['id']}"
    cancelled = {"pipeline_run": {"status": "cancelled"}}
    request = {
        "trigger.deleted": ("DELETE", schedule, None),
        "cancel.asked": ("PUT", run, cancelled),
        "delete.logs": ("DELETE", run, None),
    }[point]
    with pytest.raises((OSError, http.client.HTTPException)):
        server.request(*request)
    assert server.process is not None
    assert server.process.wait(LIMIT) == CRASH_EXIT
    del server.environment[CRASH_AT]
    with server:
        if point == "trigger.deleted":
            assert server.request("GET", schedule)[0] == http.client.NOT_FOUND
            assert server.run(run_id)["status"] == "running"
        else:
            # Both asked for a cancel first, and that outlives the server.
            ended = server.ended(run_id, 10)
            assert ended["status"] == "cancelled"
        assert server.request("DELETE", run)[0] == http.client.OK
        assert server.request("GET", run)[0] == http.client.NOT_FOUND
    assert not list((tmp_path / "data" / "logs").glob("*/*"))


def _name(node: ast.Name | ast.Attribute) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr


def _nothing_is_held(store: Store) -> bool:
    with store.read() as unit:
        return unit.outbox.free_in() is None


def _a_channel(folder: Path) -> Path:
    """Write a plugin that notes what it is told; return the folder that offers it."""
    place = folder / "plugin"
    about = place / "noting-1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: noting\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[weft.channels]\nnoting = noting:Noting\n")
    (place / "noting.py").write_text(NOTING)
    return place


def _end_at(point: str, passings: Sequence[int], scene: Scene) -> None:
    for nth in passings:
        assert scene.life(f"{point}:{nth}"), f"{point} was not passed {nth} times"
    scene.last_life()


@dataclass
class Scene:
    """A project, its server's lives, and a client that asks until it is answered."""

    folder: Path
    url: str
    environment: Mapping[str, str] = field(default_factory=dict)
    server: Server = field(init=False)
    told: Path = field(init=False)
    answers: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.told = self.folder / "told"
        blocks: dict[str, Any] = {
            name: {
                "code": f"return str(int(args[0]) + 1).ljust({TOO_LONG})"
                if number
                else f"return '1'.ljust({TOO_LONG})",
                "upstream": CHAIN[number - 1 : number] if number else [],
            }
            for number, name in enumerate(CHAIN)
        }
        pipelines: dict[str, Any] = {
            "chain": {"blocks": blocks},
            "once": {"blocks": {"only": f"return 'once'.ljust({TOO_LONG})"}},
        }
        self.server = Server(
            write_project(self.folder / "project", pipelines),
            self.folder / "data",
            database_url=self.url,
            environment={
                "WEFT_PRELOAD": "",
                "PYTHONPATH": os.pathsep.join(
                    filter(None, [str(_a_channel(self.folder)), os.environ.get("PYTHONPATH")])
                ),
                "WEFT_TEST_TOLD": str(self.told),
                **self.environment,
            },
        )

    def life(self, crash: str | None) -> bool:
        """Start a server and ask it for all; return whether it ended where it was told to."""
        server = self.server
        server.environment.pop(CRASH_AT, None)
        if crash:
            server.environment[CRASH_AT] = crash
        server.start(answer=False)
        assert server.process is not None
        try:
            self._ask()
        except (AssertionError, OSError, http.client.HTTPException) as error:
            try:
                code = server.process.wait(5)
            except subprocess.TimeoutExpired:
                server.kill()
                error.add_note(server.said())
                raise error from None
            assert code == CRASH_EXIT, server.said()
            assert crash is not None
            assert f"weft: ended at {crash.partition(':')[0]}" in server.log.read_text()
            return True
        server.stop()
        return False

    def last_life(self) -> None:
        """Let a server end in peace, and see that nothing was lost or done twice."""
        assert not self.life(None)
        store = open_store(self.url)
        with store.read() as unit:
            events = unit.events.since(0, limit=10_000)
            attempts = self.attempts()
            blocks = [b for run_id in self.run_ids for b in unit.runs.get(run_id).blocks]
            kept = [
                artifact.output.uri
                for run_id in self.run_ids
                for artifacts in unit.artifacts.of_run(run_id).values()
                for artifact in artifacts
            ]
        with store.write() as unit:
            assert not unit.outbox.take(10, HOLD), "an announcement was left"
        store.close()
        accepted = Counter(e.block_uuid for e in events if e.cue == "complete" and e.block_uuid)
        assert accepted == {**dict.fromkeys(CHAIN, 1), "only": 1}
        assert {block.failures for block in blocks} == {0}
        assert {attempt.try_number for attempt in attempts} == {1}
        assert len(kept) == len(CHAIN) + 1
        assert all(Path(uri).is_file() and not Path(uri).name.startswith(".") for uri in kept)
        assert self._announced() == set(self.run_ids)

    @property
    def run_ids(self) -> Sequence[RunId]:
        """The run of the chain, and the one that the schedule made."""
        return [RunId(self.answers["chain run"]), RunId(self.answers["once run"])]

    def attempts(self) -> Sequence[Any]:
        """Return every attempt of both runs."""
        store = open_store(self.url)
        try:
            with store.read() as unit:
                return [a for run_id in self.run_ids for a in unit.runs.attempts(run_id)]
        finally:
            store.close()

    def _ask(self) -> None:
        server = self.server
        server.until(lambda: server.get("/api/status"))
        once = self._trigger("once", schedule_type="time", schedule_interval="@once")
        if once["status"] != "active":
            path = f"/api/pipeline_schedules/{once['id']}"
            changed = {"pipeline_schedule": {"status": "active"}}
            status, answer = server.request("PUT", path, changed)
            assert status == http.client.OK, answer
        chain = self._trigger("chain", schedule_type="api", status="active")
        path = f"/api/pipeline_schedules/{chain['id']}/pipeline_runs/{chain['token']}"
        status, answer = server.request(
            "POST", path, {"pipeline_run": {}}, headers={"Idempotency-Key": "the one"}
        )
        assert status == http.client.OK, answer
        assert self._runs_of(chain) == [answer["pipeline_run"]["id"]]
        self.answers["chain run"] = answer["pipeline_run"]["id"]
        (self.answers["once run"],) = server.until(lambda: self._runs_of(once) or None)
        for run_id in self.run_ids:
            run = server.ended(run_id)
            assert run["status"] == "completed", server.said()
            values = {"only": "once"} if run["pipeline_uuid"] == "once" else VALUES
            assert self._outputs(run) == values
        assert len(self._runs_of(once)) == 1, "the schedule fired twice"
        server.until(lambda: self._announced() >= set(self.run_ids) or None, 20)
        store = open_store(self.url)
        try:
            server.until(lambda: _nothing_is_held(store) or None, 20)
        finally:
            store.close()

    def _announced(self) -> set[int]:
        if not self.told.exists():
            return set()
        return {json.loads(line)["run_id"] for line in self.told.read_text().splitlines()}

    def _trigger(self, pipeline: str, **attributes: Any) -> Mapping[str, Any]:
        found = self.server.get(f"/api/pipelines/{pipeline}/pipeline_schedules")
        if found["pipeline_schedules"]:
            (only,) = found["pipeline_schedules"]
            return dict(only)
        return self.server.trigger_of(pipeline, **{"status": "inactive", **attributes})

    def _runs_of(self, trigger: Mapping[str, Any]) -> list[int]:
        found = self.server.get(f"/api/pipeline_schedules/{trigger['id']}/pipeline_runs")
        return [run["id"] for run in found["pipeline_runs"]]

    def _outputs(self, run: Mapping[str, Any]) -> Mapping[str, str]:
        seen = {}
        for block in run["block_runs"]:
            found = self.server.get(f"/api/block_runs/{block['id']}/outputs")
            (output,) = found["outputs"]
            seen[block["block_uuid"]] = output["text_data"].split()[0]
        return seen
