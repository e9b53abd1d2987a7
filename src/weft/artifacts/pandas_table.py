"""A pandas DataFrame or Series as an Arrow table, and back as it was.

pyarrow keeps most of a frame by itself. What it would change is noted here, in
`told`: columns and index levels of dtype object, labels that are no unique texts, the
frequency of a time index. Whatever is still left would come back different, and is
refused, so that the frame is kept as pickle instead.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import datetime, time
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]  # it has no stubs

from weft.artifacts.jsontext import check, decode, encode
from weft.artifacts.object_column import Objects, fits, noted, restored
from weft.artifacts.shown import short, str_of
from weft.core.json import Json
from weft.ports.outputs import CannotKeep

_EXTENSIONS = ("Int", "UInt", "Float", "boolean", "string", "str", "period", "interval")
_SMALL = 200_000
"""Cells below which starting threads costs more than it gains."""


def pack(value: Any, *, series: bool = False) -> tuple[pa.Table, dict[str, Any]]:
    """Return the table, and what to tell `unpack` of it.

    `told["rows"]` counts the rows, `told["types"]` are the dtypes as pandas writes
    them, `told["labels"]` the columns' names where they differ from the table's,
    `told["hidden"]` counts the index columns at the table's end.
    Raises `CannotKeep` when some part would come back different.
    """
    told: dict[str, Any] = {"rows": len(value)}
    frame: Any = value
    if series:
        told["name"] = _name(value.name)
        frame = value.to_frame(name="value" if value.name is None else str_of(value.name))
    check(dict(frame.attrs))
    told["types"] = [str(dtype) for dtype in frame.dtypes]
    width = frame.shape[1]
    frame = _plain_index(_plain_labels(frame, told), told)
    objects = noted(frame)
    for key, note in objects.items():
        if note["as"] == "category":
            note["categories"] = _axis(frame.iloc[:, int(key)].cat.categories)
    doubtful = [dtype for dtype in frame.dtypes if _doubtful(dtype)]
    try:
        table = pa.Table.from_pandas(
            fits(frame, objects), nthreads=1 if frame.size < _SMALL else None
        )
    except MemoryError:
        # Arrow's own kind is an ArrowException too; memory is not a matter of format.
        raise
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise CannotKeep(f"Arrow cannot hold it: {error}") from None
    if objects:
        told["objects"] = objects
        _verify_objects(frame, table, objects)
    if doubtful:
        _verify_types(frame, table, objects)
    told["hidden"] = table.num_columns - width
    return table, told


def unpack(table: pa.Table, *, series: bool = False) -> Any:
    """Return the frame or series of a table made from what `pack` returned.

    `told` is read from the schema's metadata, under `weft`.
    """
    told: dict[str, Any] = json.loads((table.schema.metadata or {}).get(b"weft", b"{}"))
    frame = table.to_pandas(use_threads=table.num_rows * table.num_columns > _SMALL)
    frame = _restored(frame, table, told.get("objects", {}))
    frame = _own_labels(_own_index(frame, told), told)
    if not series:
        return frame
    column = frame.iloc[:, 0]
    column.name = _unname(told["name"])
    return column


def _restored(frame: Any, table: pa.Table, objects: Objects) -> Any:
    frame = restored(frame, table, objects)
    for key, note in objects.items():
        if note["as"] == "category":
            column = frame.iloc[:, int(key)]
            categories = _unaxis(note["categories"])
            frame.isetitem(int(key), column.cat.rename_categories(categories))
    return frame


def _doubtful(dtype: Any) -> bool:
    """Whether only a look at the result tells that the type survives. Raises `CannotKeep`."""
    if isinstance(dtype, np.dtype):
        if dtype.kind not in "biufMmO":
            raise CannotKeep(f"Arrow has no {dtype}")
        return False
    if not isinstance(dtype, pd.CategoricalDtype | pd.DatetimeTZDtype | pd.ArrowDtype) and not str(
        dtype
    ).startswith(_EXTENSIONS):
        raise CannotKeep(f"Arrow does not give {dtype} back")
    return str(dtype) != "str"


def _verify_types(frame: Any, table: pa.Table, objects: Objects) -> None:
    """Raise `CannotKeep` unless every column comes back with its type."""
    nothing = table.slice(0, 0)
    back = _restored(nothing.to_pandas(use_threads=False), nothing, objects)
    for label, before, after in zip(frame.columns, frame.dtypes, back.dtypes, strict=True):
        if before != after or str(before) != str(after):
            raise CannotKeep(f"column {str_of(label)!r} is {before} and would become {after}")


def _verify_objects(frame: Any, table: pa.Table, objects: Objects) -> None:
    """Raise `CannotKeep` unless Arrow's own values equal those of the object columns."""
    for key, how in objects.items():
        if how["as"] != "plain":
            continue
        before = frame.iloc[:, int(key)]
        present = before.notna().to_numpy()
        after = table.column(int(key)).to_pylist()
        pairs = zip(before[present], (cell for cell in after if cell is not None), strict=False)
        if sum(1 for cell in after if cell is not None) != present.sum() or not all(
            a == b and _offset(a) == _offset(b) for a, b in pairs
        ):
            raise CannotKeep(f"column {str_of(frame.columns[int(key)])!r} would come back changed")


