"""Plain values to YAML text that YAML 1.1 and 1.2 readers understand alike.

`on`, `yes`, `012`, `12:30` and `1e3` are text to one version and something else to
the other; whatever is not plainly a word is therefore quoted.
"""

from __future__ import annotations

import math
import re
from typing import Any

import yaml

from weft.core.errors import Invalid
from weft.core.json import Json

_WORD = re.compile(r"[A-Za-z_][\w./-]*(?: [\w./-]+)*", re.ASCII)
_RESERVED = frozenset(
    {"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf", "infinity"}
)
_LINES = re.compile(r"[^\s\0-\x1f\x7f-\x9f\u2028\u2029\ufeff].*\S\n?", re.DOTALL)
_ODD = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\t]|[ ]\n|\n\n+$")
_WIDE = 2**31 - 1
"""So wide that no line is folded."""


class _Dumper(yaml.SafeDumper):
    """Quotes by our rule and never writes an alias."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's own signature
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=_style(value))


def _style(value: str) -> str | None:
    if _WORD.fullmatch(value) and value.lower() not in _RESERVED:
        return None
    if _ODD.search(value) or not _representable(value):
        return '"'
    if "\n" in value:
        return "|" if _LINES.fullmatch(value) else '"'
    return "'"


def _representable(value: str) -> bool:
    """Whether a text can stand unescaped: what is beyond 16 bits need not."""
    return all(char < "\ud800" or "\ue000" <= char < "\ufffe" for char in value)


_Dumper.add_representer(str, _text)


def block(value: Json, indent: int = 0) -> str:
    """Return a mapping or list over several lines, each indented, with a line end."""
    text: str = yaml.dump(
        _short_keys(checked(value)),
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=_WIDE,
    )
    margin = " " * indent
    return "".join(
        margin + line if line.strip() else line for line in text.splitlines(keepends=True)
    )


def inline(value: Json) -> str:
    """Return a value on one line, without line end."""
    text: str = yaml.dump(
        [_flat(checked(value))],
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=_WIDE,
        default_flow_style=True,
    )
    return text.strip()[1:-1]


class _Flat(str):
    """A text that stays on its line."""

    __slots__ = ()


_Dumper.add_representer(
    _Flat,
    lambda dumper, value: dumper.represent_scalar("tag:yaml.org,2002:str", str(value), style='"'),
)


def _short_keys(value: Json) -> Json:
    if isinstance(value, dict):
        return {_flat(key): _short_keys(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_short_keys(item) for item in value]
    return value


def _flat(value: Json) -> Json:
    if isinstance(value, str):
        return _Flat(value) if "\n" in value else value
    if isinstance(value, dict):
        return {_flat(key): _flat(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_flat(item) for item in value]
    return value


def checked(value: Json) -> Json:
    """Return a value if YAML can hold it as JSON does; else raise `Invalid`."""
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise Invalid(f"keys must be text, not {key!r}")
        return {checked(key): checked(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [checked(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise Invalid(f"{value} is not a number that can be written")
    if isinstance(value, str) and ("\0" in value or any("\ud800" <= c <= "\udfff" for c in value)):
        raise Invalid("the text holds a character that cannot be stored")
    if not isinstance(value, str | int | float | None):
        raise Invalid(f"a {type(value).__name__} cannot be written to YAML")
    return value
