"""Edits of files in unusual shapes: done with the comments kept, or refused."""

from __future__ import annotations

from typing import Any

import pytest

from weft.core.errors import Invalid
from weft.project.document import Source
from weft.project.writer import edited


def edit(text: str, changes: dict[str, Any]) -> str:
    return edited(Source("p.yaml", text), changes)


def test_a_document_in_braces_is_written_anew() -> None:
    text = edit("{name: a, blocks: []}  # mine\n", {"name": "on", "tags": ["b"]})

    assert Source("p.yaml", text).parse() == {"name": "on", "blocks": [], "tags": ["b"]}
    assert "# mine" in text


def test_values_around_an_anchor_can_change() -> None:
    text = "retry_config: &retry {retries: 1}  # for all\nname: a\nblocks: []\nother: *retry\n"

    assert edit(text, {"name": "b"}) == text.replace("name: a", "name: b")


def test_changing_one_use_of_an_anchor_leaves_the_others() -> None:
    text = "one: &shared {retries: 1}  # mine\ntwo: *shared\n"

    changed = edit(text, {"two": {"retries": 2}})

    assert Source("p.yaml", changed).parse() == {"one": {"retries": 1}, "two": {"retries": 2}}
    assert "# mine" in changed


def test_what_cannot_be_changed_without_loss_is_refused() -> None:
    text = "a: 1\na: 2\nname: x\n"

    with pytest.raises(Invalid, match="cannot be changed") as caught:
        edit(text, {"name": "y"})
    assert caught.value.hint


def test_line_ends_of_windows_stay() -> None:
    text = "name: a\r\nblocks: []\r\n"

    assert edit(text, {"blocks": [{"uuid": "x"}], "tags": ["z"]}) == (
        "name: a\r\nblocks:\r\n- uuid: x\r\ntags:\r\n- z\r\n"
    )


def test_a_file_without_a_last_line_end_can_grow() -> None:
    assert edit("name: a", {"tags": ["z"]}) == "name: a\ntags:\n- z\n"


def test_a_changed_item_of_blocks_keeps_its_comments() -> None:
    text = """\
blocks:
- uuid: load  # the loader
  type: data_loader
  # why three
  retry_config: {retries: 3}
- uuid: tidy
  type: transformer
"""
    blocks = Source("p.yaml", text).parse()["blocks"]
    blocks[0]["retry_config"]["retries"] = 4
    blocks[1]["upstream_blocks"] = ["load"]

    assert edit(text, {"blocks": blocks}) == (
        text.replace("retries: 3", "retries: 4") + "  upstream_blocks:\n  - load\n"
    )
