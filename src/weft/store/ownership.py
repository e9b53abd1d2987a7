"""Whose a run is: claims, their return, and the requests left for an owner."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import BigInteger, bindparam, exists, null, or_, select, update

from weft.core.ids import ProjectId, RunId
from weft.ports.runs import Claim, Claimed, EngineRef
from weft.store import rows
from weft.store import tables as t
from weft.store.prepared import Among, Prepared, Row
from weft.store.session import Session

_run, _block, _engine, _inbox = t.pipeline_run.c, t.block_run.c, t.engine.c, t.inbox.c

_OWNER_LIVES = exists().where(
    _engine.id == _run.owner,
    _engine.incarnation == _run.owner_incarnation,
    _engine.lease_until > bindparam("now", type_=_engine.lease_until.type),
)
_FREE = (
    select(_run.id)
    .where(
        _run.status.in_(t.OPEN),
        Among(_run.project_id, "projects"),
        or_(_run.owner.is_(None), ~_OWNER_LIVES),
    )
    # Not plainly by id: SQLite would walk through all history to save itself a sort.
    .order_by(_run.id + 0)
    .limit(bindparam("most"))
    # Rows locked by another engine's claim are passed over, not waited for.
    .with_for_update(skip_locked=True, key_share=True, of=t.pipeline_run)
    .cte("free")
    .prefix_with("MATERIALIZED", dialect="postgresql")
)
_TAKE = Prepared(
    update(t.pipeline_run)
    .where(_run.id.in_(select(_FREE.c.id)))
    .values(owner=bindparam("me"), owner_incarnation=bindparam("mine"), fence=_run.fence + 1)
    .returning(_run.id)
)
_OWNED = Prepared(
    select(_run.id)
    .where(
        _run.status.in_(t.OPEN),
        _run.owner == bindparam("me"),
        _run.owner_incarnation == bindparam("mine"),
    )
    .order_by(_run.id + 0)
)
_RUNS = Prepared(rows.select_runs().where(Among(_run.id, "ids")).order_by(_run.id))
_BLOCKS = Prepared(
    select(*rows.BLOCK_COLUMNS)
    .where(Among(_block.run_id, "ids"))
    .order_by(_block.run_id, _block.id)
)
_RELEASE = Prepared(
    update(t.pipeline_run)
    .where(_run.id == bindparam("wanted"), _run.fence == bindparam("held", type_=BigInteger()))
    .values(owner=null(), owner_incarnation=null())
)
_REQUESTS = Prepared(
    select(_inbox.id, _inbox.run_id, _inbox.asked_by, _run.fence)
    .join(t.pipeline_run, _run.id == _inbox.run_id)
    .where(
        Among(_inbox.run_id, "ids"),
        or_(_inbox.taken.is_(None), _inbox.taken < _run.fence),
    )
    .order_by(_inbox.id)
)
_HOLD = Prepared(
    select(_run.id)
    .where(Among(_run.id, "ids"), exists().where(_inbox.run_id == _run.id))
    .order_by(_run.id)
    .with_for_update(key_share=True)
)
_TAKEN = Prepared(
    update(t.inbox)
    .where(_inbox.id == bindparam("request"))
    .values(taken=bindparam("held", type_=BigInteger()))
)


def claim(
    session: Session, me: EngineRef, projects: Collection[ProjectId], limit: int
) -> list[Claimed]:
    """Take over free runs, oldest first, and return them as they stand."""
    params = {
        "now": session.now(),
        "projects": projects,
        "most": limit,
        "me": me.id,
        "mine": me.incarnation,
    }
    (taken,) = session.ask((_TAKE, params))
    return _as_they_stand(session, taken)


def owned(session: Session, me: EngineRef) -> list[Claimed]:
    """Return the open runs of one incarnation as they stand."""
    (found,) = session.ask((_OWNED, {"me": me.id, "mine": me.incarnation}))
    return _as_they_stand(session, found)


def _as_they_stand(session: Session, found: Sequence[Row]) -> list[Claimed]:
    if not found:
        return []
    ids = {"ids": [row["id"] for row in found]}
    runs, blocks = session.ask((_RUNS, ids), (_BLOCKS, ids))
    return [
        Claimed(Claim(stored.run.id, stored.run.fence), stored)
        for stored in rows.with_blocks(runs, blocks)
    ]


def release(session: Session, claims: Sequence[Claim]) -> None:
    """Give back those that are still held; for the others there is nothing to give."""
    session.put(_RELEASE, *({"wanted": held.run_id, "held": held.fence} for held in claims))


def cancels(session: Session, claims: Sequence[Claim]) -> Mapping[RunId, str]:
    """Take the requests for these runs, each once per ownership.

    A request stays in the inbox until a save shows that it was heeded: an engine
    that dies in between takes nothing with it.
    """
    fences = {held.run_id: held.fence for held in claims}
    ids = {"ids": list(fences)}
    if not fences:
        return {}
    # The run is held so that nobody takes it over between the look and the taking.
    _, found = session.ask((_HOLD, ids), (_REQUESTS, ids))
    mine = [row for row in found if row["fence"] == fences[row["run_id"]]]
    session.put(_TAKEN, *({"request": row["id"], "held": row["fence"]} for row in mine))
    return {row["run_id"]: row["asked_by"] for row in reversed(mine)}
