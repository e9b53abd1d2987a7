"""Whatever a file holds, reading it ends in a value or in one of our errors."""

from __future__ import annotations

import json
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from weft.core.errors import BrokenPipeline
from weft.core.ids import PipelineUuid
from weft.core.retry import RetryPolicy
from weft.core.spec import PipelineSpec
from weft.project.document import Source
from weft.project.reader import read_pipeline
from weft.project.settings import read_settings

VALID = """\
name: orders
type: python
tags: [a, 1]
blocks:
- uuid: load
  type: data_loader
  retry_config: &retry {retries: 2, delay: 1.5}
  timeout: 10
- uuid: tidy
  type: transformer
  upstream_blocks: [load]
  retry_config: *retry
- uuid: copy
  type: transformer
  replicated_block: tidy
  configuration: {file_path: transformers/x.py, file_source: {path: a/b.py}}
callbacks:
- {uuid: tell, type: callback, upstream_blocks: [tidy]}
concurrency_config: {block_run_limit: 2, on_pipeline_run_limit_reached: skip}
variables: {when: 2024-01-01, on: yes, 1: .inf, "é": 12:30}
"""

yamlish = st.lists(
    st.sampled_from(
        [
            *"[]{},:-?&*!|>'\"%@#\n \t0\0\x85\ufeff",
            "- ", ": ", "\n  ", "\n- ", "<<: ", "&a ", "*a", "!!int ", "!!python/name:os ", "...\n",
            "---\n", "blocks", "uuid", "type", "custom", "2024-99-99", "0x", "1_", "9" * 5000, "=",
            '"\\ud800"', '"\\0"',
        ]
    ),
    max_size=40,
).map("".join)  # fmt: skip

anything = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.dates(),
        st.binary(max_size=3),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)  # fmt: skip


def read(text: str) -> PipelineSpec | BrokenPipeline:
    source = Source("pipelines/p/metadata.yaml", text)
    try:
        spec = read_pipeline(source, PipelineUuid("p"), retry=RetryPolicy()).spec
    except BrokenPipeline as error:
        return located(error)
    json.dumps([spec.config, [block.entry for block in spec.blocks]], allow_nan=False).encode()
    spec.graph()
    for block in spec.blocks:
        block.retry.wait(1)
    return spec


def located(error: BrokenPipeline) -> BrokenPipeline:
    assert error.where is not None
    assert error.where.path.endswith("metadata.yaml")
    assert error.where.line is None or error.where.line >= 1
    return error


@given(yamlish)
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_scraps_of_yaml_never_crash_the_reader(text: str) -> None:
    read(text)


@given(st.text())
def test_text_never_crashes_the_reader(text: str) -> None:
    read(text)


@given(st.lists(st.tuples(st.integers(0, len(VALID)), st.integers(0, 12), yamlish), max_size=3))
def test_a_damaged_file_never_crashes_the_reader(cuts: list[tuple[int, int, str]]) -> None:
    text = VALID
    for at, length, put in cuts:
        text = text[:at] + put + text[at + length :]
    read(text)


@given(st.data())
def test_a_value_of_the_wrong_type_is_refused_with_its_line(data: st.DataObject) -> None:
    document = yaml.safe_load(VALID)
    key = data.draw(st.sampled_from([*document, "retry_config", "executor_type", "extensions"]))
    document[key] = data.draw(anything)

    result = read(yaml.safe_dump(document, sort_keys=False))

    if isinstance(result, BrokenPipeline):
        assert result.where is not None
        assert result.where.line is not None


@given(st.data())
def test_a_block_of_wrong_types_never_crashes_the_reader(data: st.DataObject) -> None:
    document = yaml.safe_load(VALID)
    block = document["blocks"][data.draw(st.integers(0, 2))]
    for key in data.draw(st.sets(st.sampled_from([*block, "content", "language", "name"]))):
        block[key] = data.draw(anything)
    read(yaml.safe_dump(document, sort_keys=False))


@given(
    st.dictionaries(
        st.sampled_from(["project_uuid", "variables_dir", "queue_config", "retry_config"]), anything
    )
)
def test_settings_never_crash_the_reader(document: dict[str, Any]) -> None:
    source = Source("metadata.yaml", yaml.safe_dump(document))
    try:
        found = read_settings(source)
    except BrokenPipeline as error:
        located(error)
    else:
        assert found.concurrency >= 1


def test_the_undamaged_file_is_read() -> None:
    spec = read(VALID)

    assert isinstance(spec, PipelineSpec)
    assert spec.variables == {"when": "2024-01-01", "on": True, "1": ".inf", "é": 750}
    assert spec.blocks[1].retry == RetryPolicy(retries=2, delay=1.5)
