"""From ready to running: admission under the limits, then the envelope of each attempt."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from weft.core import admission, params
from weft.core.artifact import Output
from weft.core.calendar import CronFactory
from weft.core.effects import Dispatch
from weft.core.errors import Invalid
from weft.core.events import Admitted, Began
from weft.core.ids import BlockUuid, ProjectId, RunId, ScheduleId
from weft.core.interval import Interval
from weft.core.json import JsonMap
from weft.core.schedule import parse_schedule
from weft.core.schedule_settings import parse_settings
from weft.core.states import RunStatus
from weft.engine.draft import Draft, live_blocks
from weft.engine.held import Held
from weft.ports.executor import Job
from weft.ports.logs import Logs
from weft.ports.runs import LimitStore, NewAttempt
from weft.wire.envelope import Envelope, Input


@dataclass(frozen=True, slots=True)
class Dispatcher:
    """Gives places to what is ready and writes the envelopes.

    `environment` is the fingerprint of what blocks run in; `new_token` makes the
    secret of an attempt; `memory_limit` bounds a child, in bytes; `run_tests` says
    whether blocks' own tests run.
    """

    logs: Logs
    environment: str
    new_token: Callable[[], str]
    memory_limit: int | None
    preload: tuple[str, ...]
    fsync: bool
    cron: CronFactory
    run_tests: bool = True

    def begin(self, drafts: Iterable[Draft], limits: LimitStore) -> None:
        """Let waiting runs begin, as far as the limits of pipelines and triggers allow."""
        waiting = [draft for draft in drafts if draft.run.status is RunStatus.INITIAL]
        bound = [draft for draft in waiting if _is_bound(draft.held)]
        chosen = _within_limits(bound, limits) if bound else frozenset()
        for draft in waiting:
            if not _is_bound(draft.held) or draft.held.id in chosen:
                draft.apply(Began())

    def admit(self, drafts: Iterable[Draft], limits: LimitStore) -> None:
        """Admit ready blocks, fairly, within the limits of runs and of each project."""
        by_project: dict[ProjectId, list[Draft]] = defaultdict(list)
        for draft in drafts:
            by_project[draft.held.record.project_id].append(draft)
        for project, mine in by_project.items():
            ready = [block for draft in mine for block in _ready(draft)]
            if not ready:
                continue
            limits.lock(f"blocks:{project}")
            places = mine[0].held.served.settings.concurrency
            taken = limits.live_blocks([project]) + sum(draft.newly_live for draft in mine)
            chosen: dict[RunId, list[BlockUuid]] = defaultdict(list)
            live = {draft.held.id: live_blocks(draft.run) for draft in mine}
            by_pipeline: Counter[admission.PipelineKey] = Counter()
            for draft in mine:
                by_pipeline[project, draft.held.spec.uuid] += live[draft.held.id]
            for block in admission.choose_blocks(
                ready, places - taken, live_by_run=live, live_by_pipeline=by_pipeline
            ):
                chosen[block.run_id].append(block.block_uuid)
            for draft in mine:
                if draft.held.id in chosen:
                    draft.apply(Admitted(tuple(chosen[draft.held.id])))

    def write(self, draft: Draft) -> None:
        """Write the envelope and the row of every attempt that is to be handed out."""
        fresh = {b: o.outputs for (b, _), o in draft.outcomes.items() if o.cause is None}
        outputs = {**draft.held.outputs, **fresh}
        for effect in draft.handed_out:
            key = (effect.block, effect.attempt)
            draft.attempts[key], draft.jobs[key] = self.envelope(draft, effect, outputs)

    def envelope(
        self, draft: Draft, effect: Dispatch, outputs: Mapping[BlockUuid, tuple[Output, ...]]
    ) -> tuple[NewAttempt, Job]:
        """Return the row and the job of one attempt."""
        held, run = draft.held, draft.run
        block = held.spec.block(effect.block)
        assert block is not None, "a graph holds only blocks of its spec"  # noqa: S101
        ups = run.graph.upstream[effect.block]
        block_run = held.ids[effect.block]
        log_path = self.logs.path(held.id, block_run, effect.attempt)
        variables = params.run_variables(
            pipeline_variables=held.spec.variables,
            schedule=held.schedule,
            run=held.record,
            interval=self._interval(held),
        )
        folder = f"{held.id}.{effect.attempt}"
        envelope = Envelope(
            token=self.new_token(),
            project_path=str(held.served.files.path),
            pipeline_uuid=held.spec.uuid,
            run_id=held.id,
            block_run_id=block_run,
            block_uuid=effect.block,
            block_type=block.type,
            language=block.language,
            attempt=effect.attempt,
            try_number=run.blocks[effect.block].failures + 1,
            code=held.code.get(block.code_hash),
            code_path=block.path,
            output_dir=str(
                held.served.outputs / held.spec.uuid / held.partition / effect.block / folder
            ),
            log_path=str(log_path),
            partition=held.partition,
            configuration=block.configuration,
            inputs=tuple(_input(held, up, outputs.get(up, ())) for up in ups),
            variables=variables,
            tags=_tags(held, effect.block, block_run, block.type),
            timeout=block.timeout,
            memory_limit=self.memory_limit,
            run_tests=self.run_tests,
            fsync=self.fsync,
            preload=self.preload,
        )
        job = Job(
            id=f"weft-{held.record.project_id}-{block_run}-{effect.attempt}",
            run_id=held.id,
            envelope=envelope,
        )
        attempt = NewAttempt(
            try_number=envelope.try_number,
            executor=block.executor_type,
            job_id=job.id,
            code_hash=block.code_hash,
            parameters_hash=_hash(variables),
            environment=self.environment,
            log_path=str(log_path),
            inputs=tuple((up, run.blocks[up].attempt) for up in ups),
        )
        return attempt, job

    def _interval(self, held: Held) -> Interval | None:
        """Return the interval of the run's trigger, if it is one of time and makes sense."""
        schedule = held.schedule
        if schedule is None or schedule.schedule_type != "time" or not schedule.schedule_interval:
            return None
        try:
            return parse_schedule(schedule, self.cron)[1]
        except Invalid:
            return None  # changed since to something that makes no sense; the run goes on


