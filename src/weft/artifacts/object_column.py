"""Columns of dtype object: what Arrow keeps, what becomes JSON text, what neither can.

A note per column, by its number: `as` is `text` (Arrow strings), `plain` (another Arrow
type whose Python values come back equal), `json` (one text per cell) or `category`
(categories that Arrow would change: stored as texts, and beside the table as they
are); `null` is what its missing cells were.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]  # it has no stubs

from weft.artifacts.jsontext import check, decode, encode
from weft.artifacts.shown import str_of
from weft.ports.outputs import CannotKeep

Note = dict[str, Any]
Objects = Mapping[str, Note]

_NULLS: dict[str, Any] = {"none": None, "nan": np.nan, "na": pd.NA, "nat": pd.NaT}
_UNIFORM = frozenset(
    {"boolean", "bytes", "date", "datetime", "decimal", "floating", "integer", "time", "timedelta"}
)


def noted(frame: Any) -> dict[str, Note]:
    """Return a note for each column of objects. Raises `CannotKeep`."""
    notes: dict[str, Note] = {}
    for number, dtype in enumerate(frame.dtypes):
        if dtype.kind == "O" and isinstance(dtype, np.dtype):
            notes[str(number)] = _note(frame.iloc[:, number])
        elif isinstance(dtype, pd.CategoricalDtype) and not _simple(dtype.categories.dtype):
            notes[str(number)] = {"as": "category"}
    return notes


def fits(frame: Any, notes: Objects) -> Any:
    """Return the frame with texts in place of cells and categories that Arrow lacks."""
    told = {int(key): note["as"] for key, note in notes.items()}
    if not {"json", "category"} & set(told.values()):
        return frame
    frame = frame.copy(deep=False)
    for number, kind in told.items():
        column = frame.iloc[:, number]
        if kind == "json":
            cells = [encode(cell) for cell in column]
            frame.isetitem(number, pd.Series(cells, index=frame.index, dtype="str"))
        elif kind == "category":
            texts = [str_of(each) for each in column.cat.categories]
            if len(set(texts)) < len(texts):
                texts = [f"{text} #{number}" for number, text in enumerate(texts)]
            frame.isetitem(number, column.cat.rename_categories(pd.Index(texts, dtype="str")))
    return frame


def restored(frame: Any, table: pa.Table, notes: Objects) -> Any:
    """Return `frame`, read from `table`, with its columns of objects as they were."""
    for key, note in notes.items():
        number = int(key)
        if note["as"] == "category":
            continue
        cells = table.column(number).to_pylist()
        null = _NULLS[note["null"]]
        values = np.empty(len(cells), dtype=object)
        for row, cell in enumerate(cells):
            values[row] = decode(cell) if note["as"] == "json" else null if cell is None else cell
        frame.isetitem(number, pd.Series(values, index=frame.index, dtype=object))
    return frame


def _simple(dtype: Any) -> bool:
    """Whether Arrow keeps categories of this type by itself."""
    return str(dtype) == "str" or (isinstance(dtype, np.dtype) and dtype.kind in "biuf")


def _note(column: Any) -> Note:
    kind = pd.api.types.infer_dtype(column, skipna=True)
    nulls = {_null(cell) for cell in column[column.isna()]}
    if len(nulls) <= 1 and (kind == "string" or kind in _UNIFORM):
        return {
            "as": "text" if kind == "string" else "plain",
            "null": next(iter(nulls), "none"),
        }
    check(list(column))
    return {"as": "json", "null": "none"}


def _null(cell: object) -> str:
    if cell is None:
        return "none"
    if isinstance(cell, float):
        return "nan"
    if cell is pd.NA or cell is pd.NaT:
        return "na" if cell is pd.NA else "nat"
    raise CannotKeep(f"Arrow has no {cell!r}")
