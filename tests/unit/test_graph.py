"""The graph refuses what makes no sense, and says so by name."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.core.errors import BrokenPipeline
from weft.core.graph import Graph
from weft.core.ids import BlockUuid as B


def graph(**upstream: str) -> Graph:
    return Graph.of((B(block), [B(up) for up in ups.split()]) for block, ups in upstream.items())


def test_a_cycle_is_named_in_the_direction_of_the_data() -> None:
    with pytest.raises(BrokenPipeline) as caught:
        graph(load="tidy", clean="load", tidy="clean")
    path = str(caught.value).partition(": ")[2].split(" --> ")
    assert path[0] == path[-1]
    flow = {("load", "clean"), ("clean", "tidy"), ("tidy", "load")}
    assert set(itertools.pairwise(path)) == flow


def test_a_block_that_waits_for_itself_is_a_cycle() -> None:
    with pytest.raises(BrokenPipeline, match="a --> a"):
        graph(a="a")


def test_an_unknown_upstream_is_named_with_a_close_one() -> None:
    with pytest.raises(BrokenPipeline, match="'loda'") as caught:
        graph(load="", tidy="loda")
    assert caught.value.hint is None
    with pytest.raises(BrokenPipeline) as caught:
        graph(load_a="", tidy="load_b")
    assert caught.value.hint == "Did you mean load_a?"


def test_a_name_used_twice_is_refused() -> None:
    with pytest.raises(BrokenPipeline, match="two blocks are named 'a'"):
        Graph.of([(B("a"), []), (B("a"), [])])


def test_neighbours_both_ways() -> None:
    diamond = graph(a="", b="a", c="a", d="b c")
    assert diamond.downstream["a"] == ("b", "c")
    assert diamond.descendants(B("a")) == {"b", "c", "d"}
    assert diamond.ancestors(B("d")) == {"a", "b", "c"}
    assert diamond.descendants(B("d")) == set()


def test_extending_leaves_the_original_alone() -> None:
    small = graph(a="")
    large = small.extended({B("a:0"): (B("a"),)})
    assert set(small.upstream) == {"a"}
    assert large.downstream["a"] == ("a:0",)


@given(st.data(), st.integers(1, 12))
def test_the_order_puts_every_block_after_what_it_waits_for(data: st.DataObject, size: int) -> None:
    ids = [B(f"b{n}") for n in range(size)]
    entries = [
        (b, data.draw(st.lists(st.sampled_from(ids[:n]), unique=True)) if n else [])
        for n, b in enumerate(ids)
    ]
    drawn = Graph.of(data.draw(st.permutations(entries)))
    place = {block: n for n, block in enumerate(drawn.order())}
    assert set(place) == set(ids)
    assert all(place[up] < place[block] for block, ups in entries for up in ups)
    for block in ids:
        assert drawn.descendants(block) == {b for b in ids if block in drawn.ancestors(b)}