def _offset(cell: Any) -> Any:
    """Return how far from UTC a time is: equal instants of two zones are not the same value."""
    return cell.utcoffset() if isinstance(cell, datetime | time) else None


def _plain_labels(frame: Any, told: dict[str, Any]) -> Any:
    """Return the frame under unique texts as labels; note how to get its own back."""
    columns = frame.columns
    texts = columns.nlevels == 1 and set(map(type, columns)) == {str}
    if texts and columns.is_unique and isinstance(columns.name, str | None):
        told["object_labels"] = columns.dtype == object
        return frame
    told["axis"] = _axis(columns)
    told["labels"] = [short(str_of(label)) for label in columns]
    renamed = frame.set_axis(pd.Index([f"c{n}" for n in range(len(columns))]), axis=1)
    renamed.attrs = frame.attrs
    return renamed


def _own_labels(frame: Any, told: Mapping[str, Any]) -> Any:
    if "axis" in told:
        frame.columns = _unaxis(told["axis"])
    elif told.get("object_labels"):
        frame.columns = frame.columns.astype(object)
    return frame


def _plain_index(frame: Any, told: dict[str, Any]) -> Any:
    """Move an index that pyarrow would change into columns at the end."""
    index = frame.index
    names_kept = all(isinstance(name, str | None) for name in index.names)
    if type(index) is pd.RangeIndex and names_kept and frame.shape[1]:
        return frame
    told["index"] = {
        "names": [_name(name) for name in index.names],
        "freq": getattr(index, "freqstr", None),
    }
    if type(index) is pd.RangeIndex:
        told["index"]["range"] = [index.start, index.stop, index.step]
        levels = pd.DataFrame(index=pd.RangeIndex(len(index)))
    else:
        levels = _levels(index, "__index_{}__")
    plain = pd.concat([frame.set_axis(levels.index, axis=0), levels], axis=1)
    plain.columns = pd.Index([*frame.columns, *levels.columns], dtype=object)
    plain.columns.name = frame.columns.name
    plain.attrs = frame.attrs
    return plain


def _own_index(frame: Any, told: Mapping[str, Any]) -> Any:
    if "index" not in told:
        return frame
    note = told["index"]
    names = [_unname(name) for name in note["names"]]
    if "range" in note:
        index: Any = _range(note["range"], names[0])
        body = frame if frame.shape[1] else pd.DataFrame(index=index, columns=frame.columns)
    else:
        levels = frame.iloc[:, -len(names) :]
        body = frame.iloc[:, : -len(names)]
        index = _index_of(levels, names, note["freq"])
    attrs = frame.attrs
    body = body.set_axis(index, axis=0)
    body.attrs = attrs
    return body


def _levels(index: Any, label: str) -> Any:
    """Return the levels of an index as the columns of a frame, labelled by their number."""
    if isinstance(index, pd.MultiIndex):
        names = [label.format(number) for number in range(index.nlevels)]
        return index.to_frame(index=False, name=names)
    return index.to_frame(index=False, name=label.format(0))


def _index_of(levels: Any, names: list[Any], freq: str | None) -> Any:
    if len(names) > 1:
        return pd.MultiIndex.from_frame(levels, names=names)
    index: Any = pd.Index(levels.iloc[:, 0])
    index.name = names[0]
    if freq is not None and isinstance(index, pd.DatetimeIndex | pd.TimedeltaIndex):
        index = type(index)(index, freq=freq)
    return index


def _range(bounds: list[int], name: Any) -> Any:
    start, stop, step = bounds
    return pd.RangeIndex(start, stop, step, name=name)


def _axis(columns: Any) -> dict[str, Json]:
    """Return an index as JSON: a small Arrow table, so that its types survive."""
    note: dict[str, Json] = {
        "names": [_name(name) for name in columns.names],
        "freq": getattr(columns, "freqstr", None),
    }
    if type(columns) is pd.RangeIndex:
        return {**note, "range": [columns.start, columns.stop, columns.step]}
    table, told = pack(_levels(columns, "c{}"))
    sink = pa.BufferOutputStream()
    metadata = {**(table.schema.metadata or {}), b"weft": encode(told).encode()}
    table = table.replace_schema_metadata(metadata)
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return {**note, "table": base64.b64encode(sink.getvalue()).decode()}


def _unaxis(note: Mapping[str, Any]) -> Any:
    names = [_unname(name) for name in note["names"]]
    if "range" in note:
        return _range(note["range"], names[0])
    with pa.ipc.open_stream(base64.b64decode(note["table"])) as reader:
        levels = unpack(reader.read_all())
    return _index_of(levels, names, note["freq"])


def _name(name: object) -> Json:
    """Return a label as JSON, a tuple marked as such. Raises `CannotKeep`."""
    if isinstance(name, tuple):
        return {"tuple": [_name(part) for part in name]}
    return decode(encode(name))


def _unname(name: Json) -> Any:
    return tuple(map(_unname, name["tuple"])) if isinstance(name, dict) else name