def _within_limits(bound: Sequence[Draft], limits: LimitStore) -> frozenset[RunId]:
    """Return the runs that may begin; locks their limits in one order, against deadlock."""
    pipelines: dict[admission.PipelineKey, int] = {}
    schedules: dict[ScheduleId, int] = {}
    waiting = sorted((_waiting(draft.held) for draft in bound), key=lambda w: w.pipeline)
    for run in waiting:
        if run.pipeline not in pipelines:
            limits.lock(f"runs:{run.project_id}:{run.pipeline_uuid}")
            pipelines[run.pipeline] = limits.running_runs(*run.pipeline)
        if run.schedule_id is not None and run.schedule_id not in schedules:
            schedules[run.schedule_id] = limits.running_runs(*run.pipeline, run.schedule_id)
    chosen = admission.choose_runs(waiting, pipelines, schedules)
    return frozenset(run.run_id for run in chosen)


def _is_bound(held: Held) -> bool:
    """Whether anything but places for blocks can hold the run back."""
    limited = held.spec.limits.pipeline_run_limit_all_triggers, _schedule_limit(held)
    return limited != (None, None) or not _is_active(held)


def _is_active(held: Held) -> bool:
    return held.schedule is None or held.schedule.status == "active"


def _schedule_limit(held: Held) -> int | None:
    own = None
    if held.schedule is not None:
        try:
            own = parse_settings(held.schedule.settings).run_limit
        except Invalid:
            own = None  # said when the trigger was planned; what it asks of time is not obeyed
    return held.spec.limits.pipeline_run_limit if own is None else own


def _waiting(held: Held) -> admission.WaitingRun:
    return admission.WaitingRun(
        run_id=held.id,
        project_id=held.record.project_id,
        pipeline_uuid=held.spec.uuid,
        schedule_id=held.record.schedule_id,
        execution_date=held.record.execution_date or held.record.created_at,
        limit_schedule=_schedule_limit(held),
        limit_pipeline=held.spec.limits.pipeline_run_limit_all_triggers,
        active=_is_active(held),
    )


def _ready(draft: Draft) -> list[admission.ReadyBlock]:
    if draft.run.stopping:
        return []
    limit = draft.held.spec.limits.block_run_limit
    left = None if limit is None else max(0, limit - live_blocks(draft.run))
    return [
        admission.ReadyBlock(
            run_id=draft.held.id,
            project_id=draft.held.record.project_id,
            pipeline_uuid=draft.held.spec.uuid,
            block_uuid=uuid,
            ready_at=draft.run.blocks[uuid].ready_at or draft.now,
            block_limit_left=left,
        )
        for uuid in draft.run.ready
    ]


def _input(held: Held, block: BlockUuid, outputs: tuple[Output, ...]) -> Input:
    spec = held.spec.block(block)
    return Input(block, spec.type if spec else "", outputs)


def _tags(
    held: Held, block: BlockUuid, block_run: int, block_type: str
) -> dict[str, str | int | None]:
    return {
        "block_run_id": block_run,
        "block_type": block_type,
        "block_uuid": block,
        "pipeline_run_id": held.id,
        "pipeline_schedule_id": held.record.schedule_id,
        "pipeline_uuid": held.spec.uuid,
    }


def _hash(variables: JsonMap) -> str:
    text = json.dumps(variables, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
