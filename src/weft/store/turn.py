"""Everything that one turn writes, gathered over its runs and sent by statement."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from weft.core.artifact import Output
from weft.core.ids import BlockUuid
from weft.core.json import JsonMap
from weft.core.machine import Moved
from weft.core.records import Outcome
from weft.core.states import BLOCK_ENDED, RUN_ENDED, Cause, Cue
from weft.ports.runs import Save
from weft.store import writes as w
from weft.store.journal import LEAVE
from weft.store.prepared import Params, Row
from weft.store.session import Session

_ENDING = frozenset({Cue.COMPLETE, Cue.FAIL, Cue.TRY_AGAIN, Cue.LOSE, Cue.CANCEL})
_CAUSES = {cause.value: cause for cause in Cause}


class Turn:
    """What is to be written; nothing is sent before `write`."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._now = session.now()
        self._runs: list[Params] = []
        self._blocks: list[Params] = []
        self._handed: list[Params] = []
        self._followed: dict[tuple[int, int], dict[str, Any]] = {}
        self._accepted: list[Params] = []
        self._used: list[Params] = []
        self._heeded: list[Params] = []
        self._announced: list[Params] = []
        self._done: list[Params] = []

    def add(self, save: Save, names: Sequence[BlockUuid], run: Row, blocks: dict[str, Row]) -> None:
        """Take in one save; `run` and `blocks` are its rows, and follow what is decided."""
        self._make_missing(names, run, blocks)
        drafts = {uuid: _draft(blocks[uuid]) for uuid in names}
        self._hand_out(save, run, blocks)
        for move in save.moves:
            if move.block is None:
                self._move_run(save, move, run)
            else:
                self._move_block(save, move, run, drafts[move.block])
            self._note(save, move, run, blocks)
        for uuid in names:
            self._finish(save, uuid, blocks[uuid], drafts[uuid])
        self._finish_run(save, run)

    def write(self) -> None:
        """Send it, parents before children."""
        put = self._session.put
        put(w.MOVE_RUN, *self._runs, exact=True)
        put(w.MOVE_BLOCK, *self._blocks, exact=True)
        put(w.HAND_OUT, *self._handed)
        put(w.USE, *self._used)
        put(w.FOLLOW, *self._followed.values())
        put(w.ACCEPT, *self._accepted)
        put(w.HEEDED, *self._heeded)
        put(LEAVE, *self._announced)
        put(w.ONCE, *self._done)

    def _make_missing(self, names: Sequence[BlockUuid], run: Row, blocks: dict[str, Row]) -> None:
        missing = [uuid for uuid in names if uuid not in blocks]
        if not missing:
            return
        shared = {
            "project_id": run["project_id"],
            "run_id": run["id"],
            "created_at": self._now,
            "updated_at": self._now,
        }
        self._session.put(w.MAKE_BLOCK, *({**shared, "block_uuid": uuid} for uuid in missing))
        (rows,) = self._session.ask((w.MADE, {"run": run["id"]}))
        blocks.update({row["block_uuid"]: row for row in rows if row["block_uuid"] in missing})

    def _hand_out(self, save: Save, run: Row, blocks: dict[str, Row]) -> None:
        for (uuid, number), new in save.attempts.items():
            block_run_id = blocks[uuid]["id"]
            self._handed.append(
                {
                    "project_id": run["project_id"],
                    "block_run_id": block_run_id,
                    "number": number,
                    "epoch": save.after.epoch,
                    "try_number": new.try_number,
                    "executor": new.executor,
                    "job_id": new.job_id,
                    "code_hash": new.code_hash,
                    "parameters_hash": new.parameters_hash,
                    "environment": new.environment,
                    "log_path": new.log_path,
                    "created_at": self._now,
                }
            )
            self._used += (
                {
                    "project_id": run["project_id"],
                    "block_run_id": block_run_id,
                    "attempt": number,
                    "source_run_id": run["id"],
                    "source_block_uuid": source,
                    "source_attempt": source_attempt,
                }
                for source, source_attempt in dict.fromkeys(new.inputs)
            )

    def _move_run(self, save: Save, move: Moved, run: Row) -> None:
        if move.cue is Cue.RETRY:
            # It runs from now on, anew; no BEGIN will say so.
            run.update(started_at=self._now, completed_at=None, ended_at=None)
        elif move.cue is Cue.BEGIN:
            run["started_at"] = self._now
        elif move.after in RUN_ENDED:
            run["ended_at"] = self._now
            run["completed_at"] = self._now if move.cue is Cue.COMPLETE else None
            self._announce(save, move, run)

    def _move_block(self, save: Save, move: Moved, run: Row, draft: dict[str, Any]) -> None:
        uuid = BlockUuid(move.block or "")
        outcome = save.outcomes.get((uuid, move.attempt))
        if move.cue is Cue.RETRY:
            draft.update(started_at=None, completed_at=None, ended_at=None)
        elif move.cue is Cue.START:
            at = self._moment(outcome.started_at if outcome else None)
            draft.update(started_at=at, completed_at=None, ended_at=None)
            self._follow(draft["id"], move.attempt)["started_at"] = at
        if move.cue in _ENDING and move.attempt:
            self._end(move, draft, outcome)
        elif move.after in BLOCK_ENDED:
            draft["ended_at"] = self._now
        if move.cue is Cue.COMPLETE:
            draft.update(completed_at=draft["ended_at"], accepted=move.attempt)
            for output in outcome.outputs if outcome else ():
                self._accepted.append(self._artifact(save, move, run, draft["id"], output))

    def _end(self, move: Moved, draft: dict[str, Any], outcome: Outcome | None) -> None:
        """End an attempt, and the block run too if this was its last."""
        at = self._moment(outcome.ended_at if outcome else None, draft["started_at"])
        if move.after in BLOCK_ENDED:
            draft["ended_at"] = at
        follow = self._follow(draft["id"], move.attempt)
        cause = outcome.cause if outcome and outcome.cause else _cause(move)
        follow.update(ended_at=at, cause=None if cause is None else cause.value)
        if outcome is None:
            return
        follow["metrics"] = dict(outcome.metrics)
        error = {} if outcome.error is None else {"error": outcome.error}
        draft["metrics"] = {**outcome.metrics, **error}

    def _follow(self, block_run_id: int, number: int) -> dict[str, Any]:
        empty = {"started_at": None, "ended_at": None, "cause": None, "metrics": None}
        key = {"block_run": block_run_id, "nth": number}
        return self._followed.setdefault((block_run_id, number), {**key, **empty})

    def _moment(self, said: datetime | None, earliest: datetime | None = None) -> datetime:
        """Believe an executor's clock, but not beyond the present or before the start."""
        at = min(said or self._now, self._now)
        return at if earliest is None else max(at, min(earliest, self._now))

    def _artifact(
        self, save: Save, move: Moved, run: Row, block_run_id: int, output: Output
    ) -> Params:
        schema = output.schema
        return {
            "project_id": run["project_id"],
            "pipeline_uuid": run["pipeline_uuid"],
            "partition": save.partition,
            "block_uuid": move.block,
            "run_id": run["id"],
            "block_run_id": block_run_id,
            "attempt": move.attempt,
            "name": output.name,
            "uri": output.uri,
            "format": output.format,
            "kind": output.kind,
            "bytes": output.bytes,
            "content_hash": output.content_hash,
            "rows": output.rows,
            "schema": schema,
            "sample": output.sample,
            "created_at": self._now,
        }

    def _finish(self, save: Save, uuid: BlockUuid, row: Row, draft: dict[str, Any]) -> None:
        """Write a block run as it stands after all its moves."""
        block = save.after.blocks[uuid]
        draft.update(
            was=row["status"],
            had=row["attempt"],
            status=block.status.value,
            attempt=block.attempt,
            failures=block.failures,
            losses=block.losses,
            ready_at=block.ready_at,
            not_before=block.not_before,
            updated_at=self._now,
            block_run=row["id"],
        )
        self._blocks.append(draft)
        row.update({key: draft[key] for key in row.keys() & draft.keys()})

    def _finish_run(self, save: Save, run: Row) -> None:
        before, after = save.before, save.after
        if after.cancel_requested_at is not None and before.cancel_requested_at is None:
            self._heeded.append({"run": run["id"]})
        now_is = (after.status, after.epoch, after.cancel_requested_at)
        if now_is == (before.status, before.epoch, before.cancel_requested_at):
            return
        ended = after.status in RUN_ENDED
        changed = {
            "status": after.status.value,
            "epoch": after.epoch,
            "cancel_requested_at": after.cancel_requested_at,
            "owner": None if ended else run["owner"],
            "owner_incarnation": None if ended else run["owner_incarnation"],
        }
        self._runs.append(
            {
                **changed,
                "run": run["id"],
                "held": run["fence"],
                "was": run["status"],
                "started_at": run["started_at"],
                "completed_at": run["completed_at"],
                "ended_at": run["ended_at"],
                "version_id": save.version_id,
                "updated_at": self._now,
            }
        )
        run.update(changed)

    def _announce(self, save: Save, move: Moved, run: Row) -> None:
        self._heeded.append({"run": run["id"]})
        payload: JsonMap = {
            "run_id": run["id"],
            "pipeline_uuid": run["pipeline_uuid"],
            "status": move.after.value,
            "reason": move.reason,
        }
        self._announced.append(
            {
                "project_id": run["project_id"],
                "topic": f"pipeline_run.{move.after.value}",
                "payload": payload,
                "created_at": self._now,
            }
        )
        once = (run["schedule_type"], run["schedule_interval"]) == ("time", "@once")
        if once and run["schedule_status"] == "active":
            run["schedule_status"] = "inactive"
            self._done.append({"schedule": run["schedule_id"], "now": self._now})
            self._session.note(
                run["project_id"],
                actor=save.actor,
                object_type="pipeline_schedule",
                object_id=run["schedule_id"],
                cue="update",
                before="active",
                after="inactive",
                reason="its one run ended",
            )

    def _note(self, save: Save, move: Moved, run: Row, blocks: dict[str, Row]) -> None:
        of_block = move.block is not None
        self._session.note(
            run["project_id"],
            actor=save.actor,
            object_type="block_run" if of_block else "pipeline_run",
            object_id=blocks[move.block]["id"] if move.block is not None else run["id"],
            cue=move.cue.value,
            before=move.before.value,
            after=move.after.value,
            reason=move.reason,
            attempt=move.attempt if of_block else None,
            block_uuid=move.block,
            run_id=run["id"],
        )


def _draft(row: Row) -> dict[str, Any]:
    kept = ("id", "started_at", "completed_at", "ended_at", "accepted")
    return {**{key: row[key] for key in kept}, "metrics": None}


def _cause(move: Moved) -> Cause | None:
    """Read the cause of an end that nobody explained: a move's reason begins with it."""
    if move.cue is Cue.COMPLETE:
        return None
    said = _CAUSES.get(move.reason.partition(" ")[0])
    return said or (Cause.CANCELLED if move.cue is Cue.CANCEL else Cause.USER)
