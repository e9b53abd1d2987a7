"""The web application over a real project and a real database, for tests."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal
from starlette.types import ASGIApp
from tests.projects import write_project
from tests.stores import a_store

from weft.api.app import create_app
from weft.app.clock import SystemClock
from weft.app.logfiles import LogFiles
from weft.artifacts.preview import FileOutputs
from weft.core.artifact import Output
from weft.core.events import Admitted, Began, CancelAsked, Event, Failed, Started, Succeeded
from weft.core.ids import BlockUuid, EngineId, RunId
from weft.core.machine import BlockRun, Run, decide
from weft.core.records import Outcome, RunWithBlocks
from weft.ports.runs import Claim, NewAttempt, Save
from weft.ports.signals import MOVED
from weft.project.files import ProjectFolder
from weft.services.context import Context
from weft.signals.local import LocalSignals
from weft.triggers.cron import cron_calendar

PIPELINES: Mapping[str, Mapping[str, Any]] = {
    "sums": {
        "created_at": "2026-01-01 00:00:00.000000+00:00",
        "tags": ["daily", "sums"],
        "blocks": {
            "one": "return 1",
            "two": {"upstream": ["one"], "code": "return args[0] + 1"},
            "deep/three": {"upstream": ["two"], "code": "return args[0] + 1"},
        },
    },
    "lone": {"type": "pyspark", "blocks": {"only": "return 1"}},
}


BASE = "http://localhost:6789"


class Door(httpx.BaseTransport):
    """Leads a plain client straight into an ASGI application, without a socket."""

    def __init__(self, app: ASGIApp, portal: BlockingPortal) -> None:
        self._inner = httpx.ASGITransport(app, raise_app_exceptions=False)
        self._portal = portal

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._portal.call(self._ask, request)

    async def _ask(self, request: httpx.Request) -> httpx.Response:
        answer = await self._inner.handle_async_request(request)
        return httpx.Response(
            answer.status_code, headers=answer.headers, content=await answer.aread()
        )


@dataclass(frozen=True, slots=True)
class Served:
    """A client of the application, and what lies behind it."""

    client: httpx.Client
    context: Context

    def schedule(self, pipeline: str = "sums", **attributes: Any) -> dict[str, Any]:
        """Make a trigger through the API."""
        body = {"pipeline_schedule": {"schedule_type": "api", "status": "active", **attributes}}
        answer = self.client.post(f"/api/pipelines/{pipeline}/pipeline_schedules", json=body)
        assert answer.status_code == 200, answer.text
        made: dict[str, Any] = answer.json()["pipeline_schedule"]
        return made

    def fire(self, schedule: Mapping[str, Any], body: Any = None) -> dict[str, Any]:
        """Start a run through the API."""
        path = f"/api/pipeline_schedules/{schedule['id']}/pipeline_runs/{schedule['token']}"
        answer = self.client.post(path, json=body)
        assert answer.status_code == 200, answer.text
        run: dict[str, Any] = answer.json()["pipeline_run"]
        return run

    def counts(self) -> tuple[int, int]:
        """Return how many triggers and runs the database holds."""
        listed = self.client.get("/api/pipeline_schedules").json()["metadata"]["count"]
        runs = self.client.get("/api/pipeline_runs").json()["metadata"]["count"]
        return listed, runs

    def error(self, answer: Any) -> dict[str, Any]:
        """Check the shape of a refusal and return what it says."""
        body = answer.json()
        assert set(body) == {"error", "status"}, body
        assert body["status"] == body["error"]["code"]
        assert body["error"]["message"]
        assert body["error"]["type"]
        assert "Traceback" not in answer.text
        said: dict[str, Any] = body["error"]
        return said

    def play(self, run_id: int, *, fail: str | None = None, output: Output | None = None) -> None:
        """Move a run to its end as an engine would; `fail` names the block that fails."""
        with Player(self.context, RunId(run_id)) as player:
            player.tell(Began())
            while ready := player.run.ready:
                block = ready[0]
                player.tell(Admitted((block,)))
                player.tell(Started(block, 1))
                if block == fail:
                    error = {"error": "no", "errors": ["no"], "message": "no"}
                    player.tell(Failed(block, 1), Outcome(error=error))
                else:
                    outputs = () if output is None else (output,)
                    player.tell(Succeeded(block, 1), Outcome(outputs=outputs))


class Player:
    """Plays the engine for one run."""

    def __init__(self, context: Context, run_id: RunId) -> None:
        self._context = context
        self._run_id = run_id
        self.run: Run = Run.fresh(context.files.load(self._stored().run.pipeline_uuid).spec.graph())
        self._claim: Claim | None = None

    def __enter__(self) -> Player:
        with self._context.store.write() as unit:
            name = EngineId(f"player-{secrets.token_hex(4)}")
            me = unit.engines.enlist(
                name, timedelta(minutes=1), host="here", pid=1, data_dir="/data"
            )
            claimed = unit.runs.claim(me, [self._context.project.id], 1000)
            mine = next(one for one in claimed if one.claim.run_id == self._run_id)
            unit.runs.release([one.claim for one in claimed if one is not mine])
        self._claim = mine.claim
        self._engine = me
        return self

    def __exit__(self, *_: object) -> None:
        with self._context.store.write() as unit:
            assert self._claim is not None
            unit.runs.release([self._claim])
            unit.engines.retire(self._engine)

    def tell(self, event: Event, outcome: Outcome | None = None) -> None:
        """Decide and save one event, and tell whoever waits."""
        before = self.run
        decision = decide(before, event, self._context.clock.now())
        assert self._claim is not None
        block = getattr(event, "block", None)
        outcomes = {} if outcome is None or block is None else {(block, 1): outcome}
        attempts = {
            (uuid, now.attempt): _attempt(uuid)
            for uuid, now in decision.run.blocks.items()
            if now.attempt > before.blocks.get(uuid, BlockRun()).attempt
        }
        save = Save(
            claim=self._claim,
            before=before,
            after=decision.run,
            moves=decision.moves,
            partition="p",
            actor="player",
            outcomes=outcomes,
            attempts=attempts,
        )
        with self._context.store.write() as unit:
            assert unit.runs.save([save]) == frozenset()
        self.run = decision.run
        self._context.signals.notify(MOVED)

    def cancel_when_asked(self) -> None:
        """Take the request out of the inbox, if there is one, and obey."""
        assert self._claim is not None
        with self._context.store.write() as unit:
            asked = unit.runs.cancels([self._claim])
        for by in asked.values():
            self.tell(CancelAsked(by))

    def _stored(self) -> RunWithBlocks:
        with self._context.store.read() as unit:
            return unit.runs.get(self._run_id)


def _attempt(block: BlockUuid) -> NewAttempt:
    return NewAttempt(
        try_number=1,
        executor="inline",
        job_id=f"job-{block}",
        code_hash="",
        parameters_hash="",
        environment="",
        log_path="",
    )


@contextmanager
def serving(
    folder: Path,
    *,
    pipelines: Mapping[str, Mapping[str, Any]] = PIPELINES,
    kind: str = "sqlite",
    **options: Any,
) -> Iterator[Served]:
    """Serve a project made of `pipelines`; `options` are those of `create_app`."""
    path = write_project(folder / "project", pipelines)
    files = ProjectFolder(path)
    with a_store(kind, folder) as store:
        with store.write() as unit:
            project = unit.catalog.project(path=str(path), uuid=files.settings().uuid)
        context = Context(
            store=store,
            files=files,
            project=project,
            signals=LocalSignals(),
            clock=SystemClock(),
            outputs=FileOutputs(),
            logs=LogFiles(folder / "logs", pause=0.01),
            new_token=lambda: secrets.token_hex(16),
            pick=secrets.randbelow,
            cron=cron_calendar,
            outputs_dir=str(folder / "outputs"),
        )
        app = create_app(context, version="1.2.3", **options)
        with (
            start_blocking_portal() as portal,
            httpx.Client(transport=Door(app, portal), base_url=BASE, timeout=30) as client,
        ):
            yield Served(client, context)
