"""A project in a store, and turns of an engine over it: what the store's suites speak of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from weft.core.artifact import Column, Output
from weft.core.events import Admitted, Began, Event, Started, Succeeded
from weft.core.ids import BlockUuid, EngineId, PipelineUuid, ProjectId, RunId, VersionId
from weft.core.machine import Moved, Run, decide
from weft.core.records import Outcome, PipelineSchedule
from weft.core.spec import BlockSpec, LoadedPipeline, PipelineSpec
from weft.ports.runs import Claim, Claimed, EngineRef, NewAttempt, NewRun, Save
from weft.ports.schedules import NewSchedule
from weft.ports.unit import Store

KINDS = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]
A, B, C = BlockUuid("a"), BlockUuid("b"), BlockUuid("c")
PIPELINE = PipelineUuid("titanic")
TTL = timedelta(seconds=60)

SPEC = PipelineSpec(
    uuid=PIPELINE,
    name="Titanic",
    blocks=(
        BlockSpec(uuid=A, type="data_loader", code_hash="hash-a"),
        BlockSpec(uuid=B, type="transformer", upstream=(A,), code_hash="hash-b"),
        BlockSpec(uuid=C, type="data_exporter", upstream=(B,), code_hash="hash-c"),
    ),
)
LOADED = LoadedPipeline(spec=SPEC, code={"hash-a": "return 1", "hash-b": "é", "hash-c": ""})


def an_output(name: str = "output_0", **changed: Any) -> Output:
    """Return an output; what is not said is of no interest."""
    said: dict[str, Any] = {
        "name": name,
        "uri": f"file:///{name}.arrow",
        "format": "arrow",
        "kind": "pandas",
        "bytes": 10,
        "content_hash": "abc",
        "rows": 3,
        "schema": (Column("age", "double"),),
        "sample": {"columns": ["age"], "rows": [[1.5], [None]]},
    }
    return Output(**{**said, **changed})


def an_attempt(*inputs: tuple[BlockUuid, int], try_number: int = 1) -> NewAttempt:
    """Return what is kept of an attempt that reads these."""
    return NewAttempt(
        try_number=try_number,
        executor="process",
        job_id="weft-1-1-1",
        code_hash="code",
        parameters_hash="parameters",
        environment="environment",
        log_path="/logs/1.jsonl",
        inputs=inputs,
    )


@dataclass(slots=True)
class Told:
    """A run as its engine has it in mind, and the claim with which it saves."""

    claim: Claim
    run: Run
    partition: str = "1/20261123T000000_000000"

    def plan(self, *events: Event, store: Store, **said: Any) -> Save:
        """Decide on events, and return the save without carrying it out."""
        with store.read() as unit:
            now = unit.now()
        before, moves = self.run, list[Moved]()
        for event in events:
            decision = decide(self.run, event, now)
            self.run = decision.run
            moves += decision.moves
        return Save(
            self.claim, before, self.run, tuple(moves), self.partition, actor="engine", **said
        )


@dataclass(frozen=True, slots=True)
class Yard:
    """A store with one project and one pipeline in it."""

    store: Store
    project_id: ProjectId
    version_id: VersionId
    me: EngineRef
    moves: list[int] = field(default_factory=list)

    @classmethod
    def on(cls, store: Store) -> Yard:
        """Put a project, a pipeline and a live engine into an empty store."""
        with store.write() as unit:
            project = unit.catalog.project(path="/projects/titanic", uuid="titanic-uuid")
            version_id = unit.catalog.pin(project.id, LOADED)
            me = unit.engines.enlist(EngineId("me"), TTL, host="here", pid=1, data_dir="/data/me")
        return cls(store, project.id, version_id, me)

    def new(self, **said: Any) -> NewRun:
        """Return a run to be made."""
        told: dict[str, Any] = {
            "project_id": self.project_id,
            "pipeline_uuid": PIPELINE,
            "version_id": self.version_id,
            "schedule_id": None,
            "blocks": (A, B, C),
            "actor": "somebody",
        }
        return NewRun(**{**told, **said})

    def make(self, **said: Any) -> RunId:
        """Make a run."""
        with self.store.write() as unit:
            run_id, made = unit.runs.create(self.new(**said))
        assert made
        return run_id

    def schedule(self, **said: Any) -> PipelineSchedule:
        """Make a schedule."""
        told: dict[str, Any] = {
            "project_id": self.project_id,
            "pipeline_uuid": PIPELINE,
            "name": "late forest",
            "token": "0" * 32,
            "schedule_type": "time",
            "status": "active",
            "schedule_interval": "@daily",
        }
        with self.store.write() as unit:
            return unit.schedules.add(NewSchedule(**{**told, **said}), actor="somebody")

    def enlist(self, name: str, ttl: timedelta = TTL) -> EngineRef:
        """Begin an engine, live unless `ttl` is negative."""
        with self.store.write() as unit:
            return unit.engines.enlist(
                EngineId(name), ttl, host="here", pid=2, data_dir=f"/data/{name}"
            )

    def claim(self, me: EngineRef | None = None, limit: int = 100) -> list[Claimed]:
        """Claim runs."""
        with self.store.write() as unit:
            return list(unit.runs.claim(me or self.me, [self.project_id], limit))

    def take(self, **said: Any) -> Told:
        """Make a run that is owned from birth."""
        run_id = self.make(owner=self.me, **said)
        return Told(Claim(run_id, 1), Run.fresh(SPEC.graph(), SPEC.retries()))

    def save(self, *saves: Save) -> frozenset[RunId]:
        """Save in a transaction of its own."""
        with self.store.write() as unit:
            return unit.runs.save(saves)

    def turn(self, told: Told, *events: Event, **said: Any) -> None:
        """Decide and save, which must succeed."""
        assert self.save(told.plan(*events, store=self.store, **said)) == frozenset()

    def finish(self, told: Told, outcomes: Mapping[BlockUuid, Outcome] | None = None) -> None:
        """Bring a run of SPEC to its good end, in one turn."""
        events: list[Event] = [Began()]
        for uuid in told.run.blocks:
            events += [Admitted((uuid,)), Started(uuid, 1), Succeeded(uuid, 1)]
        said = outcomes or {}
        self.turn(
            told,
            *events,
            attempts={(uuid, 1): an_attempt() for uuid in told.run.blocks},
            outcomes={(uuid, 1): said.get(uuid, Outcome()) for uuid in told.run.blocks},
        )

    def cues(self, run_id: RunId) -> list[tuple[str | None, str]]:
        """Return (block, cue) of each event of a run."""
        with self.store.read() as unit:
            return [(e.block_uuid, e.cue) for e in unit.events.since(0, run_id=run_id)]


def names(blocks: Iterable[Any]) -> list[str]:
    """Return the blocks' names."""
    return [block.block_uuid for block in blocks]
