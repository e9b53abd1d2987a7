"""Random values and tables come back as they were."""

from __future__ import annotations

import datetime as dt
import json
import math
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal
from polars.testing.parametric import dataframes

from weft.artifacts import files
from weft.artifacts.jsontext import decode, encode
from weft.artifacts.preview import FileOutputs
from weft.artifacts.shown import shown
from weft.core.artifact import Output

UTC = dt.UTC


def stored(value: object, folder: str) -> Output:
    [output] = files.store([value], Path(folder), fsync=False)
    return output


def same(a: object, b: object) -> bool:
    """Equal, of equal types at every depth, and NaN is NaN."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float) and isinstance(b, float):
        return a == b or (math.isnan(a) and math.isnan(b))
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
texts = st.text(st.characters(codec=None))
plain = st.recursive(
    scalars | texts,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=5),
    max_leaves=30,
)
rich = st.recursive(
    scalars
    | st.binary()
    | st.datetimes(timezones=st.none() | st.just(UTC))
    | st.dates()
    | st.decimals(allow_nan=False)
    | st.uuids(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.integers() | st.text(), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(plain)
def test_plain_values_come_back_from_json(value: object) -> None:
    assert same(decode(encode(value)), value)


@given(rich)
def test_any_value_comes_back_from_whatever_format_took_it(value: object) -> None:
    with tempfile.TemporaryDirectory() as folder:
        output = stored(value, folder)
        assert same(files.load(output), value)


@given(rich)
def test_what_is_shown_is_json_that_a_database_takes(value: object) -> None:
    text = json.dumps(shown(value), ensure_ascii=False, allow_nan=False)
    text.encode("utf-8")
    assert "\\u0000" not in text


cells = {
    "int64": st.integers(-(2**63), 2**63 - 1),
    "Int64": st.none() | st.integers(-(2**63), 2**63 - 1),
    "float64": st.floats(),
    "bool": st.booleans(),
    "str": st.none() | st.text(),
    "datetime64[us, UTC]": st.none()
    | st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2200, 1, 1)).map(  # noqa: DTZ001  hypothesis wants naive bounds
        lambda at: at.replace(tzinfo=UTC)
    ),
    "category": st.none() | st.sampled_from(["a", "b", "ü"]),
    "object": plain,
}


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    rows = draw(st.integers(0, 6))
    dtypes = draw(st.lists(st.sampled_from(sorted(cells)), max_size=5))
    columns = [
        pd.Series(draw(st.lists(cells[dtype], min_size=rows, max_size=rows)), dtype=dtype)
        for dtype in dtypes
    ]
    frame = pd.DataFrame(dict(enumerate(columns)), index=pd.RangeIndex(rows))
    labels = st.text(max_size=3) | st.integers(0, 3)
    frame.columns = pd.Index(
        draw(st.lists(labels, min_size=len(dtypes), max_size=len(dtypes))), dtype=object
    )
    if draw(st.booleans()):
        frame.index = pd.Index(draw(st.lists(st.text(), min_size=rows, max_size=rows)), dtype="str")
    return frame


def objects(frame: Any) -> list[bool]:
    return [str(dtype) == "object" for dtype in frame.dtypes]


def same_cells(a: Any, b: Any) -> bool:
    return all(
        same(list(a.iloc[:, n]), list(b.iloc[:, n])) for n in range(a.shape[1]) if objects(a)[n]
    )


@given(frames())
@settings(deadline=None)
def test_pandas_frames_come_back_and_can_be_looked_at(frame: pd.DataFrame) -> None:
    with tempfile.TemporaryDirectory() as folder:
        output = stored(frame, folder)
        back: Any = files.load(output)
        assert_frame_equal(
            back.drop(columns=back.columns[objects(back)]),
            frame.drop(columns=frame.columns[objects(frame)]),
        )
        assert list(back.dtypes) == list(frame.dtypes)
        assert list(back.columns) == list(frame.columns)
        assert list(back.index) == list(frame.index)
        assert same_cells(back, frame)
        preview = FileOutputs().preview(output, 3)
        if output.format == "arrow":
            assert preview.total_rows == len(frame)
            assert preview.rows is not None
            assert len(preview.rows) == min(3, len(frame) if frame.shape[1] else 0)


@given(dataframes(max_cols=5, max_size=6, excluded_dtypes=[pl.Object]))
@settings(deadline=None)
def test_polars_frames_come_back(frame: pl.DataFrame) -> None:
    with tempfile.TemporaryDirectory() as folder:
        back: Any = files.load(stored(frame, folder))
        assert back.schema == frame.schema
        assert back.equals(frame, null_equal=True)


@given(
    st.lists(
        st.tuples(st.text(max_size=3), st.sampled_from([pa.int8(), pa.string(), pa.float64()])),
        max_size=4,
    ),
    st.integers(0, 5),
)
@settings(deadline=None)
def test_arrow_tables_come_back(fields: list[tuple[str, Any]], rows: int) -> None:
    schema = pa.schema([pa.field(name, kind) for name, kind in fields])
    arrays = [pa.nulls(rows, kind) for _, kind in fields]
    table = pa.Table.from_arrays(arrays, schema=schema)
    with tempfile.TemporaryDirectory() as folder:
        back: Any = files.load(stored(table, folder))
        assert back.equals(table, check_metadata=True)
