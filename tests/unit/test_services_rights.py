"""Every use case asks for its right before it looks at anything."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from typing import Any, cast

import pytest

import weft.services
from weft.core.errors import Denied
from weft.services.caller import LOCAL, NOBODY, Caller, Right, require
from weft.services.context import Context


def use_cases() -> list[Callable[..., Any]]:
    """Return every public function of the services that takes a caller."""
    found: list[Callable[..., Any]] = []
    for info in pkgutil.iter_modules(weft.services.__path__):
        module = importlib.import_module(f"{weft.services.__name__}.{info.name}")
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if name.startswith("_") or function.__module__ != module.__name__:
                continue
            if list(inspect.signature(function).parameters)[:2] == ["context", "caller"]:
                found.append(function)
    return found


USE_CASES = use_cases()
UNTRUSTED = Caller("mallory", frozenset())


class Untouchable:
    """A context that nobody may look into."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"looked at {name!r} before asking for the right")


def test_there_are_use_cases() -> None:
    assert len(USE_CASES) > 20


@pytest.mark.parametrize(
    "use_case", USE_CASES, ids=lambda f: f"{f.__module__.split('.')[-1]}.{f.__name__}"
)
def test_a_use_case_begins_with_its_right(use_case: Callable[..., Any]) -> None:
    context = cast("Context", Untouchable())
    parameters = list(inspect.signature(use_case).parameters.values())[2:]
    given = [None for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    named = {p.name: None for p in parameters if p.kind is p.KEYWORD_ONLY}
    with pytest.raises(Denied) as refused:
        use_case(context, UNTRUSTED, *given, **named)
    assert refused.value.hint


def test_whoever_sits_here_may_do_all_and_nobody_next_to_nothing() -> None:
    for right in Right:
        require(LOCAL, right)
    require(NOBODY, Right.PUBLIC)
    for right in frozenset(Right) - {Right.PUBLIC}:
        with pytest.raises(Denied):
            require(NOBODY, right)
