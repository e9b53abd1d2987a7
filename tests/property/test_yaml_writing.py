"""What we write, every reader of YAML understands alike, and nothing else changes."""

from __future__ import annotations

import difflib
import io
import json
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from weft.core.errors import Invalid
from weft.project import emit
from weft.project.document import Source
from weft.project.writer import edited

TRAPS = [
    "on", "off", "yes", "no", "y", "n", "Yes", "NO", "true", "null", "~", "", " ", "012", "0o17",
    "0x1f", "12:30", "1:2:3", "1e3", "1.", ".5", "1_000", ".inf", ".NaN", "nan", "2024-01-01",
    "2024-01-01 10:00:00", "=", "<<", "- a", "a: b", "a #b", "#", "&a", "*a", "!x", "%x", "@x",
    "`x", "{a}", "[a]", "'", '"', "\\", "a\tb", "a\n", "a\nb", "\na", " a\nb", "a \nb", "a\n\n",
    "a\n\nb\n", "\x85", "a\u2028b", "\ufeff", "\x7f", "é", "日本", "🙂", "---", "...", "---\na",
    "a\r\nb", "{{ env_var('X') }}", "x" * 200, "? a", "|", ">", "a:", "--- a", "\u200b", "\ufffe",
]  # fmt: skip

texts = st.one_of(
    st.sampled_from(TRAPS), st.text(st.characters(codec="utf-8"), max_size=40)
).filter(lambda text: "\0" not in text)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    texts,
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=12,
)
mappings = st.dictionaries(texts, values, min_size=1, max_size=5)


def canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def by_ruamel(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(io.StringIO(text))


@given(mappings)
def test_every_reader_reads_what_was_written(value: dict[str, Any]) -> None:
    text = emit.block(value)

    assert canonical(Source("p.yaml", text).parse()) == canonical(value)
    assert canonical(yaml.safe_load(text)) == canonical(value)
    assert canonical(by_ruamel(text)) == canonical(value)


def test_words_that_only_some_readers_take_for_flags_are_quoted() -> None:
    assert emit.block({"n": "y", "a": "b"}) == "'n': 'y'\na: b\n"


@given(values)
def test_a_value_on_one_line_is_read_alike(value: Any) -> None:
    line = emit.inline(value)

    assert "\n" not in line
    text = f"key: {line}\n"
    assert canonical(Source("p.yaml", text).parse()) == canonical({"key": value})
    assert canonical(by_ruamel(text)) == canonical({"key": value})


FILE = """\
# our nightly job
name: orders daily   # shown to people
uuid: orders_daily
description: a long line that its author has
  folded by hand
created_at: null
tags: [ nightly,  sales ]
run_pipeline_in_one_process: no
executor_type:
blocks:
# first the orders
- uuid: load_orders
  type: data_loader
  configuration: {}
  retry_config:
    retries: 012   # octal

- {uuid: tidy, type: transformer, upstream_blocks: [load_orders]}
- uuid: 'write'
  type: "data_exporter"
  content: |
    # not a comment of YAML

    print('x')
  upstream_blocks:
    - tidy
variables:
  region: eu
  on: yes

  # the end of day
  at: 12:30
widgets: []

# the end
"""
KEYS = [*yaml.safe_load(FILE), "retry_config", "new key"]


@given(st.dictionaries(st.sampled_from([k for k in KEYS if k != "blocks"]), values, min_size=1))
@example({"name": "a\nb"})
@example({"name": ["a"]})
@example({"description": "two\nlines\n"})
@example({"variables": {"region": "us", "on": True, "at": 750}})
@example({"executor_type": "k8s", "widgets": [{"uuid": "chart", "type": "chart"}]})
@example({"variables": {}, "tags": []})
def test_an_edit_changes_only_the_keys_it_names(changes: dict[str, Any]) -> None:
    source = Source("p.yaml", FILE)

    text = edited(source, changes)

    assert canonical(Source("p.yaml", text).parse()) == canonical({**source.parse(), **changes})
    untouched = [
        line for key, lines in sections(FILE).items() if key not in changes for line in lines
    ]
    kept = iter(text.splitlines())
    assert all(line in kept for line in untouched), "a line of another key changed"


def sections(text: str) -> dict[str, list[str]]:
    """The lines of each top-level key, without the comments around it."""
    found: dict[str, list[str]] = {}
    key = ""
    for line in text.splitlines():
        if line[:1].isalpha():
            key = line.partition(":")[0]
        if line.strip() and not line.startswith("#"):
            found.setdefault(key, []).append(line)
    return found


@given(st.data())
def test_a_small_change_touches_one_line(data: st.DataObject) -> None:
    old = Source("p.yaml", FILE).parse()
    place, key = data.draw(st.sampled_from([(0, "type"), (1, "type"), (2, "uuid"), (2, "type")]))
    blocks = json.loads(canonical(old["blocks"]))
    blocks[place][key] = data.draw(texts.filter(lambda text: "\n" not in text))

    text = edited(Source("p.yaml", FILE), {"blocks": blocks})

    changed = [
        d
        for d in difflib.ndiff(FILE.splitlines(keepends=True), text.splitlines(keepends=True))
        if d[0] in "+-"
    ]
    same = canonical(blocks) == canonical(old["blocks"])
    assert len(changed) == (0 if same else 2), changed


@given(st.lists(st.sampled_from(range(5)), unique=True, max_size=5))
def test_blocks_come_and_go_and_the_others_keep_their_lines(order: list[int]) -> None:
    old = Source("p.yaml", FILE).parse()
    new = {"uuid": "check", "type": "custom", "upstream_blocks": ["tidy"]}
    blocks = [[*old["blocks"], new, {"uuid": "on", "type": "sensor"}][place] for place in order]

    text = edited(Source("p.yaml", FILE), {"blocks": blocks})

    assert canonical(Source("p.yaml", text).parse()) == canonical({**old, "blocks": blocks})
    for line in ("# our nightly job", "  # the end of day", "# the end", "  at: 12:30"):
        assert line in text.splitlines()
    if order == sorted(order) and 0 in order:
        assert "    retries: 012   # octal" in text.splitlines()


@given(mappings, mappings)
def test_any_document_of_ours_can_be_edited(
    document: dict[str, Any], changes: dict[str, Any]
) -> None:
    source = Source("p.yaml", emit.block(document))

    text = edited(source, changes)

    assert canonical(Source("p.yaml", text).parse()) == canonical({**document, **changes})
    assert canonical(by_ruamel(text)) == canonical({**document, **changes})


@given(st.sampled_from([float("nan"), float("inf"), "\0", "\ud800", b"x", {1: 2}, object()]))
def test_what_yaml_cannot_hold_is_refused(value: Any) -> None:
    with pytest.raises(Invalid):
        edited(Source("p.yaml", FILE), {"variables": {"x": value}})
