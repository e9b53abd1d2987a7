"""Answers: wrapped as clients expect, encoded once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.responses import Response

from weft.core.json import Json

_SCALARS = (str, int, float)


def _plain(value: Any) -> Json:
    """Turn what YAML readers make (subclasses of plain types) into plain types."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, list | tuple | set | frozenset):
        return list(value)
    for kind in _SCALARS:
        if isinstance(value, kind):
            return kind(value)
    return str(value)


_ENCODER = msgspec.json.Encoder(enc_hook=_plain)


def encode(value: Json) -> bytes:
    """Return a value as JSON; NaN and infinities become null."""
    return _ENCODER.encode(value)


def respond(
    value: Json, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Answer with a value as it is."""
    return Response(
        encode(value), status, headers=dict(headers or {}), media_type="application/json"
    )


def one(name: str, item: Json, *, headers: Mapping[str, str] | None = None) -> Response:
    """Answer a detail, create, update or delete: `{"<singular>": item, "metadata": null}`."""
    return respond({name: item, "metadata": None}, headers=headers)


def many(name: str, items: list[Json], metadata: Mapping[str, Json] | None = None) -> Response:
    """Answer a list: `{"<plural>": [...], "metadata": {...}}`."""
    return respond({name: items, "metadata": dict(metadata or {})})


def paged(name: str, items: list[Json], *, total: int, more: bool) -> Response:
    """Answer one page of a list."""
    return many(name, items, {"count": total, "next": more})
