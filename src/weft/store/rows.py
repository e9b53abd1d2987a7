"""Rows into records: the only place that knows both shapes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

import msgspec
from sqlalchemy import Select, select

from weft.core.artifact import Column, Output
from weft.core.records import (
    Announcement,
    Artifact,
    Attempt,
    LoggedEvent,
    PipelineRun,
    PipelineSchedule,
    RunWithBlocks,
    StoredBlockRun,
)
from weft.core.states import BlockStatus, Cause, RunStatus
from weft.store import tables as t

AnyRow = Mapping[str, Any]

RUN_COLUMNS = tuple(
    column
    for column in t.pipeline_run.c
    if column.name not in {"hidden", "owner_incarnation", "project_id", "schedule_id"}
)
BLOCK_COLUMNS = tuple(
    column for column in t.block_run.c if column.name not in {"project_id", "accepted"}
)
SCHEDULE_COLUMNS = tuple(
    column for column in t.pipeline_schedule.c if not column.name.startswith("fired_")
)


def select_runs() -> Select[Any]:
    """Return the query of runs with what they show of their schedules."""
    run, schedule = t.pipeline_run, t.pipeline_schedule
    return select(
        *RUN_COLUMNS,
        run.c.project_id,
        run.c.schedule_id,
        schedule.c.name.label("schedule_name"),
        schedule.c.token.label("schedule_token"),
        schedule.c.schedule_type,
    ).select_from(run.outerjoin(schedule, schedule.c.id == run.c.schedule_id))


def run(row: AnyRow) -> PipelineRun:
    """Read a row of `select_runs`."""
    values = dict(row)
    values["status"] = RunStatus(values["status"])
    return PipelineRun(**values)


def block_run(row: AnyRow) -> StoredBlockRun:
    """Read a row of `BLOCK_COLUMNS`."""
    values = dict(row)
    values["status"] = BlockStatus(values["status"])
    return StoredBlockRun(**values)


def with_blocks(runs: Iterable[AnyRow], blocks: Iterable[AnyRow]) -> list[RunWithBlocks]:
    """Put block runs, ordered by (run, id), with their runs; the runs' order stays."""
    by_run = {
        run_id: tuple(block_run(row) for row in rows)
        for run_id, rows in groupby(blocks, key=lambda row: row["run_id"])
    }
    return [RunWithBlocks(run(row), by_run.get(row["id"], ())) for row in runs]


def schedule(row: AnyRow) -> PipelineSchedule:
    """Read a row of `SCHEDULE_COLUMNS`."""
    return PipelineSchedule(**row)


def attempt(row: AnyRow) -> Attempt:
    """Read a row of the attempts, without its project."""
    values = {key: value for key, value in row.items() if key != "project_id"}
    values["cause"] = Cause(values["cause"]) if values["cause"] else None
    return Attempt(**values)


def artifacts(rows: Sequence[AnyRow]) -> tuple[Artifact, ...]:
    """Read rows of the artifacts, in order of name (`output_2` before `output_10`)."""
    return tuple(_artifact(row) for row in sorted(rows, key=lambda row: _natural(row["name"])))


def _artifact(row: AnyRow) -> Artifact:
    schema = row["schema"]
    output = Output(
        name=row["name"],
        uri=row["uri"],
        format=row["format"],
        kind=row["kind"],
        bytes=row["bytes"],
        content_hash=row["content_hash"],
        rows=row["rows"],
        schema=None if schema is None else msgspec.convert(schema, tuple[Column, ...]),
        sample=row["sample"],
    )
    return Artifact(
        id=row["id"],
        project_id=row["project_id"],
        pipeline_uuid=row["pipeline_uuid"],
        partition=row["partition"],
        block_uuid=row["block_uuid"],
        run_id=row["run_id"],
        block_run_id=row["block_run_id"],
        attempt=row["attempt"],
        output=output,
        created_at=row["created_at"],
    )


def _natural(name: str) -> list[tuple[int, str]]:
    return [
        (int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)
    ]


def event(row: AnyRow) -> LoggedEvent:
    """Read a row of the events."""
    return LoggedEvent(**row)


def announcement(row: AnyRow) -> Announcement:
    """Read a row of the outbox."""
    return Announcement(**{key: value for key, value in row.items() if key != "held_until"})
