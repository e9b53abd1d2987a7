"""The statements with which a turn writes."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, delete, func, insert, select, update

from weft.store import tables as t
from weft.store.prepared import Prepared

_run, _block, _attempt, _schedule = (
    t.pipeline_run.c,
    t.block_run.c,
    t.attempt.c,
    t.pipeline_schedule.c,
)


def _set(table: Any, *names: str) -> dict[str, Any]:
    return {name: bindparam(name, type_=table.c[name].type) for name in names}


def _unless_null(table: Any, *names: str) -> dict[str, Any]:
    """Set what is given; leave what is not."""
    return {
        name: func.coalesce(bindparam(name, type_=table.c[name].type), table.c[name])
        for name in names
    }


MOVE_RUN = Prepared(
    update(t.pipeline_run)
    .where(
        _run.id == bindparam("run"),
        _run.fence == bindparam("held", type_=_run.fence.type),
        _run.status == bindparam("was"),
    )
    .values(
        **_set(
            t.pipeline_run,
            "status",
            "epoch",
            "started_at",
            "completed_at",
            "ended_at",
            "cancel_requested_at",
            "owner",
            "owner_incarnation",
            "updated_at",
        ),
        **_unless_null(t.pipeline_run, "version_id"),
    )
)
MOVE_BLOCK = Prepared(
    update(t.block_run)
    .where(
        _block.id == bindparam("block_run"),
        _block.status == bindparam("was"),
        _block.attempt == bindparam("had"),
    )
    .values(
        **_set(
            t.block_run,
            "status",
            "attempt",
            "failures",
            "losses",
            "ready_at",
            "not_before",
            "started_at",
            "completed_at",
            "ended_at",
            "accepted",
            "updated_at",
        ),
        **_unless_null(t.block_run, "metrics"),
    )
)
MAKE_BLOCK = Prepared(
    insert(t.block_run)
    .values(
        **_set(t.block_run, "project_id", "run_id", "block_uuid", "created_at", "updated_at"),
        status="initial",
        attempt=0,
        failures=0,
        losses=0,
    )
    .inline()
)
MADE = Prepared(select(t.block_run).where(_block.run_id == bindparam("run")))
HAND_OUT = Prepared(
    insert(t.attempt)
    .values(
        **_set(
            t.attempt,
            *(
                column.name
                for column in t.attempt.c
                if column.name not in {"started_at", "ended_at", "cause", "metrics"}
            ),
        )
    )
    .inline()
)
FOLLOW = Prepared(
    update(t.attempt)
    .where(_attempt.block_run_id == bindparam("block_run"), _attempt.number == bindparam("nth"))
    .values(
        **_unless_null(t.attempt, "metrics"),
        # What was said first stands: a waiting retry that is cancelled has its cause.
        **{
            name: func.coalesce(_attempt[name], bindparam(name, type_=_attempt[name].type))
            for name in ("started_at", "ended_at", "cause")
        },
    )
)
ACCEPT = Prepared(
    insert(t.artifact)
    .values(**_set(t.artifact, *(c.name for c in t.artifact.c if c.name != "id")))
    .inline()
)
USE = Prepared(
    insert(t.artifact_use).values(**_set(t.artifact_use, *t.artifact_use.c.keys())).inline()
)
HEEDED = Prepared(delete(t.inbox).where(t.inbox.c.run_id == bindparam("run")))
ONCE = Prepared(
    update(t.pipeline_schedule)
    .where(_schedule.id == bindparam("schedule"))
    .values(status="inactive", updated_at=bindparam("now", type_=_schedule.updated_at.type))
)
