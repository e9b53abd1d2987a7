"""Whatever a block returns comes back as it was, by the safest format that can do it."""

from __future__ import annotations

import datetime as dt
import decimal
import fractions
import functools
import io
import math
import subprocess
import sys
import textwrap
import uuid
import zoneinfo
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from pandas.testing import assert_frame_equal, assert_index_equal, assert_series_equal

from weft.artifacts import files
from weft.artifacts.formats.arrow import ArrowFormat
from weft.artifacts.preview import FileOutputs
from weft.core.artifact import Output
from weft.core.errors import Conflict, MissingExtra, NotFound
from weft.ports.outputs import Format, Preview

UTC = dt.UTC
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")


def stored(value: object, directory: Path) -> Output:
    [output] = files.store([value], directory, fsync=False)
    return output


def returned(value: object, directory: Path) -> object:
    return files.load(stored(value, directory))


@pytest.mark.parametrize("form", files.formats(), ids=lambda form: form.name)
class TestEveryFormat:
    VALUES: dict[str, Any] = {  # noqa: RUF012  read only
        "arrow": pa.table({"a": [1, 2, 3]}),
        "json": {"a": [1, 2, 3]},
        "pickle": {1, 2, 3},
    }

    def test_gives_back_what_it_accepts(self, form: Format, tmp_path: Path) -> None:
        value = self.VALUES[form.name]
        assert form.accepts(value)
        told = form.dump(value, tmp_path / "file")
        assert form.load(tmp_path / "file", told["kind"]) == value

    def test_previews_what_it_wrote(self, form: Format, tmp_path: Path) -> None:
        form.dump(self.VALUES[form.name], tmp_path / "file")
        assert isinstance(form.preview(tmp_path / "file", 2), Preview)

    def test_has_a_rank_and_a_name_of_its_own(self, form: Format, tmp_path: Path) -> None:
        others = [other for other in files.formats() if other is not form]
        assert form.rank not in [other.rank for other in others]
        assert form.extension not in [other.extension for other in others]


LARGE = "x" * 5000
"""A plain value that is kept in a file."""


class TestPlainValues:
    @pytest.mark.parametrize(
        "value",
        [
            None,
            True,
            0,
            -1.5,
            2**80,
            "",
            "Grüße \x00 \ud800 \U0001f600",
            math.inf,
            -math.inf,
            [],
            {},
            [[]],
            {"": {"a": [1, None, {"b": "c"}]}},
            {"deep": functools.reduce(lambda inner, _: [inner], range(200), [])},
        ],
        ids=lambda value: repr(value)[:30],
    )
    def test_come_back(self, value: object, tmp_path: Path) -> None:
        assert returned(value, tmp_path) == value
        assert type(returned(value, tmp_path)) is type(value)

    def test_nan_comes_back_and_is_null_in_the_preview(self, tmp_path: Path) -> None:
        output = stored({"a": math.nan, "b": [1.5]}, tmp_path)
        assert output.format == "json"
        back: Any = files.load(output)
        assert math.isnan(back["a"])
        assert FileOutputs().preview(output, 10).value == {"a": None, "b": [1.5]}
        assert output.sample == {"a": None, "b": [1.5]}

    @pytest.mark.parametrize(
        "value",
        [
            (1, 2),
            {"t": (1,)},
            {1: "a"},
            {1, 2},
            b"bytes",
            dt.datetime(2024, 3, 31, 2, 30, tzinfo=BERLIN, fold=1),
            dt.date(2024, 2, 29),
            {"at": dt.datetime(2024, 1, 1, tzinfo=UTC)},
            decimal.Decimal("1.10"),
            uuid.UUID(int=5),
            fractions.Fraction(1, 3),
            Path("a/b"),
            np.float64(1.5),
            {"mean": np.float64(1.5)},
            np.int64(3),
        ],
        ids=repr,
    )
    def test_what_json_lacks_comes_back_of_its_own_type(
        self, value: object, tmp_path: Path
    ) -> None:
        output = stored(value, tmp_path)
        assert output.format == "pickle"
        back = files.load(output)
        assert back == value
        assert repr(back) == repr(value)

    def test_an_integer_beyond_pythons_own_limit_for_text_comes_back(self, tmp_path: Path) -> None:
        value = 10**5000
        assert (returned(value, tmp_path) == value) is True

    def test_numpy_arrays_come_back(self, tmp_path: Path) -> None:
        array = np.arange(6, dtype="float32").reshape(2, 3)
        back: Any = returned(array, tmp_path)
        assert back.dtype == array.dtype
        assert (back == array).all()

    def test_a_value_used_twice_is_not_a_circle(self, tmp_path: Path) -> None:
        shared = [{"a": [1]}]
        assert returned({"x": shared, "y": shared}, tmp_path) == {"x": shared, "y": shared}

    def test_thirty_three_plain_values_are_one_file(self, tmp_path: Path) -> None:
        assert len(files.store(list(range(32)), tmp_path / "a", fsync=True)) == 32
        [together] = files.store(list(range(33)), tmp_path / "b", fsync=True)
        assert together.kind == "values"
        assert files.load(together) == list(range(33))
        assert len(files.store([{1}, *range(33)], tmp_path / "c", fsync=False)) == 34


