"""A pipeline's file becomes a spec, or an error with file, line and column."""

from __future__ import annotations

import textwrap

import pytest

from weft.core.errors import BrokenPipeline
from weft.core.ids import BlockUuid, PipelineUuid
from weft.core.retry import RetryPolicy
from weft.core.spec import Limits
from weft.project.document import MAX_DEPTH, Source
from weft.project.reader import Draft, block_path, read_pipeline

PATH = "pipelines/p/metadata.yaml"


def read(text: str, retry: RetryPolicy = RetryPolicy()) -> tuple[Draft, list[str]]:
    source = Source(PATH, textwrap.dedent(text))
    return read_pipeline(source, PipelineUuid("p"), retry=retry), source.notes


def refused(text: str) -> tuple[str, str]:
    """The place as `line:column`, and the message."""
    with pytest.raises(BrokenPipeline) as caught:
        read(text)
    where = caught.value.where
    assert where is not None
    assert where.path == PATH
    return f"{where.line}:{where.column}", caught.value.message


def test_the_folder_is_the_identity_and_the_rest_is_as_written() -> None:
    draft, notes = read("""\
        name: Orders daily
        uuid: something_else
        type: pyspark
        description: 12
        tags: [nightly, 2024]
        executor_type: k8s
        variables: {region: eu, sizes: [1, 2.5], on: true}
        its_own: {key: [kept]}
        blocks: null
        """)

    spec = draft.spec
    assert (spec.uuid, spec.name, spec.type, spec.description) == (
        "p",
        "Orders daily",
        "pyspark",
        "12",
    )
    assert spec.tags == ("nightly", "2024")
    assert spec.executor_type == "k8s"
    assert spec.variables == {"region": "eu", "sizes": [1, 2.5], "on": True}
    assert spec.config["its_own"] == {"key": ["kept"]}
    assert "blocks" not in spec.config
    assert spec.blocks == ()
    assert notes == []


def test_a_block_has_its_settings_and_keeps_unknown_keys() -> None:
    draft, notes = read("""\
        blocks:
        - uuid: folder/load
          name: Load
          type: data_loader
          language: sql
          timeout: 1.5
          color: teal
          configuration: {dynamic: true}
          executor_type: ecs
          executor_config: {cpu: 2}
          its_own: 1
        - {uuid: note, type: markdown, language: markdown}
        """)

    block = draft.spec.blocks[0]
    assert (block.uuid, block.name, block.type, block.language) == (
        "folder/load",
        "Load",
        "data_loader",
        "sql",
    )
    assert block.timeout == 1.5
    assert block.configuration == {"dynamic": True}
    assert (block.executor_type, block.executor_config) == ("ecs", {"cpu": 2})
    assert block.entry["its_own"] == 1
    assert block_path(block) == "data_loaders/folder/load.sql"
    assert draft.spec.blocks[1].runs is False
    assert notes == []


@pytest.mark.parametrize(
    ("pipeline", "block", "expected"),
    [
        ("null", "null", "local_python"),
        ("k8s", "null", "k8s"),
        ("k8s", "local_python", "k8s"),
        ("k8s", "local_python_force", "local_python_force"),
        ("k8s", "ecs", "ecs"),
    ],
)
def test_the_executor_of_a_block(pipeline: str, block: str, expected: str) -> None:
    draft, _ = read(f"""\
        executor_type: {pipeline}
        blocks: [{{uuid: a, type: custom, executor_type: {block}}}]
        """)

    assert draft.spec.blocks[0].executor_type == expected


def test_retry_is_merged_key_by_key_from_project_over_pipeline_to_block() -> None:
    draft, notes = read(
        """\
        retry_config: {delay: 7, exponential_backoff: false}
        blocks:
        - uuid: a
          type: custom
          retry_config: {retries: 2, delay: null, jitter: 3}
        - {uuid: b, type: custom}
        """,
        RetryPolicy(retries=1, delay=5, max_delay=30),
    )

    first, second = draft.spec.blocks
    assert first.retry == RetryPolicy(2, 7, 30, exponential_backoff=False)
    assert second.retry == RetryPolicy(1, 7, 30, exponential_backoff=False)
    assert notes == [f"{PATH}:5:51: unknown key 'jitter' is ignored"]


def test_times_beyond_a_year_and_absurd_counts_are_cut_with_a_note() -> None:
    draft, notes = read("""\
        retry_config: {retries: 10000000000, max_delay: 1.0e+300}
        blocks: [{uuid: a, type: custom}]
        """)

    assert draft.spec.blocks[0].retry.wait(1000) is not None
    assert [note.split(": ", 1)[1] for note in notes] == [
        "retries is cut to 1000000",
        "max_delay is cut to 31622400",
    ]


