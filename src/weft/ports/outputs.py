"""Stored values: written whole or not at all, read back, or looked at in part."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from weft.core.artifact import Column, Output
from weft.core.json import Json


@dataclass(frozen=True, slots=True)
class Preview:
    """The first rows of a stored table, or a stored value shortened.

    For a table `columns` and `rows` are set, `total_rows` and `total_columns` count
    all of it; otherwise `value` is the value as JSON, or text about it.
    """

    columns: tuple[Column, ...] | None = None
    rows: tuple[tuple[Json, ...], ...] | None = None
    total_rows: int | None = None
    total_columns: int | None = None
    value: Json = None


class CannotKeep(Exception):
    """A format looked closer and cannot keep the value faithfully; the next one is asked.

    With `final` no format can, and the message says why and what to return instead.
    """

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


class Format(Protocol):
    """A way to keep one kind of value in one file. Plugin group `weft.formats`."""

    name: str
    """As kept in `Output.format`."""
    extension: str
    rank: int
    """Lower is asked first."""
    safe: bool
    """Whether the server may read it; pickle may be read in a child only."""

    def accepts(self, value: object) -> bool:
        """Whether this format can keep `value`, told without importing anything heavy."""
        ...

    def dump(self, value: object, path: Path) -> dict[str, Any]:
        """Write `value` to `path`; return `kind`, and `rows`, `schema`, `sample` where meant.

        Raises `CannotKeep`; whatever it wrote until then is not looked at.
        """
        ...

    def load(self, path: Path, kind: str) -> object:
        """Read back the value as the library that it came from had it."""
        ...

    def preview(self, path: Path, rows: int) -> Preview:
        """Read the first rows without reading the rest."""
        ...


@runtime_checkable
class InlineFormat(Format, Protocol):
    """A format whose small values need no file: they stand in their own address."""

    def to_bytes(self, value: object) -> bytes:
        """Return the value as bytes. Raises `CannotKeep`."""
        ...

    def from_bytes(self, data: bytes, kind: str) -> object:
        """Return the value that `to_bytes` was given."""
        ...

    def describe(self, value: object) -> dict[str, Any]:
        """Return what `dump` returns, without writing."""
        ...

    def preview_bytes(self, data: bytes, rows: int) -> Preview:
        """Show the value, or its first `rows` items."""
        ...


class Outputs(Protocol):
    """Where outputs lie."""

    def preview(self, output: Output, rows: int) -> Preview:
        """Return the first `rows` of a table, or the value shortened.

        Raises `NotFound` when the file is gone, `Conflict` when it is damaged,
        `MissingExtra` when its library is not there.
        """
        ...