def mixed(values: list[object]) -> pd.DataFrame:
    return pd.DataFrame({"x": pd.Series(values, dtype=object)})


PANDAS: dict[str, pd.DataFrame] = {
    "plain": pd.DataFrame({"a": [1, 2], "b": [1.5, None], "c": ["x", None], "d": [True, False]}),
    "no rows": pd.DataFrame({"a": pd.Series([], dtype="int32"), "b": pd.Series([], dtype=object)}),
    "no columns": pd.DataFrame(index=pd.RangeIndex(3)),
    "no columns, labelled rows": pd.DataFrame(index=pd.Index(["a", "b"])),
    "nothing": pd.DataFrame(),
    "nullable": pd.DataFrame(
        {
            "i": pd.array([1, None], dtype="Int64"),
            "f": pd.array([1.5, None], dtype="Float32"),
            "b": pd.array([True, None], dtype="boolean"),
            "s": pd.array(["x", None], dtype="string"),
            "a": pd.array([1, None], dtype=pd.ArrowDtype(pa.int16())),
        }
    ),
    "small numbers": pd.DataFrame({"a": np.array([1, 2], "int8"), "b": np.array([1, 2], "uint64")}),
    "times": pd.DataFrame(
        {
            "ns": pd.Series(["2024-01-01", None], dtype="datetime64[ns]"),
            "zone": pd.date_range("2024-03-31", periods=2, freq="h", tz="Europe/Berlin"),
            "delta": pd.to_timedelta(["1s", None]),
        }
    ),
    "categories": pd.DataFrame(
        {
            "a": pd.Categorical(["u", "v"], categories=["v", "u", "w"], ordered=True),
            "n": pd.Categorical([3, None]),
            "o": pd.Categorical(pd.Series(["u", "v"], dtype=object)),
        }
    ),
    "bins": pd.DataFrame({"b": pd.cut(pd.Series([1, 2, 3]), 2)}),
    "periods": pd.DataFrame({"p": pd.period_range("2024", periods=2, freq="M")}),
    "sparse": pd.DataFrame({"s": pd.array([0, 1, 0], dtype="Sparse[int]")}),
    "complex": pd.DataFrame({"c": [1 + 2j]}),
    "dicts and lists": mixed([{"a": 1}, {"b": [1, {"c": None}]}, [1, 2], [], None]),
    "mixed": mixed([1, "a", 2.5, None, math.nan, True]),
    "texts as objects": mixed(["a", None, "b"]),
    "texts and nan": mixed(["a", math.nan]),
    "texts and both nulls": mixed(["a", math.nan, None]),
    "instants of two zones": mixed(
        [dt.datetime(2024, 1, 1, tzinfo=UTC), dt.datetime(2024, 1, 1, tzinfo=BERLIN)]
    ),
    "nanoseconds as objects": mixed([pd.Timestamp(2024, 1, 1, nanosecond=1), None]),
    "fixed offset": pd.DataFrame(
        {"t": pd.to_datetime(["2024-01-01T00:00+02:00"]), "s": pd.array(["a"], "string[python]")}
    ),
    "texts and NA": mixed(["a", pd.NA]),
    "all null": mixed([None, None]),
    "decimals": mixed([decimal.Decimal("1.10"), decimal.Decimal("2.5"), None]),
    "dates": mixed([dt.date(2024, 2, 29), None]),
    "bytes": mixed([b"a", b"\xff", None]),
    "tuples": mixed([(1, 2), None]),
    "sets": mixed([{1}, {2}]),
    "big ints": mixed([2**70, 1]),
    "arrays": mixed([np.array([1, 2]).tolist(), "x"]),
    "surrogates": mixed(["\ud800", "a"]),
    "duplicate labels": pd.DataFrame([[1, "a", 2.5]], columns=["x", "x", "y"]),
    "number labels": pd.DataFrame([[1, 2]]),
    "mixed labels": pd.DataFrame([[1, 2, 3]], columns=[None, "a", 1.5]),
    "tuple labels": pd.DataFrame([[1, 2]], columns=pd.Index([("a", 1), "b"], tupleize_cols=False)),
    "levels of labels": pd.DataFrame(
        [[1, 2]], columns=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["p", None])
    ),
    "time labels": pd.DataFrame([[1, 2]], columns=pd.date_range("2024", periods=2, freq="D")),
    "bool labels": pd.DataFrame([[1, 2]], columns=[True, False]),
    "named labels": pd.DataFrame({"a": [1]}).rename_axis(columns="what"),
    "object labels": pd.DataFrame([[1, 2]], columns=pd.Index(["a", "b"], dtype=object)),
    "labels like ours": pd.DataFrame({"__index_level_0__": [1], "c0": [2]}, index=["z"]),
    "text index": pd.DataFrame({"a": [1, 2]}, index=pd.Index(["u", None], name="key")),
    "object index": pd.DataFrame({"a": [1, 2]}, index=pd.Index(["u", None], dtype=object)),
    "index named as a column": pd.DataFrame({"a": [1, 2]}, index=pd.Index([5, 6], name="a")),
    "index named by a number": pd.DataFrame({"a": [1, 2]}, index=pd.Index([5, 6], name=3)),
    "index named by a tuple": pd.DataFrame({"a": [1]}, index=pd.Index([5], name=("t", 1))),
    "levels of index": pd.DataFrame({"g": ["a", "a", "b"], "h": [1, 2, 1], "v": [1.0, 2.0, 3.0]})
    .groupby(["g", "h"])
    .sum(),
    "time index": pd.DataFrame({"a": [1, 2]}, index=pd.date_range("2024", periods=2, freq="D")),
    "range index": pd.DataFrame({"a": [1, 2]}, index=pd.RangeIndex(5, 9, 2, name="r")),
    "duplicate index": pd.DataFrame({"a": [1, 2]}, index=[1, 1]),
    "wide": pd.DataFrame(np.arange(3000).reshape(1, 3000)).add_prefix("column_"),
}


