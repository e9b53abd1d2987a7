"""Request bodies: bytes to checked values, with the place of whatever is wrong."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request

from weft.core.errors import Invalid, Malformed
from weft.core.json import Json

DEEPEST = 100
"""Levels of nesting that a body may have."""

_KEY = "weft.body"
_TYPES = "/openapi.json says what each attribute may be."
_PATH = re.compile(r" - at `(?P<path>[^`]+)`$")
_AT = re.compile(r"\(byte (?P<byte>\d+)\)")

T = TypeVar("T")


def raw(request: Request) -> bytes:
    """Return the body, which `Intake` has read."""
    content: bytes = request.scope.get(_KEY, b"")
    return content


def parse(request: Request) -> dict[str, Json] | None:
    """Return the body as a JSON object; None for an empty body.

    Raises `Malformed` with the position, `Invalid` if it is something else.
    """
    content = raw(request)
    if not content.strip():
        return None
    try:
        value = msgspec.json.decode(content)
    except RecursionError:
        raise _too_deep() from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(
            f"the body is not valid JSON: {_position(str(error), content)}",
            hint="Send a JSON object, with the header Content-Type: application/json.",
        ) from None
    _check_depth(content, value)
    if not isinstance(value, dict):
        raise Invalid(
            f"the body must be a JSON object, not {_kind(value)}",
            hint="Wrap it in braces, with the attributes under the name of the resource.",
        )
    return value


def attributes(request: Request, wrapper: str, shape: type[T], *, optional: bool = False) -> T:
    """Return what stands under the resource's name, checked against `shape`.

    Raises `Invalid` with the path of the field, also when the wrapper is missing.
    """
    return convert(wrapped(request, wrapper, optional=optional), shape, wrapper)


def wrapped(request: Request, wrapper: str, *, optional: bool = False) -> dict[str, Json]:
    """Return what stands under the resource's name, as it is."""
    whole = parse(request) or {}
    if wrapper not in whole and not (optional and not whole):
        raise Invalid(
            f"the body has no {wrapper!r}",
            hint=f'Put the attributes under it: {{"{wrapper}": {{...}}}}.',
        )
    inner = whole.get(wrapper, {})
    if not isinstance(inner, dict):
        raise Invalid(f"{wrapper}: expected an object, got {_kind(inner)}", hint=_TYPES)
    return inner


def convert(value: Json, shape: type[T], path: str) -> T:
    """Return a value as `shape`. Raises `Invalid` with the path of the field."""
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        text = str(error)
        found = _PATH.search(text)
        place = path if found is None else path + found["path"].removeprefix("$")
        said = _PATH.sub("", text).replace("`", "")
        raise Invalid(f"{place}: {said[:1].lower()}{said[1:]}", hint=_TYPES) from None


def _position(said: str, content: bytes) -> str:
    found = _AT.search(said)
    if found is None and "truncated" not in said:
        return said
    before = content if found is None else content[: int(found["byte"])]
    line = before.count(b"\n") + 1
    column = len(before) - (before.rfind(b"\n") + 1) + 1
    return f"{said}, line {line}, column {column}"


def _check_depth(content: bytes, value: Json) -> None:
    """Refuse what is nested too deeply, or holds the character that databases cannot."""
    deep = content.count(b"[") + content.count(b"{") > DEEPEST
    if not deep and b"\\u0000" not in content:
        return
    todo: list[tuple[Any, int]] = [(value, 1)]
    while todo:
        one, depth = todo.pop()
        if depth > DEEPEST:
            raise _too_deep()
        if isinstance(one, str) and "\x00" in one:
            raise Malformed("the body holds a NUL character", hint="Leave out \\u0000.")
        if isinstance(one, dict):
            todo.extend((inner, depth + 1) for pair in one.items() for inner in pair)
        elif isinstance(one, list):
            todo.extend((inner, depth + 1) for inner in one)


def _too_deep() -> Malformed:
    return Malformed(f"the body is nested more than {DEEPEST} levels deep", hint="Flatten it.")


def _kind(value: Json) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"
