"""Every table, once, for both databases.

A row that belongs to a project says so, and unique keys begin with the project.
Where a key begins with the id of a parent row instead (`run_id`, `block_run_id`),
that id already stands for one project, and the same index serves the foreign key.

Partial indexes keep the working set apart from history: what an engine asks is
answered from the open rows alone, however many runs have ended.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    literal_column,
)
from sqlalchemy.sql.elements import ColumnElement

from weft.core.states import BLOCK_LIVE, RUN_OPEN, RunStatus
from weft.store.columns import Id, JsonText, UtcTime, Words

VERSION_TABLE = "schema_version"
"""Where a database says which version it is of (see `migrate`)."""

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)


def _said(*statuses: str) -> list[ColumnElement[str]]:
    """Statuses as literals: a parameter would hide from the planner that an index fits."""
    return [literal_column(f"'{status}'") for status in sorted(statuses)]


OPEN = _said(*RUN_OPEN)
LIVE = _said(*BLOCK_LIVE)
RUNNING = _said(RunStatus.RUNNING)


def _project() -> Column[int]:
    return Column("project_id", Id, ForeignKey("project.id"), nullable=False)


def _made() -> tuple[Column[object], ...]:
    return (
        Column("created_at", UtcTime, nullable=False),
        Column("updated_at", UtcTime, nullable=False),
    )


project = Table(
    "project",
    metadata,
    Column("id", Id, primary_key=True),
    Column("uuid", Text, nullable=False, unique=True),
    # False while the uuid is ours, because the project's files name none.
    Column("declared", Boolean, nullable=False),
    Column("path", Words, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    sqlite_autoincrement=True,
)

pipeline_version = Table(
    "pipeline_version",
    metadata,
    Column("id", Id, primary_key=True),
    _project(),
    Column("pipeline_uuid", Text, nullable=False),
    Column("content_hash", Text, nullable=False),
    Column("spec", Text, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    UniqueConstraint("project_id", "pipeline_uuid", "content_hash"),
    sqlite_autoincrement=True,
)

block_code = Table(
    "block_code",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("code", Words, nullable=False),
)

pipeline_schedule = Table(
    "pipeline_schedule",
    metadata,
    Column("id", Id, primary_key=True),
    _project(),
    Column("pipeline_uuid", Text, nullable=False),
    Column("name", Words, nullable=False),
    Column("token", Words, nullable=False),
    Column("schedule_type", Text),
    Column("status", Text, nullable=False),
    Column("description", Words),
    Column("schedule_interval", Words),
    Column("start_time", UtcTime),
    Column("last_enabled_at", UtcTime),
    Column("variables", JsonText),
    Column("settings", JsonText),
    Column("sla", Integer),
    Column("repo_path", Words),
    Column("global_data_product_uuid", Words),
    Column("hidden", Boolean, nullable=False),
    # What the planner fired, kept here so that it never counts history.
    Column("fired_count", BigInteger, nullable=False),
    Column("fired_last", UtcTime),
    *_made(),
    sqlite_autoincrement=True,
)
Index("ix_pipeline_schedule_project", pipeline_schedule.c.project_id, pipeline_schedule.c.id)

pipeline_run = Table(
    "pipeline_run",
    metadata,
    Column("id", Id, primary_key=True),
    _project(),
    Column("pipeline_uuid", Text, nullable=False),
    Column("version_id", Id, ForeignKey("pipeline_version.id"), nullable=False),
    Column("schedule_id", Id, ForeignKey("pipeline_schedule.id", ondelete="SET NULL")),
    Column("backfill_id", Id),
    Column("hidden", Boolean, nullable=False),
    Column("status", Text, nullable=False),
    Column("execution_date", UtcTime),
    Column("variables", JsonText),
    Column("event_variables", JsonText),
    Column("metrics", JsonText),
    Column("passed_sla", Boolean, nullable=False),
    Column("executor_type", Text, nullable=False),
    Column("started_at", UtcTime),
    Column("completed_at", UtcTime),
    Column("ended_at", UtcTime),
    Column("cancel_requested_at", UtcTime),
    Column("epoch", Integer, nullable=False),
    Column("owner", Text),
    Column("owner_incarnation", BigInteger),
    Column("fence", BigInteger, nullable=False),
    Column("fire_key", Words),
    Column("idempotency_key", Words),
    *_made(),
    sqlite_autoincrement=True,
)


def _partial(name: str, where: ColumnElement[bool], *columns: str, unique: bool = False) -> None:
    table = pipeline_run if name.startswith(("ix_pipeline_run", "uq_pipeline_run")) else block_run
    Index(
        name,
        *(table.c[column] for column in columns),
        unique=unique,
        sqlite_where=where,
        postgresql_where=where,
    )


def _listed(name: str, *columns: str) -> None:
    """An index in the order of the list, which puts runs without a date last."""
    run = pipeline_run.c
    lead = [run[column] for column in columns]
    by_date = run.execution_date.desc()
    Index(name, *lead, by_date, run.id.desc()).ddl_if(dialect="sqlite")
    Index(name, *lead, by_date.nulls_last(), run.id.desc()).ddl_if(dialect="postgresql")


_partial(
    "uq_pipeline_run_fire_key",
    pipeline_run.c.fire_key.is_not(None),
    "project_id",
    "schedule_id",
    "fire_key",
    unique=True,
)
_partial(
    "uq_pipeline_run_idempotency_key",
    pipeline_run.c.idempotency_key.is_not(None),
    "project_id",
    "idempotency_key",
    unique=True,
)
_partial(
    "ix_pipeline_run_open",
    pipeline_run.c.status.in_(OPEN),
    "project_id",
    "schedule_id",
    "id",
)
_partial(
    "ix_pipeline_run_running",
    pipeline_run.c.status.in_(RUNNING),
    "project_id",
    "pipeline_uuid",
    "schedule_id",
)
_listed("ix_pipeline_run_list", "project_id", "hidden")
_listed("ix_pipeline_run_pipeline", "project_id", "pipeline_uuid", "hidden")
_listed("ix_pipeline_run_status", "project_id", "status", "hidden")
Index("ix_pipeline_run_schedule", pipeline_run.c.schedule_id, pipeline_run.c.id)
Index("ix_pipeline_run_created", pipeline_run.c.project_id, pipeline_run.c.created_at)

block_run = Table(
    "block_run",
    metadata,
    Column("id", Id, primary_key=True),
    _project(),
    Column("run_id", Id, ForeignKey("pipeline_run.id", ondelete="CASCADE"), nullable=False),
    Column("block_uuid", Words, nullable=False),
    Column("status", Text, nullable=False),
    Column("started_at", UtcTime),
    Column("completed_at", UtcTime),
    Column("ended_at", UtcTime),
    Column("metrics", JsonText),
    Column("attempt", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("losses", Integer, nullable=False),
    Column("ready_at", UtcTime),
    Column("not_before", UtcTime),
    # The attempt whose outputs count: this alone makes artifacts visible.
    Column("accepted", Integer),
    *_made(),
    UniqueConstraint("run_id", "block_uuid"),
    sqlite_autoincrement=True,
)
_partial("ix_block_run_live", block_run.c.status.in_(LIVE), "project_id")

attempt = Table(
    "attempt",
    metadata,
    Column("block_run_id", Id, ForeignKey("block_run.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    _project(),
    Column("epoch", Integer, nullable=False),
    Column("try_number", Integer, nullable=False),
    Column("executor", Text, nullable=False),
    Column("job_id", Words, nullable=False),
    Column("code_hash", Text, nullable=False),
    Column("parameters_hash", Text, nullable=False),
    Column("environment", Words, nullable=False),
    Column("log_path", Words, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("started_at", UtcTime),
    Column("ended_at", UtcTime),
    Column("cause", Text),
    Column("metrics", JsonText),
    sqlite_with_rowid=False,
)

artifact = Table(
    "artifact",
    metadata,
    Column("id", Id, primary_key=True),
    _project(),
    Column("pipeline_uuid", Text, nullable=False),
    Column("partition", Words, nullable=False),
    Column("block_uuid", Words, nullable=False),
    Column("run_id", Id, nullable=False),
    Column("block_run_id", Id, ForeignKey("block_run.id", ondelete="CASCADE"), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("name", Words, nullable=False),
    Column("uri", Words, nullable=False),
    Column("format", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("content_hash", Text, nullable=False),
    Column("rows", BigInteger),
    Column("schema", JsonText),
    Column("sample", JsonText),
    Column("created_at", UtcTime, nullable=False),
    UniqueConstraint("block_run_id", "attempt", "name"),
    sqlite_autoincrement=True,
)
Index(
    "ix_artifact_newest",
    artifact.c.project_id,
    artifact.c.pipeline_uuid,
    artifact.c.block_uuid,
    artifact.c.id,
)
Index(
    "ix_artifact_partition",
    artifact.c.project_id,
    artifact.c.pipeline_uuid,
    artifact.c.block_uuid,
    artifact.c.partition,
    artifact.c.id,
)

artifact_use = Table(
    "artifact_use",
    metadata,
    Column("block_run_id", Id, ForeignKey("block_run.id", ondelete="CASCADE"), primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("source_run_id", Id, primary_key=True),
    Column("source_block_uuid", Words, primary_key=True),
    Column("source_attempt", Integer, primary_key=True),
    _project(),
    sqlite_with_rowid=False,
)

event = Table(
    "event",
    metadata,
    Column("seq", Id, primary_key=True),
    _project(),
    Column("actor", Words, nullable=False),
    Column("object_type", Text, nullable=False),
    Column("object_id", Id, nullable=False),
    Column("cue", Text, nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("before", Text),
    Column("after", Text),
    Column("reason", Words, nullable=False),
    Column("attempt", Integer),
    Column("block_uuid", Words),
    Column("run_id", Id),
    sqlite_autoincrement=True,
)
Index("ix_event_run", event.c.run_id, event.c.seq)
SCHEDULE_EVENT = event.c.object_type.in_([literal_column("'pipeline_schedule'")])
Index(
    "ix_event_schedule",
    event.c.seq,
    sqlite_where=SCHEDULE_EVENT,
    postgresql_where=SCHEDULE_EVENT,
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Id, primary_key=True),
    _project(),
    Column("topic", Text, nullable=False),
    Column("payload", JsonText, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("deliveries", Integer, nullable=False),
    Column("held_until", UtcTime),
    sqlite_autoincrement=True,
)

inbox = Table(
    "inbox",
    metadata,
    Column("id", Id, primary_key=True),
    _project(),
    Column("run_id", Id, ForeignKey("pipeline_run.id", ondelete="CASCADE"), nullable=False),
    Column("asked_by", Words, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    # The fence under which it was taken: a later owner takes it again.
    Column("taken", BigInteger),
    sqlite_autoincrement=True,
)
Index("ix_inbox_run", inbox.c.run_id)

engine = Table(
    "engine",
    metadata,
    Column("id", Text, primary_key=True),
    Column("incarnation", BigInteger, nullable=False),
    Column("lease_until", UtcTime, nullable=False),
    Column("host", Words, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("data_dir", Words, nullable=False),
)
