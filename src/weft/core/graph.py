"""The graph of a pipeline's blocks: immutable, checked once, extended by copying."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter

from weft.core.errors import BrokenPipeline
from weft.core.ids import BlockUuid


@dataclass(frozen=True, slots=True)
class Graph:
    """`upstream[b]` lists what `b` waits for, in the order of its arguments."""

    upstream: Mapping[BlockUuid, tuple[BlockUuid, ...]]
    downstream: Mapping[BlockUuid, tuple[BlockUuid, ...]] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        down: dict[BlockUuid, list[BlockUuid]] = {block: [] for block in self.upstream}
        for block, parents in self.upstream.items():
            for parent in dict.fromkeys(parents):
                if parent not in down:
                    raise BrokenPipeline(
                        f"block {block!r} waits for {parent!r}, which the pipeline does not have",
                        hint=_close(parent, self.upstream),
                    )
                down[parent].append(block)
        object.__setattr__(self, "downstream", {b: tuple(c) for b, c in down.items()})
        self._refuse_cycles()

    @classmethod
    def of(cls, entries: Iterable[tuple[BlockUuid, Iterable[BlockUuid]]]) -> Graph:
        """Build a graph from (block, upstreams) pairs in the author's order.

        Raises `BrokenPipeline` for a block named twice, an unknown upstream or a
        cycle; a cycle is named as `a --> b --> a`.
        """
        upstream: dict[BlockUuid, tuple[BlockUuid, ...]] = {}
        for block, parents in entries:
            if block in upstream:
                raise BrokenPipeline(f"two blocks are named {block!r}", hint="Rename one of them.")
            upstream[block] = tuple(parents)
        return cls(upstream)

    def extended(self, entries: Mapping[BlockUuid, tuple[BlockUuid, ...]]) -> Graph:
        """Return a graph in which `entries` are added or replaced."""
        return Graph({**self.upstream, **entries})

    def descendants(self, of: BlockUuid) -> frozenset[BlockUuid]:
        """Return every block that waits for `of`, directly or not."""
        seen: set[BlockUuid] = set()
        todo = [of]
        while todo:
            fresh = [b for b in self.downstream[todo.pop()] if b not in seen]
            seen.update(fresh)
            todo.extend(fresh)
        return frozenset(seen)

    def ancestors(self, of: BlockUuid) -> frozenset[BlockUuid]:
        """Return every block that `of` waits for, directly or not."""
        seen: set[BlockUuid] = set()
        todo = [of]
        while todo:
            fresh = [b for b in self.upstream[todo.pop()] if b not in seen]
            seen.update(fresh)
            todo.extend(fresh)
        return frozenset(seen)

    def order(self) -> tuple[BlockUuid, ...]:
        """Return the blocks so that each comes after all that it waits for."""
        return tuple(TopologicalSorter(self.upstream).static_order())

    def _refuse_cycles(self) -> None:
        try:
            TopologicalSorter(self.upstream).prepare()
        except CycleError as error:
            cycle = " --> ".join(error.args[1])
            raise BrokenPipeline(
                f"the blocks wait for each other: {cycle}",
                hint="Remove one of these connections.",
            ) from None


def _close(name: str, known: Iterable[str]) -> str | None:
    """Name the known blocks that begin alike: typing errors are mostly late ones."""
    alike = [other for other in known if other[:3] == name[:3]]
    return f"Did you mean {', '.join(sorted(alike))}?" if alike else None