class TestPandas:
    @pytest.mark.parametrize("name", PANDAS)
    def test_frames_come_back(self, name: str, tmp_path: Path) -> None:
        frame = PANDAS[name]
        back: Any = returned(frame, tmp_path)
        assert type(back) is pd.DataFrame
        assert_frame_equal(back, frame, check_freq=True, check_column_type=True)
        assert_index_equal(back.columns, frame.columns, exact="equiv")
        for column in range(frame.shape[1]):
            for before, after in zip(frame.iloc[:, column], back.iloc[:, column], strict=True):
                assert type(before) is type(after)
                if isinstance(before, dt.datetime) and before is not pd.NaT:
                    assert before.utcoffset() == after.utcoffset()

    @pytest.mark.parametrize(
        "name",
        ["plain", "dicts and lists", "mixed", "duplicate labels", "levels of index", "nullable"],
    )
    def test_frames_that_arrow_can_hold_have_a_preview(self, name: str, tmp_path: Path) -> None:
        output = stored(PANDAS[name], tmp_path)
        assert output.format == "arrow"
        preview = FileOutputs().preview(output, 2)
        assert preview.rows is not None
        assert len(preview.rows) == min(2, len(PANDAS[name]))
        assert preview.total_rows == len(PANDAS[name])
        assert preview.columns is not None
        assert [column.name for column in preview.columns] == [
            str(label) for label in PANDAS[name].columns
        ]

    def test_nested_cells_are_shown_as_json(self, tmp_path: Path) -> None:
        output = stored(PANDAS["dicts and lists"], tmp_path)
        assert FileOutputs().preview(output, 2).rows == (({"a": 1},), ({"b": [1, {"c": None}]},))

    def test_a_frame_that_arrow_cannot_hold_is_pickled_with_a_warning(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert stored(PANDAS["sets"], tmp_path).format == "pickle"
        assert "without a preview" in caplog.text

    @pytest.mark.parametrize(
        "series",
        [
            pd.Series([1, 2], name="n"),
            pd.Series([1.5, None], index=["a", "b"]),
            pd.Series(["x"], name=("a", 1)),
            pd.Series([], dtype="datetime64[ns, UTC]", name=0),
            pd.Series([{"a": 1}, None], dtype=object, name="value"),
        ],
        ids=repr,
    )
    def test_series_come_back(self, series: pd.Series[Any], tmp_path: Path) -> None:
        output = stored(series, tmp_path)
        assert output.format == "arrow"
        back: Any = files.load(output)
        assert_series_equal(back, series)

    def test_a_subclass_keeps_its_class(self, tmp_path: Path) -> None:
        assert ArrowFormat().accepts(pd.DataFrame())
        assert not ArrowFormat().accepts(type("Geo", (pd.DataFrame,), {})())

    def test_attrs_come_back(self, tmp_path: Path) -> None:
        frame = pd.DataFrame({"a": [1]}, index=["i"])
        frame.attrs["source"] = {"url": "x"}
        back: Any = returned(frame, tmp_path)
        assert back.attrs == frame.attrs

    def test_attrs_that_are_no_json_come_back_too(self, tmp_path: Path) -> None:
        frame = pd.DataFrame({"a": [1]})
        frame.attrs["tags"] = {1, 2}
        back: Any = returned(frame, tmp_path)
        assert back.attrs == {"tags": {1, 2}}

    def test_what_comes_back_may_be_changed(self, tmp_path: Path) -> None:
        back: Any = returned(PANDAS["plain"], tmp_path)
        back.loc[0, "a"] = 7
        back["new"] = back["a"] + 1
        again: Any = returned(PANDAS["plain"], tmp_path)
        assert (back["a"][0], again["a"][0]) == (7, 1)


class TestPolars:
    FRAME = pl.DataFrame(
        {
            "i": [1, None],
            "s": ["ü", None],
            "l": [[1, 2], []],
            "d": [{"a": 1}, {"a": None}],
            "t": [dt.datetime(2024, 1, 1, tzinfo=UTC)] * 2,
            "c": pl.Series(["a", "b"], dtype=pl.Categorical),
            "e": pl.Series(["a", "b"], dtype=pl.Enum(["b", "a"])),
            "n": pl.Series([decimal.Decimal("1.10"), None]),
        }
    )

    @pytest.mark.parametrize(
        "frame", [FRAME, FRAME.clear(), pl.DataFrame()], ids=["full", "no rows", "nothing"]
    )
    def test_frames_come_back(self, frame: pl.DataFrame, tmp_path: Path) -> None:
        output = stored(frame, tmp_path)
        assert (output.format, output.kind, output.rows) == ("arrow", "polars", frame.height)
        back: Any = files.load(output)
        assert back.schema == frame.schema
        assert back.equals(frame)

    def test_series_and_lazy_frames_come_back(self, tmp_path: Path) -> None:
        series: Any = returned(pl.Series("s", [1, None]), tmp_path)
        assert series.equals(pl.Series("s", [1, None]), check_names=True)
        lazy: Any = returned(self.FRAME.lazy(), tmp_path)
        assert isinstance(lazy, pl.LazyFrame)
        assert lazy.collect().equals(self.FRAME)

    def test_they_have_a_preview(self, tmp_path: Path) -> None:
        output = stored(self.FRAME, tmp_path)
        preview = FileOutputs().preview(output, 1)
        assert preview.rows is not None
        assert preview.rows[0][:4] == (1, "ü", [1, 2], {"a": 1})
        assert output.sample["rows"][0][:4] == [1, "ü", [1, 2], {"a": 1}]

    def test_python_objects_inside_are_refused_clearly(self, tmp_path: Path) -> None:
        frame = pl.DataFrame({"o": pl.Series([object()], dtype=pl.Object)})
        with pytest.raises(files.Unstorable, match="output_0 is a polars"):
            stored(frame, tmp_path)


class TestArrow:
    def test_tables_come_back_with_duplicate_names_and_metadata(self, tmp_path: Path) -> None:
        table = pa.table([pa.array([1]), pa.array(["a"])], names=["x", "x"])
        table = table.replace_schema_metadata({"who": "me"})
        back: Any = returned(table, tmp_path)
        assert back.equals(table, check_metadata=True)

    @pytest.mark.parametrize("rows", [0, 2])
    def test_record_batches_come_back(self, rows: int, tmp_path: Path) -> None:
        batch = pa.RecordBatch.from_pydict({"a": pa.array([1] * rows, pa.int8())})
        back: Any = returned(batch, tmp_path)
        assert isinstance(back, pa.RecordBatch)
        assert back.equals(batch)

    def test_streams_are_written_as_they_come(self, tmp_path: Path) -> None:
        schema = pa.schema({"a": pa.int64()})
        batches = (pa.RecordBatch.from_pydict({"a": [n]}, schema=schema) for n in range(3))
        output = stored(pa.RecordBatchReader.from_batches(schema, batches), tmp_path)
        assert output.rows == 3
        back: Any = files.load(output)
        assert back["a"].to_pylist() == [0, 1, 2]

    def test_duckdb_relations_come_back(self, tmp_path: Path) -> None:
        relation = duckdb.sql("select range as n, 'x' as s from range(3)")
        output = stored(relation, tmp_path)
        assert (output.kind, output.rows) == ("duckdb", 3)
        back: Any = files.load(output)
        assert back.fetchall() == [(0, "x"), (1, "x"), (2, "x")]

    def test_anything_else_that_streams_arrow_comes_back_as_a_table(self, tmp_path: Path) -> None:
        class Foreign:
            def __arrow_c_stream__(self, requested_schema: object = None) -> object:
                return pa.table({"a": [1]}).__arrow_c_stream__(requested_schema)

        back: Any = returned(Foreign(), tmp_path)
        assert back.equals(pa.table({"a": [1]}))

    def test_thousands_of_tiny_chunks_become_few_batches(self, tmp_path: Path) -> None:
        table = pa.concat_tables([pa.table({"a": [n]}) for n in range(5000)])
        output = stored(table, tmp_path)
        with pa.ipc.open_file(output.uri) as reader:
            assert reader.num_record_batches == 1


class TestPreview:
    def test_a_thousand_rows_are_read_without_the_other_million(self, tmp_path: Path) -> None:
        frame = pd.DataFrame(np.random.default_rng(1).integers(0, 9, (1_000_000, 12)))
        output = stored(frame, tmp_path)
        script = """
            import sys
            from pathlib import Path
            def peak():  # unlike ru_maxrss, this forgets the process that started us
                status = Path('/proc/self/status').read_text()
                return int(status.partition('VmHWM:')[2].split()[0])
            from weft.artifacts.preview import FileOutputs
            from weft.core.artifact import Column, Output
            import pyarrow.ipc
            before = peak()
            output = Output('output_0', sys.argv[1], 'arrow', 'pandas', int(sys.argv[2]), '',
                            1_000_000, tuple(Column(str(n), 'int64') for n in range(12)))
            preview = FileOutputs().preview(output, 1000)
            assert len(preview.rows) == 1000 and len(preview.columns) == 12
            assert preview.total_rows == 1_000_000
            assert 'pandas' not in sys.modules
            print(peak() - before)
        """
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script), output.uri, str(output.bytes)],
            capture_output=True,
            text=True,
            check=True,
        )
        assert 10_000_000 < output.bytes < 60_000_000, "big, and really compressed"
        assert int(done.stdout) < 40_000

    def test_a_pickle_is_never_opened(self, tmp_path: Path) -> None:
        output = stored({1, 2}, tmp_path)
        Path(output.uri).write_bytes(b"\x80\x05not a pickle at all")
        assert FileOutputs().preview(output, 5).value == [1, 2]

    def test_an_object_is_shown_by_its_type(self, tmp_path: Path) -> None:
        output = stored(io.BytesIO(b"x"), tmp_path)
        assert FileOutputs().preview(output, 5).value == "<_io.BytesIO>"

    def test_a_missing_file_is_not_found(self, tmp_path: Path) -> None:
        output = stored(LARGE, tmp_path)
        Path(output.uri).unlink()
        with pytest.raises(NotFound):
            FileOutputs().preview(output, 5)

    @pytest.mark.parametrize("value", [PANDAS["plain"], {"a": "x" * 5000}], ids=["arrow", "json"])
    def test_a_damaged_file_is_said_to_be_so(self, value: object, tmp_path: Path) -> None:
        output = stored(value, tmp_path)
        Path(output.uri).write_bytes(b"{damaged")
        with pytest.raises(Conflict, match="output_0 cannot be read"):
            FileOutputs().preview(output, 5)

    def test_a_missing_library_is_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        output = stored(PANDAS["plain"], tmp_path)
        monkeypatch.setitem(sys.modules, "pyarrow.ipc", None)
        with pytest.raises(MissingExtra) as caught:
            FileOutputs().preview(output, 5)
        assert caught.value.hint == "pip install 'weft[data]'"

    def test_samples_are_small_and_plain(self, tmp_path: Path) -> None:
        frame = pd.DataFrame({f"c{n}": [math.nan, "x\x00" * 1000] * 50 for n in range(50)})
        sample = stored(frame, tmp_path).sample
        assert (len(sample["columns"]), len(sample["rows"])) == (20, 10)
        assert sample["rows"][0][0] is None
        assert "\x00" not in sample["rows"][1][0]
        assert len(sample["rows"][1][0]) < 4000

    def test_long_values_are_shortened(self, tmp_path: Path) -> None:
        output = stored({"list": list(range(1000)), "text": "x" * 5000}, tmp_path)
        assert len(output.sample["list"]) == 20
        assert len(output.sample["text"]) == 1000


