"""Write what a turn decided: all of it or, for a run whose claim is void, none.

The run's row is locked first, so what is then read of it and of its block runs
stands until the commit; it is compared with what the turn began with, and every
UPDATE compares once more. Whatever one turn changed goes out together: a look, then
the writes with the commit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Text, select

from weft.core.ids import BlockUuid, RunId
from weft.core.machine import Run
from weft.core.states import RUN_OPEN
from weft.ports.runs import Save
from weft.store import tables as t
from weft.store.prepared import Among, Prepared, Row
from weft.store.session import Session
from weft.store.turn import Turn

_run, _block, _schedule = t.pipeline_run.c, t.block_run.c, t.pipeline_schedule.c

_HELD = Prepared(
    select(
        _run.id,
        _run.project_id,
        _run.pipeline_uuid,
        _run.schedule_id,
        _run.status,
        _run.epoch,
        _run.owner,
        _run.owner_incarnation,
        _run.fence,
        _run.started_at,
        _run.completed_at,
        _run.ended_at,
        _run.cancel_requested_at,
        _schedule.schedule_type,
        _schedule.schedule_interval,
        _schedule.status.label("schedule_status"),
    )
    .select_from(t.pipeline_run.outerjoin(t.pipeline_schedule, _schedule.id == _run.schedule_id))
    .where(Among(_run.id, "ids"))
    .order_by(_run.id)
    .with_for_update(key_share=True, of=t.pipeline_run)
)
_BLOCKS = Prepared(
    select(
        _block.id,
        _block.run_id,
        _block.block_uuid,
        _block.status,
        _block.attempt,
        _block.failures,
        _block.losses,
        _block.not_before,
        _block.started_at,
        _block.completed_at,
        _block.ended_at,
        _block.accepted,
    ).where(Among(_block.run_id, "ids"), Among(_block.block_uuid, "uuids", of=Text))
)


def save(session: Session, saves: Sequence[Save]) -> frozenset[RunId]:
    """Write the good saves; return the runs of the void ones."""
    if not saves:
        return frozenset()
    changed = [_changed(save) for save in saves]
    ids = {"ids": sorted({save.claim.run_id for save in saves})}
    uuids = {"uuids": sorted({uuid for some in changed for uuid in some})}
    held, blocks = session.ask((_HELD, ids), (_BLOCKS, {**ids, **uuids}))
    runs = {row["id"]: row for row in held}
    stored: dict[int, dict[str, Row]] = {run_id: {} for run_id in ids["ids"]}
    for row in blocks:
        stored[row["run_id"]][row["block_uuid"]] = row
    turn = Turn(session)
    void = set()
    for one, names in zip(saves, changed, strict=True):
        run_id = one.claim.run_id
        run = runs.get(run_id)
        if run is None or not _holds(run, one):
            void.add(run_id)
        elif _stands(one.before, names, run, stored[run_id]):
            turn.add(one, names, run, stored[run_id])
        elif not _stands(one.after, names, run, stored[run_id]):
            # Neither as it was nor as it shall be; the latter is a repeated save
            # whose first commit did arrive, and is done.
            void.add(run_id)
    turn.write()
    return frozenset(void)


def _changed(save: Save) -> tuple[BlockUuid, ...]:
    """Name the blocks that the turn touched, in the author's order."""
    before = save.before.blocks
    named = {move.block for move in save.moves}
    named.update(uuid for uuid, _ in (*save.attempts, *save.outcomes))
    return tuple(
        uuid
        for uuid, block in save.after.blocks.items()
        if uuid in named or (before.get(uuid) is not block and before.get(uuid) != block)
    )


def _holds(run: Row, save: Save) -> bool:
    """Whether the claim is good: an open run that nobody owns was given back."""
    given_back = run["owner"] is None and run["status"] in RUN_OPEN
    return bool(run["fence"] == save.claim.fence) and not given_back


def _stands(
    expected: Run, names: tuple[BlockUuid, ...], run: Row, stored: Mapping[str, Row]
) -> bool:
    """Whether the rows are where `expected` has them.

    Within an epoch no block passes twice through the same (status, attempt, waiting).
    """
    if (run["status"], run["epoch"]) != (expected.status, expected.epoch):
        return False
    if (run["cancel_requested_at"] is None) != (expected.cancel_requested_at is None):
        return False
    for uuid in names:
        block, row = expected.blocks.get(uuid), stored.get(uuid)
        if block is None:
            continue
        if row is None:
            return False
        if (row["status"], row["attempt"]) != (block.status, block.attempt):
            return False
        if (row["not_before"] is None) != (block.not_before is None):
            return False
    return True
