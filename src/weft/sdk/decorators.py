"""Decorators that mark a function as a block and change nothing else.

During a run a block's own text finds its decorator already in its namespace; these
are for files that import it, for editors and for tests. Each may be used bare
(`@data_loader`) or called (`@data_loader()`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F")

MARK = "__weft_block__"
"""Attribute that says with which decorators a function was marked: a tuple of names."""


def _marker(name: str) -> Callable[..., Any]:
    def mark(*args: Any, **_: Any) -> Any:
        if len(args) != 1 or not callable(args[0]):
            return mark
        # Builtins and slotted callables take no attribute; they stay unmarked.
        with contextlib.suppress(AttributeError, TypeError):
            setattr(args[0], MARK, (*getattr(args[0], MARK, ()), name))
        return args[0]

    mark.__name__ = mark.__qualname__ = name
    mark.__doc__ = f"Mark a function as `{name}`; return it unchanged."
    return mark


def marks(candidate: object) -> tuple[str, ...]:
    """Return the names of the decorators with which a function was marked."""
    found = getattr(candidate, MARK, ())
    return found if isinstance(found, tuple) else ()


def collect_decorated_objs(into: list[Any]) -> Callable[[F], F]:
    """Return a decorator that appends what it decorates to `into`."""

    def collect(decorated: F) -> F:
        into.append(decorated)
        return decorated

    return collect


callback = _marker("callback")
columns = _marker("columns")
condition = _marker("condition")
configuration = _marker("configuration")
custom = _marker("custom")
data_exporter = _marker("data_exporter")
data_integration_catalog = _marker("data_integration_catalog")
data_integration_config = _marker("data_integration_config")
data_integration_destination = _marker("data_integration_destination")
data_integration_query = _marker("data_integration_query")
data_integration_selected_streams = _marker("data_integration_selected_streams")
data_integration_source = _marker("data_integration_source")
data_loader = _marker("data_loader")
data_source = _marker("data_source")
extension = _marker("extension")
on_failure = _marker("on_failure")
on_success = _marker("on_success")
preprocesser = _marker("preprocesser")
preprocesser_functions = _marker("preprocesser_functions")
render = _marker("render")
sensor = _marker("sensor")
streaming_sink = _marker("streaming_sink")
streaming_source = _marker("streaming_source")
test = _marker("test")
transformer = _marker("transformer")
x = _marker("x")
xy = _marker("xy")
y = _marker("y")
