"""What a block left behind: one `Output` per value that it returned."""

from __future__ import annotations

from dataclasses import dataclass

from weft.core.json import Json


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table, with the type's name as its library writes it."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Output:
    """A stored value: what it is and where it lies, never the value itself.

    `format` names the plugin that reads it (`arrow`, `json`, `pickle`); `kind` is
    what the reader gives back (`pandas`, `polars`, `arrow`, `series`, `value`, ...).
    `rows`, `bytes` and `schema` are None where they mean nothing. `sample` is a
    few rows as JSON: `{"columns": [...], "rows": [[...], ...]}` for a table, the
    (shortened) value itself otherwise.
    """

    name: str
    uri: str
    format: str
    kind: str
    bytes: int
    content_hash: str
    rows: int | None = None
    schema: tuple[Column, ...] | None = None
    sample: Json = None