def test_limits_are_read_and_unknown_ones_noted() -> None:
    draft, notes = read("""\
        concurrency_config:
          block_run_limit: 2
          pipeline_run_limit: 1
          on_pipeline_run_limit_reached: skip
          moon_phase: full
        """)

    assert draft.spec.limits == Limits(
        block_run_limit=2, pipeline_run_limit=1, on_pipeline_run_limit_reached="skip"
    )
    assert notes == [f"{PATH}:5:15: unknown key 'moon_phase' is ignored"]


def test_upstream_keeps_its_order_and_drops_the_unknown_with_a_note() -> None:
    draft, notes = read("""\
        blocks:
        - {uuid: a, type: custom, downstream_blocks: [nonsense]}
        - {uuid: b, type: custom}
        - uuid: c
          type: custom
          upstream_blocks: [b, ghost, a]
        """)

    assert draft.spec.blocks[2].upstream == ("b", "a")
    assert draft.spec.graph().downstream[BlockUuid("a")] == ("c",)
    assert notes == [f"{PATH}:6:24: unknown upstream block 'ghost' is ignored"]


def test_where_the_code_of_a_block_is() -> None:
    draft, notes = read("""\
        blocks:
        - {uuid: plain, type: transformer}
        - {uuid: own, type: custom, language: r}
        - {uuid: model, type: dbt, language: sql, configuration: {file_path: dbt/m.sql}}
        - uuid: both
          type: custom
          configuration: {file_path: a.py, file_source: {path: b/c.py}}
        - {uuid: inline, type: custom, content: "x = 1"}
        - {uuid: copy, type: transformer, replicated_block: own}
        - {uuid: lost, type: transformer, replicated_block: ghost}
        - {uuid: product, type: global_data_product}
        """)

    code = {uuid: (its.inline, its.path) for uuid, its in draft.code.items()}
    assert code == {
        "plain": (None, "transformers/plain.py"),
        "own": (None, "custom/own.r"),
        "model": (None, "dbt/m.sql"),
        "both": (None, "b/c.py"),
        "inline": ("x = 1", None),
        "copy": (None, "custom/own.r"),
        "lost": (None, None),
        "product": (None, None),
    }
    assert draft.code[draft.spec.blocks[5].uuid].language == "r"
    assert len(notes) == 1
    assert "replicates 'ghost'" in notes[0]


def test_blocks_that_replicate_each_other_have_no_code() -> None:
    draft, notes = read("""\
        blocks:
        - {uuid: a, type: custom, replicated_block: b}
        - {uuid: b, type: custom, replicated_block: a}
        """)

    assert all(code.path is None for code in draft.code.values())
    assert len(notes) == 2


def test_a_cycle_is_named_and_located() -> None:
    place, message = refused("""\
        blocks:
        - {uuid: start, type: custom}
        - {uuid: a, type: custom, upstream_blocks: [start, b]}
        - {uuid: b, type: custom, upstream_blocks: [a]}
        """)

    assert place == "3:27"
    assert "a --> b --> a" in message or "b --> a --> b" in message


