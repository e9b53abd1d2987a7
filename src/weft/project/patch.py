"""Change values of a YAML text and leave every other character as it is.

Works on the spans that the parser reports. It knows the common shapes (mappings and
lists over several lines, scalars and one-line collections anywhere) and gives up with
`CannotPatch` on the others; the caller checks the result by reading it again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import TypeGuard, TypeVar

import yaml
from yaml import MappingNode, SequenceNode

from weft.core.errors import Invalid
from weft.core.json import Json, JsonMap
from weft.project.document import composed
from weft.project.emit import block, inline

N = TypeVar("N", bound=yaml.CollectionNode)


class CannotPatch(Invalid):
    """The shape of the text is none that can be changed in place."""

    code = "cannot_patch"


def patched(text: str, old: JsonMap, new: JsonMap) -> str:
    """Return `text`, which holds `old`, changed to hold `new`. Raises `CannotPatch`."""
    root = composed(text)
    if not isinstance(root, MappingNode) or root.flow_style:
        raise CannotPatch("the document is not a mapping over several lines")
    patch = _Patch(text)
    patch.mapping(root, old, new)
    return patch.applied()


def same(one: Json, other: Json) -> bool:
    """Whether two values are equal and of equal types, at every depth."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


@dataclass(frozen=True, slots=True)
class _Patch:
    text: str
    edits: list[tuple[int, int, str]] = field(default_factory=list)

    def applied(self) -> str:
        text = self.text
        newline = "\r\n" if "\r\n" in text else "\n"
        # Of two insertions at one place, the first asked for comes first.
        order = sorted(enumerate(self.edits), key=lambda edit: (edit[1][:2], edit[0]))
        for _, (start, end, put) in reversed(order):
            text = text[:start] + put.replace("\n", newline) + text[end:]
        return text

    def value(self, key: yaml.Node, node: yaml.Node, old: Json, new: Json) -> None:
        """Change the value of one key of a mapping over several lines."""
        if not same(old, new) and not self._inside(node, old, new):
            self._put(key, node, new)

    def _inside(self, node: yaml.Node, old: Json, new: Json) -> bool:
        """Change what differs inside a collection; False when it must be replaced whole."""
        before = len(self.edits)
        try:
            if _several_lines(node, MappingNode) and isinstance(new, dict) and new:
                self.mapping(node, old, new)
            elif _several_lines(node, SequenceNode) and isinstance(new, list) and new:
                self.sequence(node, old, new)
            elif _one_line(node) and old and _plural(new):
                self.one_line(node, old, new)
            else:
                return False
        except CannotPatch:
            del self.edits[before:]
            return False
        return True

    def mapping(self, node: MappingNode, old: JsonMap, new: JsonMap) -> None:
        """Change a mapping over several lines, key by key."""
        pairs = {key.value: (key, value) for key, value in node.value}
        if len(pairs) != len(node.value) or pairs.keys() != old.keys():
            raise CannotPatch("keys that are merged or given twice")
        for name, (key, value) in pairs.items():
            if name in new:
                self.value(key, value, old[name], new[name])
            else:
                self._drop(key, self._end(key, value))
        added = {name: value for name, value in new.items() if name not in pairs}
        if added:
            key, value = node.value[-1]
            self._insert(self._end(key, value), block(added, self._column(key)))

    def sequence(self, node: SequenceNode, old: Sequence[Json], new: Sequence[Json]) -> None:
        """Change a list over several lines, matching items by uuid, else by value."""
        names = [_name(item) for item in old], [_name(item) for item in new]
        for tag, i, i2, j, j2 in SequenceMatcher(None, *names, autojunk=False).get_opcodes():
            if tag == "equal" or (tag == "replace" and i2 - i == j2 - j):
                for item, was, now in zip(node.value[i:i2], old[i:i2], new[j:j2], strict=True):
                    self._item(item, was, now)
                continue
            for item in node.value[i:i2]:
                self._drop(self._dash(item), self._end_of(item))
            if j2 > j:
                self._add_items(node, i, new[j:j2])

    def one_line(self, node: yaml.CollectionNode, old: Json, new: Json) -> None:
        """Change a collection in braces or brackets: value by value when its keys stay."""
        keys = [key.value for key, _ in node.value] if isinstance(node, MappingNode) else None
        if not (isinstance(new, dict) and keys == list(old) == list(new)):
            self.edits.append((node.start_mark.index, node.end_mark.index, inline(new)))
            return
        for key, value in node.value:
            was, now = old[key.value], new[key.value]
            if same(was, now):
                continue
            if _one_line(value) and _plural(now):
                self.one_line(value, was, now)
            elif _has_text(value):
                self.edits.append((value.start_mark.index, value.end_mark.index, inline(now)))
            else:
                raise CannotPatch("a key in braces that has no value yet")

    def _item(self, node: yaml.Node, old: Json, new: Json) -> None:
        if same(old, new) or self._inside(node, old, new):
            return
        dash = self._dash(node)
        column = dash - self._line(dash)
        self.edits.append((dash, self._end_of(node), block([new], column).strip()))

    def _add_items(self, node: SequenceNode, at: int, items: Sequence[Json]) -> None:
        first = self._dash(node.value[0])
        text = block(list(items), first - self._line(first))
        if at:
            self._insert(self._end_of(node.value[at - 1]), text)
        else:
            self.edits.append((self._line(first), self._line(first), text))

    def _put(self, key: yaml.Node, node: yaml.Node, new: Json) -> None:
        colon = self._colon(key)
        start, end = node.start_mark.index, self._end(key, node)
        on_line = not self.text[colon:start].strip(" ") and end > colon
        # A comment behind the old value would end up inside of a new one of several lines.
        alone = not self.text[end : self._line_end(end)].strip()
        if alone and _plural(new):
            indent = self._column(key) + (2 if isinstance(new, dict) else 0)
            put = "\n" + block(new, indent).rstrip("\n")
            self.edits.append((colon, end, put))
        elif alone and isinstance(new, str) and "\n" in new:
            put = block({"k": new}, self._column(key)).strip()[2:].rstrip("\n")
            self.edits.append((colon, end, put))
        else:
            self.edits.append(
                (start, end, inline(new)) if on_line else (colon, end, f" {inline(new)}")
            )

    def _insert(self, after: int, text: str) -> None:
        end = self._line_end(after)
        if end == len(self.text):
            self.edits.append((end, end, "\n" + text))
        else:
            self.edits.append((end + 1, end + 1, text))

    def _drop(self, start: yaml.Node | int, end: int) -> None:
        at = start if isinstance(start, int) else start.start_mark.index
        line = self._line(at)
        if self.text[line:at].strip(" "):
            raise CannotPatch("a key that shares its line with the dash before it")
        self.edits.append((line, min(self._line_end(end) + 1, len(self.text)), ""))

    def _line(self, at: int) -> int:
        return self.text.rfind("\n", 0, at) + 1

    def _line_end(self, at: int) -> int:
        end = self.text.find("\n", at)
        return len(self.text) if end < 0 else end

    def _column(self, key: yaml.Node) -> int:
        """Return the column of a key, or of the question mark before a long one."""
        at: int = key.start_mark.index
        before = self.text[self._line(at) : at]
        return len(before) - 2 if before.lstrip(" ") == "? " else len(before)

    def _dash(self, node: yaml.Node) -> int:
        at = node.start_mark.index
        before = re.search(r"^ *-[ ]+$", self.text[self._line(at) : at])
        if before is None:
            raise CannotPatch("an item that does not begin right after its dash")
        return self._line(at) + before.group().index("-")

    def _colon(self, key: yaml.Node) -> int:
        """Return the place after the colon that follows a key."""
        found = re.compile(r"\s*:").match(self.text, key.end_mark.index)
        if found is None:
            raise CannotPatch("a key without a colon right after it")
        return found.end()

    def _end(self, key: yaml.Node, value: yaml.Node) -> int:
        return max(self._colon(key), self._end_of(value) if _has_text(value) else 0)

    def _end_of(self, node: yaml.Node) -> int:
        """Return where a value's last character is, comments after it not counted."""
        if isinstance(node, MappingNode) and not node.flow_style:
            key, value = node.value[-1]
            return self._end(key, value)
        if isinstance(node, SequenceNode) and not node.flow_style:
            return self._end_of(node.value[-1])
        end: int = node.end_mark.index
        return len(self.text[:end].rstrip(" \r\n"))


def _several_lines(node: yaml.Node, kind: type[N]) -> TypeGuard[N]:
    return isinstance(node, kind) and not node.flow_style


def _one_line(node: yaml.Node) -> TypeGuard[yaml.CollectionNode]:
    return isinstance(node, yaml.CollectionNode) and bool(node.flow_style)


def _has_text(node: yaml.Node) -> bool:
    return not isinstance(node, yaml.ScalarNode) or bool(
        node.end_mark.index > node.start_mark.index
    )


def _plural(value: Json) -> bool:
    return isinstance(value, dict | list) and bool(value)


def _name(item: Json) -> str:
    if isinstance(item, dict) and isinstance(item.get("uuid"), str):
        return str(item["uuid"])
    return json.dumps(item, sort_keys=True)
