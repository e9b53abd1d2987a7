"""Run the chain over a connection that is already in a transaction of its own."""

from __future__ import annotations

from pathlib import Path

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from weft.store.tables import VERSION_TABLE

_HERE = Path(__file__).parent


def script() -> ScriptDirectory:
    """Return the chain as Alembic sees it."""
    config = Config()
    config.set_main_option("script_location", str(_HERE).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return ScriptDirectory.from_config(config)


def upgrade(connection: Connection, schema: str | None) -> None:
    """Bring the database from whatever version it has to the newest."""
    chain = script()
    environment = EnvironmentContext(
        Config(),
        chain,
        fn=lambda version, _context: chain._upgrade_revs("head", version),  # noqa: SLF001
    )
    with environment:
        environment.configure(
            connection=connection, version_table=VERSION_TABLE, version_table_schema=schema
        )
        environment.run_migrations()
