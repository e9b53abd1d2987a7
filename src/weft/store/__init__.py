"""The database: the truth for runs, on SQLite and on PostgreSQL.

Job: implement the ports of `unit`, `runs`, `engines`, `schedules`, `catalog` and
`journal` with SQLAlchemy Core; the only folder that knows SQL.
Prohibition: no rule of the product is decided here, and no row leaves the folder.
"""

from weft.store.engine import open_store

__all__ = ["open_store"]
