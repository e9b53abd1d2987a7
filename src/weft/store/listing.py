"""Lists of runs: filters, order, pages, and every retry beside its run."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, and_, exists, false, func, or_, select

from weft.core.errors import Invalid
from weft.core.records import Page
from weft.core.states import RunStatus
from weft.ports.runs import RunFilter
from weft.store import rows
from weft.store import tables as t
from weft.store.prepared import Among, Prepared
from weft.store.session import Session

_run, _block = t.pipeline_run.c, t.block_run.c
_newer = t.pipeline_run.alias("newer")

_SORTABLE = {
    column.name: column
    for column in t.pipeline_run.c
    if column.name not in {"hidden", "owner_incarnation", "fire_key", "idempotency_key"}
}
_BLOCKS = Prepared(
    select(*rows.BLOCK_COLUMNS)
    .where(Among(_block.run_id, "ids"))
    .order_by(_block.run_id, _block.id)
)
_NEWEST_OF_ITS_DATE = ~exists().where(
    _newer.c.project_id == _run.project_id,
    _newer.c.pipeline_uuid == _run.pipeline_uuid,
    _newer.c.hidden == _run.hidden,
    _newer.c.execution_date == _run.execution_date,
    or_(
        _newer.c.schedule_id == _run.schedule_id,
        and_(_newer.c.schedule_id.is_(None), _run.schedule_id.is_(None)),
    ),
    _newer.c.id > _run.id,
)


def find(session: Session, wanted: RunFilter) -> Page:
    """Return a page of runs with their block runs, and how many there are in all."""
    order = _order(wanted)
    where = _where(wanted)
    count = select(func.count().label("n")).select_from(t.pipeline_run).where(*where)
    total = int(session.run(count)[0]["n"])
    query = rows.select_runs().where(*where).order_by(*order)
    found = session.run(query.limit(wanted.limit).offset(wanted.offset))
    if wanted.group_retries and found:
        ids = {row["id"] for row in found}
        dates = {found[0]["execution_date"], found[-1]["execution_date"]} - {None}
        beside = select(_run.id).where(*where, _run.execution_date.in_(dates))
        more = {row["id"] for row in session.run(beside)} - ids
        if more:
            found = session.run(rows.select_runs().where(_run.id.in_(ids | more)).order_by(*order))
    (blocks,) = session.ask((_BLOCKS, {"ids": [row["id"] for row in found]}))
    return Page(tuple(rows.with_blocks(found, blocks)), total)


def _where(wanted: RunFilter) -> list[ColumnElement[bool]]:
    exact = {
        _run.schedule_id: wanted.schedule_id,
        _run.backfill_id: wanted.backfill_id,
    }
    where: list[ColumnElement[bool]] = [_run.project_id == wanted.project_id]
    where += [column == value for column, value in exact.items() if value is not None]
    if not wanted.with_hidden:
        where.append(_run.hidden.is_(False))
    if wanted.pipeline_uuids is not None:
        where.append(_any_of(_run.pipeline_uuid, [str(uuid) for uuid in wanted.pipeline_uuids]))
    if wanted.statuses is not None:
        where.append(_any_of(_run.status, [status.value for status in wanted.statuses]))
    if wanted.last_failed:
        where += [_run.status == RunStatus.FAILED.value, _NEWEST_OF_ITS_DATE]
    if wanted.created_from is not None:
        where.append(_run.created_at >= wanted.created_from)
    if wanted.created_to is not None:
        where.append(_run.created_at <= wanted.created_to)
    return where


def _any_of(column: ColumnElement[Any], values: list[str]) -> ColumnElement[bool]:
    if not values:
        return false()
    return column == values[0] if len(values) == 1 else column.in_(values)


def _order(wanted: RunFilter) -> list[ColumnElement[Any]]:
    unknown = [name for name, _ in wanted.order_by if name not in _SORTABLE]
    if unknown:
        raise Invalid(
            f"runs cannot be ordered by {unknown[0]!r}",
            hint=f"There is: {', '.join(sorted(_SORTABLE))}.",
        )
    order: list[ColumnElement[Any]] = [
        _SORTABLE[name].desc().nulls_last() if descending else _SORTABLE[name].asc().nulls_first()
        for name, descending in wanted.order_by or (("execution_date", True),)
    ]
    return [*order, _run.id.desc()]
