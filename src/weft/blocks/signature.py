"""Whether a block's function takes what it will be given, and how it is called.

The rules are those of the compatibility page: one positional argument per upstream
block; keyword arguments all or none, and only for a function that declares
`**kwargs`; a parameter with a default counts like any other.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


class Mismatch(Exception):
    """The function cannot be called with what the block receives."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How many named parameters a function has, and whether it takes any number."""

    named: int
    takes_any: bool
    takes_keywords: bool


def shape(function: Callable[..., Any]) -> Shape | None:
    """Return the shape of a function, or None where Python cannot tell (builtins)."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    kinds = [parameter.kind for parameter in parameters]
    takes_any = inspect.Parameter.VAR_POSITIONAL in kinds
    takes_keywords = inspect.Parameter.VAR_KEYWORD in kinds
    return Shape(len(kinds) - takes_any - takes_keywords, takes_any, takes_keywords)


def validate(
    function: Callable[..., Any], block: str, *, inputs: int, upstream: Sequence[str]
) -> None:
    """Raise `Mismatch` unless the function has room for its inputs, and needs no more."""
    has = shape(function)
    if has is None:
        return
    if has.named > inputs:
        least = "at least " if has.takes_any else ""
        counts = f"expected to have {least}{has.named} arguments, but only received {inputs}"
        if len(upstream) < has.named:
            raise Mismatch(
                f"Block {block} may be missing upstream dependencies. It {counts}. "
                f"{_connected(upstream)}"
            )
        raise Mismatch(f"Block {block} is missing input arguments. It {counts}.")
    if has.named < inputs and not has.takes_any:
        counts = f"It expected to have {has.named} arguments, but received {inputs}"
        if len(upstream) > has.named:
            raise Mismatch(
                f"Block {block} may have too many upstream dependencies. {counts}. "
                f"{_connected(upstream)}"
            )
        raise Mismatch(f"Block {block} has too many input arguments. {counts}.")


def call(
    function: Callable[..., Any], block: str, inputs: Sequence[object], keywords: Mapping[str, Any]
) -> Any:
    """Call a function by the keyword rule. Raises `Mismatch` when it cannot be called so."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return function(*inputs)
    parameters = signature.parameters.values()
    declared = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters)
    given = keywords if declared else {}
    try:
        signature.bind(*inputs, **given)
    except TypeError as error:
        name = getattr(function, "__name__", "its function")
        raise Mismatch(f"Block {block}: {name}{signature} cannot be called: {error}.") from None
    return function(*inputs, **given)


def _connected(upstream: Sequence[str]) -> str:
    if not upstream:
        return "No block is connected upstream of it."
    return f"Connected upstream of it: {', '.join(upstream)}."
