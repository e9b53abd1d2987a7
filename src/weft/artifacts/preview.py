"""Stored outputs for the server to show: the first rows, and never a pickle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from weft.artifacts.files import format_named, inline_bytes, is_inline
from weft.artifacts.shown import ITEMS
from weft.core.artifact import Output
from weft.core.errors import Conflict, NotFound
from weft.ports.outputs import InlineFormat, Preview

LARGEST = 16 * 1024 * 1024
"""Bytes beyond which a plain value is not parsed for a preview; its sample is shown."""


class FileOutputs:
    """Previews of outputs that lie in files."""

    def preview(self, output: Output, rows: int) -> Preview:
        form = format_named(output.format)
        if isinstance(form, InlineFormat) and is_inline(output):
            return form.preview_bytes(inline_bytes(output), ITEMS)
        path = Path(output.uri)
        if not path.is_file():
            raise NotFound(
                f"the file of {output.name} is gone: {output.uri}",
                hint="Run the block again that made it.",
            )
        if not form.safe:
            # Unpickling runs code of whoever wrote the file: that is for the child alone.
            return Preview(value=output.sample if output.sample is not None else output.kind)
        if output.schema is None and output.bytes > LARGEST:
            return Preview(value=output.sample)
        try:
            preview = form.preview(path, max(rows, 0) if output.schema else ITEMS)
        except (ValueError, OSError) as error:
            raise Conflict(
                f"the file of {output.name} cannot be read: {error}",
                hint="Run the block again that made it.",
            ) from error
        if preview.columns is None:
            return preview
        columns = output.schema[: len(preview.columns)] if output.schema else preview.columns
        return replace(preview, total_rows=output.rows, columns=columns)
