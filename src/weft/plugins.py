"""Discovery: entry points into registries, loaded on first use.

Our own plugins are registered in our own pyproject.toml like anybody's; there is
no privileged path. The group of a kind is `weft.<kind>`, e.g. `weft.formats`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from weft.ports.registry import Registry


def discover(kind: str) -> Registry[Any]:
    """Return the plugins of one kind; each entry point names a class without arguments."""
    registry: Registry[Any] = Registry(kind)
    for point in entry_points(group=f"weft.{kind}"):
        registry.offer(point.name, _loader(point))
    return registry


def _loader(point: EntryPoint) -> Callable[[], Any]:
    def load() -> Any:
        return point.load()()

    return load
