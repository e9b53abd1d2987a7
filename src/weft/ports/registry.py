"""Name to factory, for one kind of plugin; knows nothing of discovery."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

from weft.core.errors import Conflict, NotFound

T = TypeVar("T")


class Registry(Generic[T]):
    """The plugins of one kind, each loaded when it is first asked for."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._loaders: dict[str, Callable[[], T]] = {}
        self._made: dict[str, T] = {}

    def offer(self, name: str, load: Callable[[], T]) -> None:
        """Make a plugin known. Raises `Conflict` for a second one of the same name."""
        if name in self._loaders:
            raise Conflict(f"two plugins offer the {self.kind} {name!r}")
        self._loaders[name] = load

    def get(self, name: str) -> T:
        """Return a plugin, loading it on first use. Raises `NotFound`, naming close names."""
        if name not in self._made:
            if name not in self._loaders:
                close = difflib.get_close_matches(name, self._loaders) or sorted(self._loaders)
                raise NotFound(
                    f"no {self.kind} is named {name!r}", hint=f"There is: {', '.join(close)}."
                )
            self._made[name] = self._loaders[name]()
        return self._made[name]

    def made(self) -> Mapping[str, T]:
        """Return the plugins that were asked for so far."""
        return dict(self._made)

    def __contains__(self, name: str) -> bool:
        return name in self._loaders

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._loaders))
