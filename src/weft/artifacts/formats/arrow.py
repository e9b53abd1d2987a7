"""Tables as Arrow IPC files: pandas, polars, pyarrow, duckdb, and whoever streams Arrow.

Compressed with lz4, in batches of 64k rows, so that the first rows can be read without
the rest. pandas and polars each write what brings them back as they were; everything
else is streamed. A library is imported only when its value or its file is at hand.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from weft.artifacts.shown import clean, short, shown
from weft.core.artifact import Column
from weft.core.errors import MissingExtra
from weft.core.json import Json
from weft.ports.outputs import CannotKeep, Preview

BATCH_ROWS = 65_536
"""Rows of one record batch: the least that a preview has to decompress."""
SAMPLE_ROWS, SAMPLE_COLUMNS = 10, 20
"""How much of a table is kept in the database beside its file."""
PREVIEW_COLUMNS = 1000
_SMALL = 2_000_000
"""Cells below which starting threads costs more than it gains."""

_PANDAS = {"pandas": "DataFrame", "pandas.series": "Series"}
_POLARS = {"polars": "DataFrame", "polars.series": "Series", "polars.lazy": "LazyFrame"}


class ArrowFormat:
    """Keeps tables; refuses the ones that Arrow would not give back as they were."""

    name = "arrow"
    extension = "arrow"
    rank = 10
    safe = True

    def accepts(self, value: object) -> bool:
        return _kind(value) is not None

    def dump(self, value: object, path: Path) -> dict[str, Any]:
        kind = _kind(value)
        if kind in _PANDAS:
            return _dump_pandas(value, path, kind)
        if kind in _POLARS:
            return _dump_polars(value, path, kind)
        return _dump_stream(value, path, kind or "arrow")

    def load(self, path: Path, kind: str) -> object:
        if kind in _POLARS:
            return _load_polars(path, kind)
        table = _read(path)
        if kind in _PANDAS:
            pandas_table = importlib.import_module("weft.artifacts.pandas_table")
            return pandas_table.unpack(table, series=kind == "pandas.series")
        if kind == "arrow.batch":
            batches = table.combine_chunks().to_batches()
            pa = _pyarrow()
            return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)
        if kind == "duckdb":
            return _library("duckdb").from_arrow(table)
        return table

    def preview(self, path: Path, rows: int) -> Preview:
        pa = _pyarrow()
        with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as reader:
            head = _head(pa, reader, rows)
            told = _told(reader.schema)
        columns = _columns(head.schema, told)
        cells = _cells(head, told, columns=PREVIEW_COLUMNS)
        return Preview(
            columns=columns[:PREVIEW_COLUMNS],
            rows=tuple(cells),
            total_rows=told.get("rows"),
            total_columns=len(columns),
        )


def _kind(value: object) -> str | None:
    """Say what a value is read back as; None when it is no table.

    A library that was never imported cannot have made the value. Subclasses
    (GeoDataFrame, say) carry more than their table, and are left to pickle.
    """
    cls = type(value)
    for kinds, library in ((_PANDAS, "pandas"), (_POLARS, "polars")):
        module = sys.modules.get(library)
        if module is None:
            continue
        for kind, name in kinds.items():
            parent = getattr(module, name, None)
            if cls is parent:
                return kind
            if parent is not None and isinstance(value, parent):
                return None
    root = cls.__module__.partition(".")[0]
    if root == "pyarrow":
        kinds = {"Table": "arrow", "RecordBatch": "arrow.batch", "RecordBatchReader": "arrow"}
        return kinds.get(cls.__name__)
    if root in ("pandas", "polars") or not hasattr(cls, "__arrow_c_stream__"):
        return None
    return "duckdb" if root in ("duckdb", "_duckdb") else "arrow"


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise MissingExtra(
            f"{name} is needed for this table and is not installed",
            hint="pip install polars" if name == "polars" else "pip install 'weft[data]'",
        ) from None


def _pyarrow() -> Any:
    _library("pyarrow.ipc")
    return _library("pyarrow")


def _dump_pandas(value: Any, path: Path, kind: str) -> dict[str, Any]:
    _pyarrow()
    pandas_table = importlib.import_module("weft.artifacts.pandas_table")
    table, told = pandas_table.pack(value, series=kind == "pandas.series")
    table = table.replace_schema_metadata(
        {**(table.schema.metadata or {}), b"weft": json.dumps(told).encode()}
    )
    _write(table, path)
    return _describe(kind, table, told, types=told.pop("types"))


def _dump_polars(value: Any, path: Path, kind: str) -> dict[str, Any]:
    frame = value
    if kind == "polars.series":
        frame = value.to_frame()
    elif kind == "polars.lazy":
        frame = value.collect()
    try:
        frame.write_ipc(path, compression="lz4", record_batch_size=BATCH_ROWS)
    except (TypeError, ValueError, _library("polars").exceptions.PolarsError) as error:
        raise CannotKeep(f"polars cannot write it as Arrow: {error}") from None
    sample = {
        "columns": [clean(name) for name in frame.columns[:SAMPLE_COLUMNS]],
        "rows": [
            [shown(cell) for cell in row[:SAMPLE_COLUMNS]]
            for row in frame.head(SAMPLE_ROWS).iter_rows()
        ],
    }
    schema = tuple(Column(clean(name), str(dtype)) for name, dtype in frame.schema.items())
    return {"kind": kind, "rows": frame.height, "schema": schema, "sample": sample}


def _load_polars(path: Path, kind: str) -> object:
    frame = _library("polars").read_ipc(path)
    if kind == "polars.series":
        return frame.to_series()
    return frame.lazy() if kind == "polars.lazy" else frame


def _dump_stream(value: Any, path: Path, kind: str) -> dict[str, Any]:
    pa = _pyarrow()
    if isinstance(value, pa.RecordBatch):
        value = pa.Table.from_batches([value])
    if isinstance(value, pa.Table):
        _write(value, path)
        return _describe(kind, value, {})
    reader = pa.RecordBatchReader.from_stream(value)
    rows, head = 0, None
    with _writer(pa, path, reader.schema) as writer:
        for batch in reader:
            if head is None and batch.num_rows:
                head = pa.Table.from_batches([batch.slice(0, SAMPLE_ROWS)])
            rows += batch.num_rows
            writer.write_table(pa.Table.from_batches([batch]), max_chunksize=BATCH_ROWS)
    described = _describe(kind, head if head is not None else reader.schema.empty_table(), {})
    return {**described, "rows": rows}


def _describe(
    kind: str, table: Any, told: Mapping[str, Any], types: list[str] | None = None
) -> dict[str, Any]:
    names = [column.name for column in _columns(table.schema, told)]
    if types is None:
        types = [str(field.type) for field in table.schema]
    schema = tuple(Column(name, type_) for name, type_ in zip(names, types, strict=True))
    head = table.slice(0, SAMPLE_ROWS)
    sample = {
        "columns": names[:SAMPLE_COLUMNS],
        "rows": _cells(head, told, columns=SAMPLE_COLUMNS),
    }
    rows = told.get("rows", table.num_rows)
    return {"kind": kind, "rows": rows, "schema": schema, "sample": sample}


def _writer(pa: Any, path: Path, schema: Any) -> Any:
    options = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
    return pa.ipc.new_file(str(path), schema, options=options)


def _write(table: Any, path: Path) -> None:
    pa = _pyarrow()
    if table.num_columns and table.column(0).num_chunks > 1 + table.num_rows // 4096:
        # Thousands of tiny batches would each cost a header and a decompression.
        table = table.combine_chunks()
    with _writer(pa, path, table.schema) as writer:
        writer.write_table(table, max_chunksize=BATCH_ROWS)


def _read(path: Path) -> Any:
    """Read a whole file through a memory map: nobody ever changes a finished output."""
    pa = _pyarrow()
    with pa.memory_map(str(path)) as source:
        threads = source.size() > _SMALL
        options = pa.ipc.IpcReadOptions(use_threads=threads)
        return pa.ipc.open_file(source, options=options).read_all()


def _head(pa: Any, reader: Any, rows: int) -> Any:
    """Return the first rows, reading no more batches than they need."""
    batches: list[Any] = []
    missing = rows
    for number in range(reader.num_record_batches):
        if missing <= 0:
            break
        batch = reader.get_batch(number).slice(0, missing)
        missing -= batch.num_rows
        batches.append(batch)
    return pa.Table.from_batches(batches, schema=reader.schema)


def _told(schema: Any) -> dict[str, Any]:
    """Return what `dump` noted about the table beside its columns."""
    text = (schema.metadata or {}).get(b"weft")
    return json.loads(text) if text else {}


def _columns(schema: Any, told: Mapping[str, Any]) -> tuple[Column, ...]:
    labels: list[str] = told.get("labels", schema.names)
    hidden = told.get("hidden", 0)
    fields = list(schema)[: len(schema) - hidden] if hidden else list(schema)
    return tuple(
        Column(short(label), str(field.type)) for label, field in zip(labels, fields, strict=False)
    )


def _cells(head: Any, told: Mapping[str, Any], *, columns: int) -> list[tuple[Json, ...]]:
    """Return rows of cells as JSON, of the first columns only."""
    texts: Mapping[str, Any] = told.get("objects", {})
    width = min(columns, head.num_columns - told.get("hidden", 0))
    read: Callable[[str], Json] = json.loads
    lists: list[Iterator[Json]] = []
    for number in range(width):
        cells = head.column(number).to_pylist()
        if texts.get(str(number), {}).get("as") == "json":
            cells = [None if cell is None else read(cell) for cell in cells]
        lists.append(map(shown, cells))
    return list(zip(*lists, strict=True))
