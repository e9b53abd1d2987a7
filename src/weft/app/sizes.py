"""Amounts of memory as people write them: `512M`, `2G`, `1.5 GiB`."""

from __future__ import annotations

import re

LEAST = 16 * 1024**2
"""Bytes below which no block could even begin."""

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", re.ASCII | re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def parse_limit(text: str) -> int | None:
    """Return bytes, or None for `none`; units are powers of 1024, and no unit means bytes.

    Raises `ValueError` for what is no size, or less than `LEAST`.
    """
    if text.strip().lower() == "none":
        return None
    found = _SIZE.fullmatch(text.strip())
    size = int(float(found[1]) * 1024 ** _POWERS[found[2].lower()]) if found else 0
    if size < LEAST:
        raise ValueError(f"{text!r} is no size of at least {limit_text(LEAST)}")
    return size


def limit_text(size: int | None) -> str:
    """Return bytes in the largest unit that holds them exactly, or `none`."""
    if size is None:
        return "none"
    for unit, power in reversed(_POWERS.items()):
        if size >= 1024**power and size % 1024**power == 0:
            return f"{size // 1024**power}{unit.upper()}"
    return str(size)
