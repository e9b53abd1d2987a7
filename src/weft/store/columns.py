"""Column types that read and write the same on SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ARRAY, BigInteger, DateTime, Dialect, Integer, Text
from sqlalchemy.types import TypeDecorator, TypeEngine

from weft.core.errors import Invalid
from weft.core.json import Json
from weft.store import codec

Id = BigInteger().with_variant(Integer(), "sqlite")
"""SQLite numbers rows by itself only in a column of exactly this type."""


class UtcTime(TypeDecorator[datetime]):
    """An instant to the microsecond; aware in, aware and in UTC out.

    SQLite keeps it as `YYYY-MM-DD HH:MM:SS.ffffff+00:00`, which sorts as time does.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Keep text where the database has no type for instants."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(Text())
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Write. Raises `Invalid` for a time without a zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise Invalid(f"a time without a zone: {value}", hint="Give it one, such as UTC.")
        at = value.astimezone(UTC)
        return at.isoformat(" ", "microseconds") if dialect.name == "sqlite" else at

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Read."""
        if value is None:
            return None
        if dialect.name == "sqlite":
            return datetime.fromisoformat(value)
        at: datetime = value
        return at.astimezone(UTC)


class JsonText(TypeDecorator[Json]):
    """JSON as text on both: keys keep their order, and no number changes."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Json, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Write; None is SQL's null."""
        return None if value is None else codec.encode(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Json:  # noqa: ARG002
        """Read."""
        return None if value is None else codec.decode(value)


class Words(TypeDecorator[str]):
    """Text that people or their code wrote, made safe for every database."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Write, without the characters that a database refuses."""
        return None if value is None else codec.clean(value)


class Listed(TypeDecorator[list[Any]]):
    """A list as one parameter: an array, or JSON where there is none."""

    impl = Text
    cache_ok = True

    def __init__(self, of: type[Text | BigInteger]) -> None:
        super().__init__()
        self.of = of

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Use an array where there is one."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(Text())
        return dialect.type_descriptor(ARRAY(self.of()))

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """Write."""
        items = list(value)
        return codec.encode(items) if dialect.name == "sqlite" else items
