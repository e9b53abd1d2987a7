"""YAML text to plain values, within limits, and from a value back to its line.

What JSON cannot say (dates, infinities, enormous numbers) is kept as the text that
stands in the file, with a note, because specs are pinned as JSON.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

import yaml

from weft.core.errors import BrokenPipeline, Where
from weft.core.json import Json

if TYPE_CHECKING:
    from yaml import SafeLoader
else:
    SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    """The fast loader, unless PyYAML was built without libyaml."""

Mark: TypeAlias = Any
"""Where PyYAML says that something is (two unrelated classes, with and without C)."""

Keys: TypeAlias = tuple[str | int, ...]
"""The way to a value: keys of mappings and positions in sequences, from the root."""

MAX_BYTES = 8 * 2**20
"""Size of the largest file that is read."""
MAX_DEPTH = 64
"""Deepest nesting of mappings and sequences."""
MAX_NODES = 500_000
"""Most values of a document after its aliases are expanded."""

_MAX_INTEGER = 2**63
_TAG = "tag:yaml.org,2002:"
_NO_JSON = {f"{_TAG}{name}" for name in ("binary", "omap", "pairs", "set")}


@dataclass(frozen=True, slots=True)
class Source:
    """The text of a YAML file, and its name relative to the project."""

    path: str
    text: str
    notes: list[str] = field(default_factory=list, compare=False)
    """What was odd but harmless; grows while the document is read."""

    def parse(self) -> Json:
        """Return the document as plain values; None when it is empty.

        Raises `BrokenPipeline` with line and column for text that is not YAML, has
        tags that stand for objects, or exceeds a limit.
        """
        try:
            for _ in _limited(yaml.parse(self.text, Loader=SafeLoader)):
                pass
            return self._construct()
        except yaml.reader.ReaderError as error:
            raise self._unreadable(error) from None
        except yaml.MarkedYAMLError as error:
            raise self._refused(error) from None

    def fault(self, message: str, keys: Keys = (), *, hint: str | None = None) -> BrokenPipeline:
        """Return an error that names the place of `keys`, or of the nearest there is."""
        return BrokenPipeline(message, hint=hint, where=self.where(keys))

    def note(self, message: str, keys: Keys = ()) -> None:
        """Keep a remark about the place of `keys`."""
        self.notes.append(f"{self.where(keys)}: {message}")

    def where(self, keys: Keys) -> Where:
        """Return the place of a value: of itself when scalar, else of its key."""
        mark = _mark(composed(self.text), keys)
        return self._where(mark)

    def _where(self, mark: Mark | None) -> Where:
        if mark is None:
            return Where(self.path)
        lines = self.text.splitlines()
        if mark.line >= len(lines):  # at the end of the file, which may lack a line end
            return Where(self.path, max(len(lines), 1))
        return Where(self.path, mark.line + 1, mark.column + 1)

    def _construct(self) -> Json:
        loader = _Loader(self.text)
        try:
            return loader.get_single_data()
        finally:
            self.notes.extend(f"{self._where(mark)}: {text}" for text, mark in loader.notes)
            loader.dispose()

    def _refused(self, error: yaml.MarkedYAMLError) -> BrokenPipeline:
        said = ", ".join(part for part in (error.context, error.problem) if part)
        return BrokenPipeline(
            f"this is not YAML that Weft reads: {said}",
            hint=error.note if isinstance(error, _Refused) else _hint(error.problem or ""),
            where=self._where(error.problem_mark or error.context_mark),
        )

    def _unreadable(self, error: yaml.reader.ReaderError) -> BrokenPipeline:
        line = self.text.encode()[: error.position].count(b"\n") + 1
        return BrokenPipeline(
            f"a character that YAML does not allow: {error.reason}",
            hint="Remove the character, or write it as an escape in double quotes.",
            where=Where(self.path, line),
        )


class _Refused(yaml.constructor.ConstructorError):
    """What is YAML, but not for us."""

    def __init__(self, problem: str, mark: Mark | None, hint: str) -> None:
        super().__init__(problem=problem, problem_mark=mark, note=hint)
        self.note = hint


class _Loader(SafeLoader):
    """Builds what JSON can hold; keys of mappings are text."""

    yaml_constructors = {  # noqa: RUF012 - the parent declares it so
        tag: function
        for tag, function in SafeLoader.yaml_constructors.items()
        if tag not in _NO_JSON
    }

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.notes: list[tuple[str, Mark]] = []

    def construct_mapping(self, node: yaml.Node, deep: bool = False) -> dict[str, Any]:  # type: ignore[override] # noqa: FBT001, FBT002 - PyYAML's own signature
        own = len(node.value) if isinstance(node, yaml.MappingNode) else 0
        if isinstance(node, yaml.MappingNode):
            self.flatten_mapping(node)
        merged = len(node.value) - own
        mapping: dict[str, Any] = {}
        for position, (key_node, value_node) in enumerate(node.value):
            key = self._key(key_node)
            if key in mapping and position >= merged and merged == 0:
                self.notes.append((f"{key!r} is given twice; the last counts", key_node.start_mark))
            mapping[key] = self.construct_object(value_node, deep=deep)
        return mapping

    def _key(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise _Refused(
                "a key must be text",
                node.start_mark,
                "If this is a template such as {{ ... }}, put it in quotes.",
            )
        return self.text(node)

    def text(self, node: yaml.ScalarNode) -> str:
        """Return a scalar's text as it stands, if it can be stored."""
        value: str = node.value
        if "\0" in value or not (value.isascii() or _encodable(value)):
            raise _Refused(
                "the text holds a character that cannot be stored",
                node.start_mark,
                "Remove the NUL character or half surrogate.",
            )
        return value

    def integer(self, node: yaml.ScalarNode) -> int | str:
        """Return a whole number, or its text when it is beyond 64 bits."""
        try:
            value: int = self.construct_yaml_int(node)
        except (ValueError, IndexError):
            raise _Refused(
                f"{node.value[:40]!r} is not a whole number", node.start_mark, "Put it in quotes."
            ) from None
        return value if -_MAX_INTEGER <= value < _MAX_INTEGER else self.as_text(node)

    def real(self, node: yaml.ScalarNode) -> float | str:
        """Return a number, or its text when JSON has no such number."""
        try:
            value: float = self.construct_yaml_float(node)
        except (ValueError, IndexError, OverflowError):
            raise _Refused(
                f"{node.value[:40]!r} is not a number", node.start_mark, "Put it in quotes."
            ) from None
        return value if math.isfinite(value) else self.as_text(node)

    def as_text(self, node: yaml.ScalarNode) -> str:
        """Return a scalar's text, with a note that its type is lost."""
        self.notes.append((f"{node.value[:40]!r} is passed on as text", node.start_mark))
        return self.text(node)


