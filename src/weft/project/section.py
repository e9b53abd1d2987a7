"""One mapping of a YAML file, read key by key with errors that say where."""

from __future__ import annotations

import textwrap
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from weft.core.errors import BrokenPipeline
from weft.core.json import Json, JsonMap
from weft.project.document import Keys, Source

A_YEAR = 366 * 86_400
"""Longest time that a file may state, in seconds; more is cut, with a note."""

MAX_COUNT = 1_000_000
"""Highest count that a file may state; more is cut, with a note."""


@dataclass(frozen=True, slots=True)
class Section:
    """A mapping at `keys` of `source`. Null is everywhere the same as absent.

    Every method raises `BrokenPipeline` with the place of the value it refuses.
    """

    source: Source
    data: JsonMap
    keys: Keys = ()

    def fault(self, message: str, *keys: str | int, hint: str | None = None) -> BrokenPipeline:
        """Return an error located at a key of this mapping."""
        return self.source.fault(message, (*self.keys, *keys), hint=hint)

    def note(self, message: str, *keys: str | int) -> None:
        """Keep a remark about a key of this mapping."""
        self.source.note(message, (*self.keys, *keys))

    def text(self, key: str) -> str | None:
        """Return a text."""
        value: str | None = self._typed(key, str, "text")
        return value

    def label(self, key: str) -> str | None:
        """Return what people read: a text, or a number or flag as text."""
        value = self.data.get(key)
        if isinstance(value, dict | list):
            raise self._wrong(key, "text")
        return None if value is None else str(value)

    def choice(self, key: str, among: Collection[str]) -> str | None:
        """Return one of some words."""
        value = self.text(key)
        if value is not None and value not in among:
            raise self.fault(
                f"unknown {key} {value!r}", key, hint=f"One of {', '.join(sorted(among))}."
            )
        return value

    def flag(self, key: str) -> bool | None:
        """Return true or false."""
        value: bool | None = self._typed(key, bool, "true or false")
        return value

    def count(self, key: str) -> int | None:
        """Return a whole number from 0."""
        value = self.data.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise self._wrong(key, "a whole number from 0")
        return int(self._cut(key, value, MAX_COUNT))

    def seconds(self, key: str) -> float | None:
        """Return a time in seconds from 0."""
        value = self.data.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise self._wrong(key, "a number of seconds from 0")
        return float(self._cut(key, value, A_YEAR))

    def section(self, key: str) -> Section:
        """Return the mapping below a key; an empty one when it is absent."""
        value = self._typed(key, dict, "a mapping")
        return Section(self.source, value or {}, (*self.keys, key))

    def sections(self, key: str) -> list[Section]:
        """Return the mappings of the list below a key; none when it is absent."""
        items = self._typed(key, list, "a list") or []
        for place, item in enumerate(items):
            if not isinstance(item, dict):
                raise self._wrong_item(key, place, "a mapping")
        return [
            Section(self.source, item, (*self.keys, key, place)) for place, item in enumerate(items)
        ]

    def names(self, key: str) -> tuple[str, ...]:
        """Return the texts of a list; none when it is absent."""
        items = self._typed(key, list, "a list of names") or []
        for place, item in enumerate(items):
            if not isinstance(item, str):
                raise self._wrong_item(key, place, "text")
        return tuple(items)

    def labels(self, key: str) -> tuple[str, ...]:
        """Return what people read of a list: texts, or numbers and flags as text."""
        items = self._typed(key, list, "a list") or []
        for place, item in enumerate(items):
            if isinstance(item, dict | list):
                raise self._wrong_item(key, place, "text")
        return tuple(str(item) for item in items if item is not None)

    def unknown(self, known: Collection[str]) -> None:
        """Note each key that is not among `known`; it is kept and not used."""
        for key in self.data:
            if key not in known:
                self.note(f"unknown key {key!r} is ignored", key)

    def _typed(self, key: str, kind: type, what: str) -> Any:
        value = self.data.get(key)
        if value is not None and not isinstance(value, kind):
            raise self._wrong(key, what)
        return value

    def _wrong_item(self, key: str, place: int, what: str) -> BrokenPipeline:
        value = self.data[key][place]
        message = _message(f"item {place + 1} of {key}", what, value)
        return self.fault(message, key, place, hint=_HINTS[what])

    def _wrong(self, key: str, what: str) -> BrokenPipeline:
        return self.fault(_message(key, what, self.data[key]), key, hint=_HINTS[what])

    def _cut(self, key: str, value: float, ceiling: int) -> float:
        if value > ceiling:
            self.note(f"{key} is cut to {ceiling}", key)
            return ceiling
        return value


def _message(what: str, expected: str, value: Json) -> str:
    shown = textwrap.shorten(repr(value), _SHOWN, placeholder="...")
    return f"{what} must be {expected}, not {shown}"


_SHOWN = 60
_HINTS = {
    "text": "Put it in quotes.",
    "true or false": "Write true or false, without quotes.",
    "a whole number from 0": "Write digits only, without quotes.",
    "a number of seconds from 0": "Write a number without quotes and unit, for example 2.5.",
    "a mapping": "Write `key: value` lines below it, or {} for none.",
    "a list": "Write a list such as [a, b], or [] for none.",
    "a list of names": "Write a list such as [a, b], or [] for none.",
}
