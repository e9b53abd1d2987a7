"""The first tables.

What stands here is history: it says what a database of this version looks like, and
changes no more. `tables` says what one looks like now.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from weft.store.columns import Id, JsonText, UtcTime, Words

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make every table."""
    _block_code()
    _engine()
    _project()
    _event()
    _outbox()
    _pipeline_schedule()
    _pipeline_version()
    _pipeline_run()
    _block_run()
    _inbox()
    _artifact()
    _artifact_use()
    _attempt()


def _of_project(table: str) -> sa.ForeignKeyConstraint:
    name = f"fk_{table}_project_id"
    return sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=name)


def _of_block_run(table: str) -> sa.ForeignKeyConstraint:
    name = f"fk_{table}_block_run_id"
    return sa.ForeignKeyConstraint(["block_run_id"], ["block_run.id"], name, ondelete="CASCADE")


def _partial(
    name: str, table: str, columns: list[str], condition: str, *, unique: bool = False
) -> None:
    where = sa.text(condition)
    op.create_index(name, table, columns, unique=unique, sqlite_where=where, postgresql_where=where)


def _block_code() -> None:
    op.create_table(
        "block_code",
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("code", Words(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name="pk_block_code"),
    )


def _engine() -> None:
    op.create_table(
        "engine",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("incarnation", sa.BigInteger(), nullable=False),
        sa.Column("lease_until", UtcTime(), nullable=False),
        sa.Column("host", Words(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("data_dir", Words(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_engine"),
    )


def _project() -> None:
    op.create_table(
        "project",
        sa.Column("id", Id, nullable=False),
        sa.Column("uuid", sa.Text(), nullable=False),
        sa.Column("declared", sa.Boolean(), nullable=False),
        sa.Column("path", Words(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_project"),
        sa.UniqueConstraint("uuid", name="uq_project_uuid"),
        sqlite_autoincrement=True,
    )


def _event() -> None:
    op.create_table(
        "event",
        sa.Column("seq", Id, nullable=False),
        sa.Column("project_id", Id, nullable=False),
        sa.Column("actor", Words(), nullable=False),
        sa.Column("object_type", sa.Text(), nullable=False),
        sa.Column("object_id", Id, nullable=False),
        sa.Column("cue", sa.Text(), nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.Column("before", sa.Text()),
        sa.Column("after", sa.Text()),
        sa.Column("reason", Words(), nullable=False),
        sa.Column("attempt", sa.Integer()),
        sa.Column("block_uuid", Words()),
        sa.Column("run_id", Id),
        _of_project("event"),
        sa.PrimaryKeyConstraint("seq", name="pk_event"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_event_run", "event", ["run_id", "seq"])
    _partial("ix_event_schedule", "event", ["seq"], "object_type IN ('pipeline_schedule')")


def _outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", Id, nullable=False),
        sa.Column("project_id", Id, nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("payload", JsonText(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("deliveries", sa.Integer(), nullable=False),
        sa.Column("held_until", UtcTime()),
        _of_project("outbox"),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        sqlite_autoincrement=True,
    )


def _pipeline_schedule() -> None:
    op.create_table(
        "pipeline_schedule",
        sa.Column("id", Id, nullable=False),
        sa.Column("project_id", Id, nullable=False),
        sa.Column("pipeline_uuid", sa.Text(), nullable=False),
        sa.Column("name", Words(), nullable=False),
        sa.Column("token", Words(), nullable=False),
        sa.Column("schedule_type", sa.Text()),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("description", Words()),
        sa.Column("schedule_interval", Words()),
        sa.Column("start_time", UtcTime()),
        sa.Column("last_enabled_at", UtcTime()),
        sa.Column("variables", JsonText()),
        sa.Column("settings", JsonText()),
        sa.Column("sla", sa.Integer()),
        sa.Column("repo_path", Words()),
        sa.Column("global_data_product_uuid", Words()),
        sa.Column("hidden", sa.Boolean(), nullable=False),
        sa.Column("fired_count", sa.BigInteger(), nullable=False),
        sa.Column("fired_last", UtcTime()),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("updated_at", UtcTime(), nullable=False),
        _of_project("pipeline_schedule"),
        sa.PrimaryKeyConstraint("id", name="pk_pipeline_schedule"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_pipeline_schedule_project", "pipeline_schedule", ["project_id", "id"])


def _pipeline_version() -> None:
    op.create_table(
        "pipeline_version",
        sa.Column("id", Id, nullable=False),
        sa.Column("project_id", Id, nullable=False),
        sa.Column("pipeline_uuid", sa.Text(), nullable=False),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        _of_project("pipeline_version"),
        sa.PrimaryKeyConstraint("id", name="pk_pipeline_version"),
        sa.UniqueConstraint(
            "project_id",
            "pipeline_uuid",
            "content_hash",
            name="uq_pipeline_version_project_id_pipeline_uuid_content_hash",
        ),
        sqlite_autoincrement=True,
    )


def _pipeline_run() -> None:
    op.create_table(
        "pipeline_run",
        sa.Column("id", Id, nullable=False),
        sa.Column("project_id", Id, nullable=False),
        sa.Column("pipeline_uuid", sa.Text(), nullable=False),
        sa.Column("version_id", Id, nullable=False),
        sa.Column("schedule_id", Id),
        sa.Column("backfill_id", Id),
        sa.Column("hidden", sa.Boolean(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("execution_date", UtcTime()),
        sa.Column("variables", JsonText()),
        sa.Column("event_variables", JsonText()),
        sa.Column("metrics", JsonText()),
        sa.Column("passed_sla", sa.Boolean(), nullable=False),
        sa.Column("executor_type", sa.Text(), nullable=False),
        sa.Column("started_at", UtcTime()),
        sa.Column("completed_at", UtcTime()),
        sa.Column("ended_at", UtcTime()),
        sa.Column("cancel_requested_at", UtcTime()),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("owner", sa.Text()),
        sa.Column("owner_incarnation", sa.BigInteger()),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("fire_key", Words()),
        sa.Column("idempotency_key", Words()),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("updated_at", UtcTime(), nullable=False),
        _of_project("pipeline_run"),
        sa.ForeignKeyConstraint(
            ["schedule_id"],
            ["pipeline_schedule.id"],
            name="fk_pipeline_run_schedule_id",
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["version_id"], ["pipeline_version.id"], name="fk_pipeline_run_version_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_pipeline_run"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_pipeline_run_created", "pipeline_run", ["project_id", "created_at"])
    _partial(
        "ix_pipeline_run_open",
        "pipeline_run",
        ["project_id", "schedule_id", "id"],
        "status IN ('initial', 'running')",
    )
    _partial(
        "ix_pipeline_run_running",
        "pipeline_run",
        ["project_id", "pipeline_uuid", "schedule_id"],
        "status IN ('running')",
    )
    op.create_index("ix_pipeline_run_schedule", "pipeline_run", ["schedule_id", "id"])
    _partial(
        "uq_pipeline_run_fire_key",
        "pipeline_run",
        ["project_id", "schedule_id", "fire_key"],
        "fire_key IS NOT NULL",
        unique=True,
    )
    _partial(
        "uq_pipeline_run_idempotency_key",
        "pipeline_run",
        ["project_id", "idempotency_key"],
        "idempotency_key IS NOT NULL",
        unique=True,
    )
    # Runs without a date come last; SQLite puts them there by itself.
    last = "" if op.get_bind().dialect.name == "sqlite" else " NULLS LAST"
    by_date = [sa.text(f"execution_date DESC{last}"), sa.text("id DESC")]
    op.create_index("ix_pipeline_run_list", "pipeline_run", ["project_id", "hidden", *by_date])
    op.create_index(
        "ix_pipeline_run_pipeline",
        "pipeline_run",
        ["project_id", "pipeline_uuid", "hidden", *by_date],
    )
    op.create_index(
        "ix_pipeline_run_status", "pipeline_run", ["project_id", "status", "hidden", *by_date]
    )


def _block_run() -> None:
    op.create_table(
        "block_run",
        sa.Column("id", Id, nullable=False),
        sa.Column("project_id", Id, nullable=False),
        sa.Column("run_id", Id, nullable=False),
        sa.Column("block_uuid", Words(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("started_at", UtcTime()),
        sa.Column("completed_at", UtcTime()),
        sa.Column("ended_at", UtcTime()),
        sa.Column("metrics", JsonText()),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("losses", sa.Integer(), nullable=False),
        sa.Column("ready_at", UtcTime()),
        sa.Column("not_before", UtcTime()),
        sa.Column("accepted", sa.Integer()),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("updated_at", UtcTime(), nullable=False),
        _of_project("block_run"),
        sa.ForeignKeyConstraint(
            ["run_id"], ["pipeline_run.id"], name="fk_block_run_run_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_block_run"),
        sa.UniqueConstraint("run_id", "block_uuid", name="uq_block_run_run_id_block_uuid"),
        sqlite_autoincrement=True,
    )
    _partial("ix_block_run_live", "block_run", ["project_id"], "status IN ('queued', 'running')")


def _inbox() -> None:
    op.create_table(
        "inbox",
        sa.Column("id", Id, nullable=False),
        sa.Column("project_id", Id, nullable=False),
        sa.Column("run_id", Id, nullable=False),
        sa.Column("asked_by", Words(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("taken", sa.BigInteger()),
        _of_project("inbox"),
        sa.ForeignKeyConstraint(
            ["run_id"], ["pipeline_run.id"], name="fk_inbox_run_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_inbox"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_inbox_run", "inbox", ["run_id"])


def _artifact() -> None:
    op.create_table(
        "artifact",
        sa.Column("id", Id, nullable=False),
        sa.Column("project_id", Id, nullable=False),
        sa.Column("pipeline_uuid", sa.Text(), nullable=False),
        sa.Column("partition", Words(), nullable=False),
        sa.Column("block_uuid", Words(), nullable=False),
        sa.Column("run_id", Id, nullable=False),
        sa.Column("block_run_id", Id, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("name", Words(), nullable=False),
        sa.Column("uri", Words(), nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column("rows", sa.BigInteger()),
        sa.Column("schema", JsonText()),
        sa.Column("sample", JsonText()),
        sa.Column("created_at", UtcTime(), nullable=False),
        _of_block_run("artifact"),
        _of_project("artifact"),
        sa.PrimaryKeyConstraint("id", name="pk_artifact"),
        sa.UniqueConstraint(
            "block_run_id", "attempt", "name", name="uq_artifact_block_run_id_attempt_name"
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_artifact_newest", "artifact", ["project_id", "pipeline_uuid", "block_uuid", "id"]
    )
    op.create_index(
        "ix_artifact_partition",
        "artifact",
        ["project_id", "pipeline_uuid", "block_uuid", "partition", "id"],
    )


def _artifact_use() -> None:
    op.create_table(
        "artifact_use",
        sa.Column("block_run_id", Id, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("source_run_id", Id, nullable=False),
        sa.Column("source_block_uuid", Words(), nullable=False),
        sa.Column("source_attempt", sa.Integer(), nullable=False),
        sa.Column("project_id", Id, nullable=False),
        _of_block_run("artifact_use"),
        _of_project("artifact_use"),
        sa.PrimaryKeyConstraint(
            "block_run_id",
            "attempt",
            "source_run_id",
            "source_block_uuid",
            "source_attempt",
            name="pk_artifact_use",
        ),
        sqlite_with_rowid=False,
    )


def _attempt() -> None:
    op.create_table(
        "attempt",
        sa.Column("block_run_id", Id, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("project_id", Id, nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("try_number", sa.Integer(), nullable=False),
        sa.Column("executor", sa.Text(), nullable=False),
        sa.Column("job_id", Words(), nullable=False),
        sa.Column("code_hash", sa.Text(), nullable=False),
        sa.Column("parameters_hash", sa.Text(), nullable=False),
        sa.Column("environment", Words(), nullable=False),
        sa.Column("log_path", Words(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("started_at", UtcTime()),
        sa.Column("ended_at", UtcTime()),
        sa.Column("cause", sa.Text()),
        sa.Column("metrics", JsonText()),
        _of_block_run("attempt"),
        _of_project("attempt"),
        sa.PrimaryKeyConstraint("block_run_id", "number", name="pk_attempt"),
        sqlite_with_rowid=False,
    )
