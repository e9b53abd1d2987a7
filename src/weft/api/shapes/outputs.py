"""What a block left behind, as rows to look at."""

from __future__ import annotations

import json

from weft.core.artifact import Output
from weft.core.json import Json
from weft.ports.outputs import Preview

COLUMNS_SHOWN = 100


def from_preview(output: Output, preview: Preview | None, gone: str | None) -> dict[str, Json]:
    """Return an output with all six keys, in their order."""
    if preview is None:
        return _item(output, text=gone or "The stored value is gone.", kind="text")
    if preview.columns is None or preview.rows is None:
        return _item(output, text=_text(preview.value), kind="text")
    columns = [column.name for column in preview.columns][:COLUMNS_SHOWN]
    table = {
        "columns": columns,
        "rows": [list(row[:COLUMNS_SHOWN]) for row in preview.rows],
    }
    width = len(preview.columns) if preview.total_columns is None else preview.total_columns
    return _item(output, table=table, shape=[preview.total_rows, width], kind="table")


def from_sample(output: Output, rows: int) -> dict[str, Json]:
    """Return what was kept beside an output when it was stored; null keys are left out."""
    sample = output.sample
    if isinstance(sample, dict) and output.schema is not None and "rows" in sample:
        table = {
            "columns": list(sample.get("columns") or ())[:COLUMNS_SHOWN],
            "rows": [list(row)[:COLUMNS_SHOWN] for row in sample["rows"][:rows]],
        }
        item = _item(output, table=table, shape=[output.rows, len(output.schema)], kind="table")
    else:
        item = _item(output, text=_text(sample), kind="text")
    return {key: value for key, value in item.items() if value is not None}


def _item(
    output: Output,
    *,
    kind: str,
    table: dict[str, Json] | None = None,
    shape: list[int | None] | None = None,
    text: str | None = None,
) -> dict[str, Json]:
    return {
        "outputs": None,
        "sample_data": table,
        "shape": shape,
        "text_data": text,
        "type": kind,
        "variable_uuid": output.name,
    }


def _text(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
