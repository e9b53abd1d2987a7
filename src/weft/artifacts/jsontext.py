"""JSON that gives back what it was given, or refuses.

Only None, bool, int, float, str, list and dict with text keys pass, and no subclass
of them: what passes comes back equal and of the same types. Numbers that JSON does
not know are written as `NaN`, `Infinity` and `-Infinity`, which Python reads back.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator

from weft.core.json import Json
from weft.ports.outputs import CannotKeep

_SCALARS = frozenset({type(None), bool, int, float, str})


def encode(value: object) -> str:
    """Return `value` as text. Raises `CannotKeep`, finally so for circular structures."""
    check(value)
    try:
        return json.dumps(value, separators=(",", ":"), check_circular=False)
    except (ValueError, RecursionError) as error:
        # The one thing left that JSON refuses is an integer beyond Python's own limit.
        raise CannotKeep(f"JSON cannot hold it: {error}") from None


def decode(text: str | bytes) -> Json:
    """Return the value of a text made by `encode`."""
    return json.loads(text)


def check(value: object) -> None:
    """Raise `CannotKeep` unless `encode` would give back exactly `value`."""
    # The path of open containers, as in a depth-first walk, tells a circle from a
    # value that is merely used twice.
    trail: list[tuple[int, Iterator[object]]] = []
    open_ids: set[int] = set()
    if type(value) not in _SCALARS:
        _enter(value, trail, open_ids)
    while trail:
        identity, children = trail[-1]
        child = next((each for each in children if type(each) not in _SCALARS), None)
        if child is not None:
            _enter(child, trail, open_ids)
        else:
            trail.pop()
            open_ids.discard(identity)


def _enter(item: object, trail: list[tuple[int, Iterator[object]]], open_ids: set[int]) -> None:
    """Open a container on the path, unless all that it holds is plain."""
    if type(item) is dict:
        if set(map(type, item)) - {str}:
            raise CannotKeep("JSON has only text as keys")
        children: Collection[object] = item.values()
    elif type(item) is list:
        children = item
    else:
        raise CannotKeep(f"JSON has no {type(item).__name__}")
    if set(map(type, children)) <= _SCALARS:
        return
    if id(item) in open_ids:
        raise CannotKeep("it contains itself", final=True)
    open_ids.add(id(item))
    trail.append((id(item), iter(children)))
