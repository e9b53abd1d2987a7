"""Statements compiled once, then spoken straight to the driver.

SQLAlchemy writes the SQL and knows the types; on the hot path its execution
machinery is left out, which costs more than SQLite itself takes to answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from sqlalchemy import BigInteger, Boolean, Dialect, Text
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ColumnElement, Executable, bindparam
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.operators import OperatorType

from weft.store.columns import Listed

Params: TypeAlias = Mapping[str, Any]
Row: TypeAlias = dict[str, Any]
Processor: TypeAlias = Callable[[Any], Any]


class Among(ColumnElement[bool]):
    """`column` is in the list passed as parameter `name`, however long that is."""

    inherit_cache = False

    def __init__(
        self, column: ColumnElement[Any], name: str, *, of: type[Text | BigInteger] = BigInteger
    ) -> None:
        self.type = Boolean()
        self.column = column
        self.values = bindparam(name, type_=Listed(of))

    def self_group(self, against: OperatorType | None = None) -> Among:  # noqa: ARG002
        """Stand as it is: SQLAlchemy would write `= 1` behind it, and hide it from indexes."""
        return self


@compiles(Among, "sqlite")
def _among_sqlite(element: Among, compiler: SQLCompiler, **kw: Any) -> str:
    column = compiler.process(element.column, **kw)
    values = compiler.process(element.values, **kw)
    return f"{column} IN (SELECT value FROM json_each({values}))"  # noqa: S608 - both are SQL


@compiles(Among, "postgresql")
def _among_postgres(element: Among, compiler: SQLCompiler, **kw: Any) -> str:
    column = compiler.process(element.column, **kw)
    return f"{column} = ANY({compiler.process(element.values, **kw)})"


class Compiled:
    """A statement for one dialect and schema: its text, and how values travel."""

    def __init__(self, statement: Executable, dialect: Dialect, schema: str | None) -> None:
        compiled = statement.compile(  # type: ignore[attr-defined]
            dialect=dialect,
            schema_translate_map={None: schema},
            render_schema_translate=True,
        )
        self.text = str(compiled)
        self._fixed = {k: v for k, v in compiled.params.items() if v is not None}
        self._in = {
            name: processor
            for name, bind in compiled.binds.items()
            if (processor := bind.type.dialect_impl(dialect).bind_processor(dialect))
        }
        columns = list(getattr(statement, "exported_columns", ()))
        self.keys = tuple(column.key for column in columns)
        self._out = tuple(
            (column.key, processor)
            for column in columns
            if (processor := column.type.dialect_impl(dialect).result_processor(dialect, None))
        )

    def bound(self, params: Params) -> dict[str, Any]:
        """Return `params` as the driver wants them."""
        values = {**self._fixed, **params}
        for name, processor in self._in.items():
            values[name] = processor(values.get(name))
        return values

    def rows(self, cursor: DBAPICursor) -> list[Row]:
        """Read what a cursor holds."""
        if not self.keys:
            return []
        keys, out = self.keys, self._out
        found = [dict(zip(keys, row, strict=True)) for row in cursor.fetchall()]
        for row in found:
            for key, processor in out:
                row[key] = processor(row[key])
        return found


class Prepared:
    """A statement with named parameters, compiled at its first use in each database."""

    def __init__(self, statement: Executable) -> None:
        self._statement = statement
        self._compiled: dict[tuple[str, str | None], Compiled] = {}

    def on(self, dialect: Dialect, schema: str | None) -> Compiled:
        """Return it for one dialect and schema."""
        key = (dialect.name, schema)
        found = self._compiled.get(key)
        if found is None:
            found = self._compiled[key] = Compiled(self._statement, dialect, schema)
        return found


Question: TypeAlias = tuple[Prepared, Params]
Write: TypeAlias = tuple[Prepared, Sequence[Params], bool]
"""A statement, the parameters of each time, and whether each must hit just one row."""