@pytest.mark.parametrize("group", ["blocks", "callbacks", "conditionals", "widgets"])
def test_a_uuid_may_be_used_once_over_all_kinds_of_blocks(group: str) -> None:
    first = "blocks:\n- {uuid: a, type: custom}\n"
    second = "- {uuid: a, type: custom}\n"
    text = first + (second if group == "blocks" else f"{group}:\n{second}")

    place, message = refused(text)

    assert place.endswith(":10")
    assert "two blocks are named 'a'; the other is in line 2" in message


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("", "None:None", "the file is empty"),
        ("# only a comment\n", "None:None", "the file is empty"),
        ("[1, 2]", "1:1", "must hold a mapping"),
        ("blocks: 5", "1:9", "blocks must be a list, not 5"),
        ("blocks: {a: 1}", "1:1", "blocks must be a list"),
        ("blocks: [a]", "1:10", "item 1 of blocks must be a mapping, not 'a'"),
        ("blocks:\n- type: custom", "2:3", "a block needs a uuid"),
        ("blocks:\n- {uuid: '', type: custom}", "2:10", "a block needs a uuid"),
        ("blocks:\n- {uuid: 7, type: custom}", "2:10", "uuid must be text, not 7"),
        ("blocks:\n- {uuid: ../x, type: custom}", "2:10", "without empty parts"),
        ("blocks:\n- {uuid: /etc/x, type: custom}", "2:10", "without empty parts"),
        ('blocks:\n- {uuid: "a\\nb", type: custom}', "2:10", "cannot be printed"),
        (f"blocks:\n- {{uuid: {'é' * 101}, type: custom}}", "2:10", "longer than 200 bytes"),
        ("blocks:\n- uuid: a", "2:3", "block 'a' needs a type"),
        ("blocks:\n- {uuid: a, type: trafo}", "2:19", "unknown type 'trafo'"),
        ("blocks:\n- {uuid: a, type: [custom]}", "2:13", "type must be text"),
        ("blocks:\n- {uuid: a, type: custom, language: cobol}", "2:37", "unknown language"),
        ("blocks:\n- {uuid: a, type: custom, upstream_blocks: b}", "2:44", "a list of names"),
        ("blocks:\n- {uuid: a, type: custom, upstream_blocks: [1]}", "2:45", "must be text"),
        ("blocks:\n- {uuid: a, type: custom, timeout: soon}", "2:36", "number of seconds"),
        ("blocks:\n- {uuid: a, type: custom, timeout: -1}", "2:36", "number of seconds"),
        ("blocks:\n- {uuid: a, type: custom, timeout: true}", "2:36", "number of seconds"),
        ("blocks:\n- {uuid: a, type: custom, configuration: x}", "2:42", "must be a mapping"),
        ("blocks:\n- {uuid: a, type: custom, retry_config: [1]}", "2:27", "must be a mapping"),
        ("retry_config: {retries: two}\n", "1:25", "retries must be a whole number from 0"),
        ("retry_config: {retries: true}\n", "1:25", "retries must be a whole number from 0"),
        ("retry_config: {exponential_backoff: 1}\n", "1:37", "true or false"),
        ("concurrency_config: {pipeline_run_limit: x}", "1:42", "a whole number from 0"),
        ("concurrency_config:\n  on_pipeline_run_limit_reached: explode", "2:34", "unknown"),
        ("callbacks: 5", "1:12", "callbacks must be a list"),
        ("extensions: 5", "1:13", "extensions must be a mapping"),
        ("type: cobol", "1:7", "unknown type 'cobol'"),
        ("variables: 5", "1:12", "variables must be a mapping"),
        ("tags: [[a]]", "1:8", "item 1 of tags must be text"),
        ("name: [a]", "1:1", "name must be text"),
    ],
)
def test_a_wrong_value_is_refused_in_its_place(text: str, place: str, message: str) -> None:
    found, said = refused(text)

    assert message in said
    if place != "None:None":
        assert found == place


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a: [1\nb: 2", "2:2"),
        ("a:\n\t- b", "2:1"),
        ("a: 'open", "1:9"),
        ("a: *ghost", "1:4"),
        ("a: &a [*a]", "1:8"),
        ("x: !!python/object:os.system {}", "1:4"),
        ("x: !custom y", "1:4"),
        ("a: 1\n---\nb: 2", "2:1"),
        ("x: !!int twelve", "1:4"),
        ("x: {{ env_var('X') }}", "1:5"),
        ('x: "\\0"', "1:4"),
        ("a: 1\nb: \x01", "2:None"),
        ("a: [\nb", "2:None"),
        ("a: [", "1:None"),
        ("[" * 100_000, f"1:{MAX_DEPTH + 1}"),
    ],
)
def test_what_is_not_plain_yaml_is_refused_in_its_place(text: str, place: str) -> None:
    found, _ = refused(text)

    assert found == place


def test_a_document_that_swells_by_aliases_is_refused_at_once() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 30)]

    _, message = refused("\n".join(lines))

    assert "values" in message


def test_honest_aliases_and_merges_are_read() -> None:
    draft, _ = read("""\
        defaults: &defaults {type: custom, retry_config: {retries: 3}}
        blocks:
        - {<<: *defaults, uuid: a}
        - {<<: *defaults, uuid: b, upstream_blocks: [a]}
        """)

    assert [block.retry.retries for block in draft.spec.blocks] == [3, 3]


def test_what_json_cannot_say_stays_text_with_a_note() -> None:
    draft, notes = read("""\
        variables:
          day: 2024-03-01
          never: .inf
          account: 123456789012345678901234567890
          1: one
        """)

    assert draft.spec.variables == {
        "day": "2024-03-01",
        "never": ".inf",
        "account": "123456789012345678901234567890",
        "1": "one",
    }
    assert notes[0] == f"{PATH}:2:8: '2024-03-01' is passed on as text"
    assert len(notes) == 3


def test_of_a_key_given_twice_the_last_counts_with_a_note() -> None:
    draft, notes = read("name: a\nname: b\n")

    assert draft.spec.name == "b"
    assert notes == [f"{PATH}:2:1: 'name' is given twice; the last counts"]
