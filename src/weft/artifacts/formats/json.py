"""Plain values: null, true, 1, 2.5, "text", lists and maps of such."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from weft.artifacts.jsontext import decode, encode
from weft.artifacts.shown import shown
from weft.core.json import Json
from weft.ports.outputs import Preview


class JsonFormat:
    """Keeps plain values as JSON text; whatever would come back different is refused."""

    name = "json"
    extension = "json"
    rank = 20
    safe = True

    def accepts(self, value: object) -> bool:
        return value is None or type(value) in (bool, int, float, str, list, dict)

    def to_bytes(self, value: object) -> bytes:
        return encode(value).encode("ascii")

    def from_bytes(self, data: bytes, kind: str) -> object:  # noqa: ARG002  there is one kind
        return decode(data)

    def describe(self, value: object) -> dict[str, Any]:
        return {"kind": "value", "sample": shown(value)}

    def preview_bytes(self, data: bytes, rows: int) -> Preview:
        value: Json = json.loads(data)
        return Preview(value=shown(value, items=rows))

    def dump(self, value: object, path: Path) -> dict[str, Any]:
        path.write_bytes(self.to_bytes(value))
        return self.describe(value)

    def load(self, path: Path, kind: str) -> object:  # noqa: ARG002  there is one kind
        return decode(path.read_bytes())

    def preview(self, path: Path, rows: int) -> Preview:
        return self.preview_bytes(path.read_bytes(), rows)