class TestFiles:
    def test_a_stale_draft_is_never_visible(self, tmp_path: Path) -> None:
        (tmp_path / ".output_0.1.tmp").write_text("half")
        output = stored(LARGE, tmp_path)
        assert Path(output.uri).name == "output_0.json"
        assert files.load(output) == LARGE

    def test_a_small_plain_value_needs_no_file(self, tmp_path: Path) -> None:
        output = stored({"a": [1, float("inf")]}, tmp_path / "never made")
        assert output.uri.startswith("data:")
        assert files.load(output) == {"a": [1, float("inf")]}
        assert FileOutputs().preview(output, 5).value == {"a": [1, "inf"]}
        assert not (tmp_path / "never made").exists()

    @pytest.mark.parametrize(("length", "in_file"), [(4094, False), (4095, True)])
    def test_a_value_moves_to_a_file_at_its_limit(
        self, length: int, tmp_path: Path, *, in_file: bool
    ) -> None:
        output = stored("x" * length, tmp_path)
        assert output.bytes == length + 2
        assert files.is_inline(output) != in_file
        assert files.load(output) == "x" * length

    def test_a_second_attempt_at_the_same_place_replaces_the_file(self, tmp_path: Path) -> None:
        stored([1, 2], tmp_path)
        assert returned("new", tmp_path) == "new"

    def test_an_unknown_format_names_itself(self, tmp_path: Path) -> None:
        output = Output("output_0", str(tmp_path), "parquet", "pandas", 0, "")
        with pytest.raises(Exception, match="'parquet'"):
            files.load(output)
