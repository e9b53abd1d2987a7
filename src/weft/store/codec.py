"""JSON columns: whatever was said comes back, and nothing that is said can break a write."""

from __future__ import annotations

import msgspec

from weft.core.json import Json


def encode(value: object) -> str:
    """Return `value` as JSON text.

    NaN and infinities become null; what JSON does not know becomes its text; a
    lone surrogate becomes a question mark.
    """
    try:
        return _encoder.encode(value).decode()
    except UnicodeEncodeError:
        return _encoder.encode(_cleaned(value)).decode()


def decode(text: str) -> Json:
    """Return what `text` says."""
    return msgspec.json.decode(text)


def clean(text: str) -> str:
    """Return `text` without NUL and lone surrogates, which PostgreSQL cannot keep."""
    if "\x00" in text:
        text = text.replace("\x00", "\N{REPLACEMENT CHARACTER}")
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


def _cleaned(value: Json) -> Json:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {_cleaned(key): _cleaned(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_cleaned(item) for item in value]
    return value


_encoder = msgspec.json.Encoder(enc_hook=lambda value: clean(str(value)))
