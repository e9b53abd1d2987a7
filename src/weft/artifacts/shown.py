"""Any value as JSON for a person to look at: shortened, and safe to store and to send."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from weft.core.json import Json

ITEMS = 20
"""As many items of each list or map are shown."""
CHARACTERS = 1000
"""As many characters of each text are shown."""
_DEPTH = 6


def shown(value: object, *, items: int = ITEMS, depth: int = _DEPTH) -> Json:  # noqa: PLR0911  one per kind
    """Return `value` as JSON; what JSON lacks becomes text, NaN becomes null."""
    match value:
        case None | bool():
            return value
        case int():
            return int(value) if -(2**63) <= value < 2**63 else short(str_of(value))
        case float():
            return float(value) if math.isfinite(value) else _non_finite(value)
        case str():
            return short(value)
        case bytes() | bytearray() | memoryview():
            return short(bytes(value[:CHARACTERS]).decode("utf-8", "backslashreplace"))
        case dict() | list() | tuple() | set() | frozenset() if depth == 0:
            return "…"
        case dict():
            return _map(value, items, depth - 1)
        case list() | tuple() | set() | frozenset():
            return _list(value, items, depth - 1)
        case _:
            return _other(value)


def short(text: str) -> str:
    """Return at most `CHARACTERS` characters, none of them one that a database refuses."""
    if len(text) > CHARACTERS:
        text = text[: CHARACTERS - 1] + "…"
    return clean(text)


def clean(text: str) -> str:
    """Return the text with NUL and lone surrogates escaped: no database stores them."""
    if "\x00" in text:
        text = text.replace("\x00", "\\x00")
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def type_text(value: object) -> str:
    """Return the name of the value's type with its module, as people write it."""
    kind = type(value)
    module = kind.__module__
    return kind.__qualname__ if module == "builtins" else f"{module}.{kind.__qualname__}"


def str_of(value: object) -> str:
    """Return `str(value)`, or text about it where its own `__str__` fails."""
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001  the value is the user's, and so is its __str__
        return f"<{type_text(value)} that cannot be shown: {type(error).__name__}>"


def _non_finite(value: float) -> str | None:
    return None if math.isnan(value) else str(value)


def _map(value: Mapping[Any, Any], items: int, depth: int) -> dict[str, Json]:
    pairs = zip(value.items(), range(items), strict=False)
    return {short(str_of(key)): shown(item, items=items, depth=depth) for (key, item), _ in pairs}


def _list(value: Iterable[object], items: int, depth: int) -> list[Json]:
    return [
        shown(item, items=items, depth=depth) for item, _ in zip(value, range(items), strict=False)
    ]


_TEXT_MODULES = ("datetime", "decimal", "uuid", "fractions", "pathlib", "zoneinfo", "ipaddress")


def _other(value: object) -> Json:
    """Show well-known small values as text, numpy scalars as numbers, the rest by type.

    `str` of anything else may be huge or slow: it belongs to the user.
    """
    module = type(value).__module__.partition(".")[0]
    if module == "numpy":
        if getattr(value, "ndim", None) == 0:
            item = value.item()  # type: ignore[attr-defined]
            return f"<{type_text(value)}>" if type(item) is type(value) else shown(item)
        return f"<{type_text(value)} {getattr(value, 'shape', '')}>"
    if module in _TEXT_MODULES or (module == "pandas" and hasattr(value, "isoformat")):
        return short(value.isoformat() if hasattr(value, "isoformat") else str_of(value))
    if type(value).__name__ == "NAType":
        return None
    return f"<{type_text(value)}>"
