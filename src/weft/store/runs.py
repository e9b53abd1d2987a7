"""Pipeline runs: made, read and removed. Owning, saving and listing have files of their own."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import bindparam, delete, func, insert, literal, null, select, update
from sqlalchemy.dialects import postgresql

from weft.core.errors import Conflict, NotFound
from weft.core.ids import BlockRunId, BlockUuid, ProjectId, RunId
from weft.core.records import Attempt, Page, PipelineRun, RunWithBlocks
from weft.core.states import RUN_ENDED, BlockStatus, RunStatus
from weft.ports.runs import Claim, Claimed, EngineRef, NewRun, RunFilter, Save
from weft.store import listing, ownership, rows, saving
from weft.store import tables as t
from weft.store.prepared import Params, Prepared
from weft.store.session import Session

_run, _block, _attempt, _schedule = (
    t.pipeline_run.c,
    t.block_run.c,
    t.attempt.c,
    t.pipeline_schedule.c,
)

_GIVEN = (
    "project_id",
    "pipeline_uuid",
    "version_id",
    "schedule_id",
    "backfill_id",
    "execution_date",
    "variables",
    "event_variables",
    "executor_type",
    "owner",
    "owner_incarnation",
    "fence",
    "fire_key",
    "idempotency_key",
)
_HIDDEN = func.coalesce(
    select(_schedule.hidden)
    .where(_schedule.id == bindparam("schedule_id", type_=_schedule.id.type))
    .scalar_subquery(),
    literal(False),  # noqa: FBT003
)
_MAKE = Prepared(
    postgresql.insert(t.pipeline_run)
    .values(
        **{name: bindparam(name, type_=_run[name].type) for name in _GIVEN},
        created_at=bindparam("now", type_=_run.created_at.type),
        updated_at=bindparam("now", type_=_run.created_at.type),
        hidden=_HIDDEN,
        status=RunStatus.INITIAL.value,
        passed_sla=False,
        epoch=1,
        metrics=null(),
    )
    .on_conflict_do_nothing()
    .returning(_run.id)
)
_MADE_BY_FIRE = Prepared(
    select(_run.id).where(
        _run.project_id == bindparam("project_id"),
        _run.schedule_id == bindparam("schedule_id"),
        _run.fire_key == bindparam("fire_key"),
    )
)
_MADE_BY_KEY = Prepared(
    select(_run.id).where(
        _run.project_id == bindparam("project_id"),
        _run.idempotency_key == bindparam("idempotency_key"),
    )
)
MAKE_BLOCK = Prepared(
    insert(t.block_run)
    .values(
        project_id=bindparam("project_id"),
        run_id=bindparam("run_id"),
        block_uuid=bindparam("block_uuid"),
        status=BlockStatus.INITIAL.value,
        attempt=0,
        failures=0,
        losses=0,
        created_at=bindparam("now", type_=_block.created_at.type),
        updated_at=bindparam("now", type_=_block.created_at.type),
    )
    .inline()
)
_COUNT_FIRE = Prepared(
    update(t.pipeline_schedule)
    .where(_schedule.id == bindparam("schedule"))
    .values(
        fired_count=_schedule.fired_count + 1,
        fired_last=bindparam("fired_last", type_=_schedule.fired_last.type),
    )
)
_RUN = Prepared(rows.select_runs().where(_run.id == bindparam("wanted")))
_BLOCKS = Prepared(
    select(*rows.BLOCK_COLUMNS).where(_block.run_id == bindparam("wanted")).order_by(_block.id)
)
_HELD = Prepared(
    select(_run.project_id, _run.status)
    .where(_run.id == bindparam("wanted"))
    .with_for_update(key_share=False)
)
_SHARED = Prepared(
    select(_run.project_id, _run.status)
    .where(_run.id == bindparam("wanted"))
    .with_for_update(read=True)
)
_DELETE = Prepared(delete(t.pipeline_run).where(_run.id == bindparam("wanted")))
_DELETE_EVENTS = Prepared(delete(t.event).where(t.event.c.run_id == bindparam("wanted")))
_ASK = Prepared(
    insert(t.inbox)
    .values(
        project_id=bindparam("project_id"),
        run_id=bindparam("run_id"),
        asked_by=bindparam("asked_by"),
        created_at=bindparam("created_at"),
    )
    .inline()
)
_OF_BLOCK_RUN = Prepared(
    rows.select_runs()
    .add_columns(_block.block_uuid)
    .join(t.block_run, _block.run_id == _run.id)
    .where(_block.id == bindparam("wanted"))
)
_ATTEMPTS = Prepared(
    select(t.attempt)
    .join(t.block_run, _block.id == _attempt.block_run_id)
    .where(_block.run_id == bindparam("wanted"))
    .order_by(_attempt.block_run_id, _attempt.number)
)


class SqlRuns:
    """Implements `ports.runs.RunStore`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def create(self, new: NewRun) -> tuple[RunId, bool]:
        session = self._session
        params = _params(new)
        made = session.one(_MAKE, {**params, "now": session.now()})
        if made is None:
            return self._already(params), False
        run_id = RunId(made["id"])
        shared = {"project_id": new.project_id, "run_id": run_id, "now": session.now()}
        session.put(MAKE_BLOCK, *({**shared, "block_uuid": uuid} for uuid in new.blocks))
        if new.fire_key is not None and new.schedule_id is not None:
            session.put(
                _COUNT_FIRE, {"schedule": new.schedule_id, "fired_last": new.execution_date}
            )
        session.note(
            new.project_id,
            actor=new.actor,
            object_type="pipeline_run",
            object_id=run_id,
            cue="create",
            after=RunStatus.INITIAL.value,
            run_id=run_id,
        )
        return run_id, True

    def claim(
        self, me: EngineRef, projects: Collection[ProjectId], limit: int
    ) -> Sequence[Claimed]:
        return ownership.claim(self._session, me, projects, limit)

    def owned(self, me: EngineRef) -> Sequence[Claimed]:
        return ownership.owned(self._session, me)

    def save(self, saves: Sequence[Save]) -> frozenset[RunId]:
        return saving.save(self._session, saves)

    def release(self, claims: Sequence[Claim]) -> None:
        ownership.release(self._session, claims)

    def get(self, run_id: RunId) -> RunWithBlocks:
        params = {"wanted": run_id}
        runs, blocks = self._session.ask((_RUN, params), (_BLOCKS, params))
        if not runs:
            raise _unknown(run_id)
        return rows.with_blocks(runs, blocks)[0]

    def find(self, wanted: RunFilter) -> Page:
        return listing.find(self._session, wanted)

    def delete(self, run_id: RunId) -> None:
        row = self._session.one(_HELD, {"wanted": run_id})
        if row is None:
            raise _unknown(run_id)
        if row["status"] not in RUN_ENDED:
            raise Conflict(
                f"pipeline run {run_id} is {row['status']}", hint="Cancel it, then delete it."
            )
        self._session.put(_DELETE_EVENTS, {"wanted": run_id})
        self._session.put(_DELETE, {"wanted": run_id})

    def request_cancel(self, run_id: RunId, by: str) -> bool:
        session = self._session
        # Shared with other requests, but not with the save that may be ending it.
        row = session.one(_SHARED, {"wanted": run_id})
        if row is None:
            raise _unknown(run_id)
        if row["status"] in RUN_ENDED:
            return False
        project_id = row["project_id"]
        session.put(
            _ASK,
            {
                "project_id": project_id,
                "run_id": run_id,
                "asked_by": by,
                "created_at": session.now(),
            },
        )
        session.note(
            project_id,
            actor=by,
            object_type="pipeline_run",
            object_id=run_id,
            cue="cancel_asked",
            run_id=run_id,
        )
        return True

    def cancels(self, claims: Sequence[Claim]) -> Mapping[RunId, str]:
        return ownership.cancels(self._session, claims)

    def block_run(self, block_run_id: BlockRunId) -> tuple[PipelineRun, BlockUuid]:
        row = self._session.one(_OF_BLOCK_RUN, {"wanted": block_run_id})
        if row is None:
            raise NotFound(
                f"there is no block run {block_run_id}",
                hint="A pipeline run names its block runs: GET /api/pipeline_runs/<id>.",
            )
        block_uuid = BlockUuid(row.pop("block_uuid"))
        return rows.run(row), block_uuid

    def attempts(self, run_id: RunId) -> Sequence[Attempt]:
        (found,) = self._session.ask((_ATTEMPTS, {"wanted": run_id}))
        return [rows.attempt(row) for row in found]

    def _already(self, params: Params) -> RunId:
        if params["fire_key"] is not None:
            found = self._session.one(_MADE_BY_FIRE, params)
            if found is not None:
                return RunId(found["id"])
        found = self._session.one(_MADE_BY_KEY, params)
        if found is None:
            raise Conflict("a run with the same key was just deleted", hint="Try again.")
        return RunId(found["id"])


def _params(new: NewRun) -> dict[str, object]:
    owner = new.owner
    return {
        **{name: getattr(new, name, None) for name in _GIVEN},
        "owner": None if owner is None else owner.id,
        "owner_incarnation": None if owner is None else owner.incarnation,
        "fence": 0 if owner is None else 1,
    }


def _unknown(run_id: int) -> NotFound:
    return NotFound(
        f"there is no pipeline run {run_id}",
        hint="`weft runs list` and GET /api/pipeline_runs show which there are.",
    )