_Loader.add_constructor(f"{_TAG}str", _Loader.text)
_Loader.add_constructor(f"{_TAG}value", _Loader.text)
_Loader.add_constructor(f"{_TAG}timestamp", _Loader.as_text)
_Loader.add_constructor(f"{_TAG}int", _Loader.integer)
_Loader.add_constructor(f"{_TAG}float", _Loader.real)


def _limited(events: Iterator[yaml.Event]) -> Iterator[None]:
    """Refuse a document that is too deep, or too large once its aliases are expanded.

    The parser's events come one by one, so that neither a deep nor a swelling
    document is ever built.
    """
    sizes: dict[str, int] = {}
    opened: list[tuple[str | None, int]] = []
    size = 0
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            size += _size_of_alias(event, sizes)
        elif isinstance(event, yaml.CollectionStartEvent):
            opened.append((event.anchor, size))
            size += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = opened.pop()
            sizes |= {anchor: size - before} if anchor else {}
        elif isinstance(event, yaml.ScalarEvent):
            size += 1
            sizes |= {event.anchor: 1} if event.anchor else {}
        if len(opened) > MAX_DEPTH or size > MAX_NODES:
            raise _Refused(
                f"more than {MAX_DEPTH} levels or {MAX_NODES:,} values",
                event.start_mark,
                "Write fewer or flatter values, and mind what aliases (*name) multiply.",
            )
        yield


def _size_of_alias(event: yaml.AliasEvent, sizes: Mapping[str, int]) -> int:
    size = sizes.get(event.anchor or "")
    if size is None:
        raise _Refused(
            f"the alias *{event.anchor} stands for nothing yet, or for what it is part of",
            event.start_mark,
            "Define the anchor before, or write the value out.",
        )
    return size


@lru_cache(maxsize=4)
def composed(text: str) -> yaml.Node | None:
    """Return the tree of nodes of a text that `Source.parse` has read, for its marks."""
    return yaml.compose(text, Loader=SafeLoader)


def _mark(node: yaml.Node | None, keys: Sequence[str | int]) -> Mark | None:
    mark = node.start_mark if node else None
    for key in keys:
        if isinstance(node, yaml.MappingNode):
            found = [pair for pair in node.value if pair[0].value == key]
            if not found:
                break
            name, node = found[-1]
            plain = isinstance(node, yaml.ScalarNode)
            empty = plain and node.start_mark.index == node.end_mark.index
            mark = node.start_mark if plain and not empty else name.start_mark
        elif isinstance(node, yaml.SequenceNode) and isinstance(key, int):
            node = node.value[key]
            mark = node.start_mark
        else:
            break
    return mark


def _encodable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _hint(problem: str) -> str | None:
    if "cannot start any token" in problem:
        return "Indent with spaces, not tabs, and quote text that begins with @, ` or %."
    if "constructor for the tag" in problem:
        return "Remove the tag (!name): Weft reads plain values only."
    if "expected a single document" in problem or "another document" in problem:
        return "Keep one document: remove the lines of three dashes between."
    return "Look at the indentation, colons and quotes here and in the line before."
