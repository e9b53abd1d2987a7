"""What every implementation of `ProjectFiles` promises.

Each promise is checked twice: by one instance that remembers what it has read, and
by a new instance for every call, which cannot remember anything.
"""

from __future__ import annotations

import hashlib
import os
import stat
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.projects import write_pipeline, write_project

from weft.core.errors import BrokenPipeline, Conflict, Denied, Invalid, NotFound, StaleFile
from weft.core.ids import PipelineUuid
from weft.core.retry import RetryPolicy
from weft.core.spec import LoadedPipeline
from weft.ports.project import ProjectFiles, Quarantined
from weft.project.files import ProjectFolder

Open = Callable[[], ProjectFiles]

SUMS = PipelineUuid("sums")
BLOCKS = {
    "one": "return 1",
    "two": {"upstream": ["one"], "code": "return args[0] + 1"},
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_project(tmp_path / "demo", {"sums": {"blocks": BLOCKS}})


@pytest.fixture(params=["one instance", "a new instance each time"])
def files(root: Path, request: pytest.FixtureRequest) -> Open:
    if request.param == "one instance":
        kept = ProjectFolder(root, environment={"PLACE": "/data"}, clock=Noon())
        return lambda: kept
    return lambda: ProjectFolder(root, environment={"PLACE": "/data"}, clock=Noon())


class Noon:
    def now(self) -> datetime:
        return datetime(2026, 3, 1, 12, tzinfo=UTC)

    def monotonic(self) -> float:
        return 0.0


def metadata(root: Path, name: str = "sums") -> Path:
    return root / "pipelines" / name / "metadata.yaml"


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_pipeline_comes_with_its_code(root: Path, files: Open) -> None:
    loaded = files().load(SUMS)

    one, two = loaded.spec.blocks
    text = (root / "transformers" / "two.py").read_text()
    assert (one.path, two.path) == ("data_loaders/one.py", "transformers/two.py")
    assert two.code_hash == sha(text)
    assert loaded.code[two.code_hash] == text
    assert loaded.etag == sha(metadata(root).read_text())
    assert loaded.updated_at == metadata(root).stat().st_mtime_ns / 1e9
    assert loaded.notes == ()


def test_a_changed_block_is_seen_at_once(root: Path, files: Open) -> None:
    path = root / "data_loaders" / "one.py"
    texts = [f"x = {number}\n" for number in range(10)]
    tick = time.time_ns() + 60_000_000_000
    seen = []
    for text in texts:
        path.write_text(text)  # in place and of equal size
        os.utime(path, ns=(tick, tick))  # as if within one tick of the disk's clock
        loaded = files().load(SUMS)
        seen.append(loaded.code[loaded.spec.blocks[0].code_hash])

    assert seen == texts


def test_what_did_not_change_is_not_read_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in root.rglob("*"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    kept = ProjectFolder(root)
    first = kept.scan()
    opened: list[str] = []
    monkeypatch.setattr(os, "open", lambda *args: opened.append(args[0]))

    assert kept.scan() == first
    assert kept.load(SUMS) is first[0]
    assert opened == []


def test_a_changed_project_setting_reaches_the_pipelines(root: Path, files: Open) -> None:
    assert files().load(SUMS).spec.blocks[0].retry == RetryPolicy()

    (root / "metadata.yaml").write_text("retry_config: {retries: 3}\n")

    assert files().load(SUMS).spec.blocks[0].retry.retries == 3


def test_a_missing_block_file_is_a_note_until_it_appears(root: Path, files: Open) -> None:
    path = root / "transformers" / "two.py"
    text = path.read_text()
    path.unlink()

    loaded = files().load(SUMS)
    block = loaded.spec.blocks[1]
    assert (block.path, block.code_hash) == ("transformers/two.py", "")
    assert block.code_hash not in loaded.code
    assert len(loaded.notes) == 1
    assert "transformers/two.py does not exist" in loaded.notes[0]

    path.write_text(text)
    assert files().load(SUMS).spec.blocks[1].code_hash == sha(text)


def test_inline_and_replicated_code(root: Path, files: Open) -> None:
    blocks = {
        "own": {"type": "custom", "code": "SELECT 1", "language": "sql"},
        "copy": {"type": "custom", "replicated_block": "own"},
        "inline": {"type": "custom", "content": "x = 1"},
    }
    write_pipeline(root, "kinds", {"blocks": blocks})

    loaded = files().load(PipelineUuid("kinds"))

    own, copy, inline = loaded.spec.blocks
    assert loaded.code[copy.code_hash] == loaded.code[own.code_hash] == "SELECT 1"
    assert (copy.path, copy.language) == (own.path, "sql") == ("custom/own.sql", "sql")
    assert (inline.path, loaded.code[inline.code_hash]) == ("", "x = 1")


def test_paths_of_a_platform_begin_with_the_project(root: Path, files: Open) -> None:
    (root / "dbt").mkdir()
    (root / "dbt" / "model.sql").write_text("select 1")
    source = {"file_source": {"path": "demo/dbt/model.sql"}}
    write_pipeline(
        root,
        "models",
        {"blocks": {"m": {"type": "dbt", "language": "sql", "configuration": source}}},
    )

    loaded = files().load(PipelineUuid("models"))

    assert loaded.spec.blocks[0].path == "dbt/model.sql"
    assert loaded.notes == ()


@pytest.mark.parametrize("path", ["../secret.py", "/etc/hostname", "linked/secret.py", "link.py"])
def test_a_block_cannot_lie_outside_the_project(root: Path, files: Open, path: str) -> None:
    outside = root.parent / "secret.py"
    outside.write_text("secret")
    (root / "linked").symlink_to(root.parent)
    (root / "link.py").symlink_to(outside)
    file = write_pipeline(
        root, "spy", {"blocks": {"a": {"type": "custom", "configuration": {"file_path": path}}}}
    )

    with pytest.raises(BrokenPipeline, match="outside the project") as caught:
        files().load(PipelineUuid("spy"))
    assert caught.value.where is not None
    assert caught.value.where.path == str(file.relative_to(root))
    assert caught.value.where.line is not None


def test_links_inside_the_project_are_followed(root: Path, files: Open) -> None:
    (root / "data_loaders" / "other.py").symlink_to(root / "data_loaders" / "one.py")
    write_pipeline(root, "linked", {"blocks": {"other": {"type": "data_loader"}}})

    loaded = files().load(PipelineUuid("linked"))

    assert loaded.spec.blocks[0].code_hash == files().load(SUMS).spec.blocks[0].code_hash


@pytest.mark.parametrize("kind", ["folder", "pipe", "latin-1", "huge"])
def test_a_block_file_that_is_no_text_breaks_its_pipeline_only(
    root: Path, files: Open, kind: str
) -> None:
    write_pipeline(root, "odd", {"blocks": {"odd": {"type": "custom"}}})
    path = root / "custom" / "odd.py"
    path.parent.mkdir(exist_ok=True)
    match kind:
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "latin-1":
            path.write_bytes(b"# one\n# caf\xe9\n")
        case _:
            with path.open("wb") as file:
                file.truncate(2**33)

    found = files().scan()

    assert [type(item) for item in found] == [Quarantined, LoadedPipeline]
    assert isinstance(found[0], Quarantined)
    assert found[0].error.where is not None
    assert found[0].error.where.path == "custom/odd.py"
    assert found[0].error.where.line == (2 if kind == "latin-1" else None)


def test_a_byte_order_mark_is_no_part_of_the_code(root: Path, files: Open) -> None:
    (root / "data_loaders" / "one.py").write_bytes(b"\xef\xbb\xbfx = 1\n")

    loaded = files().load(SUMS)

    assert loaded.code[loaded.spec.blocks[0].code_hash] == "x = 1\n"


def test_broken_pipelines_are_quarantined_and_the_others_go_on(root: Path, files: Open) -> None:
    for name, text in {"a": "blocks: 5", "b": "\xff", "z": "", "nul": "\0"}.items():
        metadata(root, name).parent.mkdir()
        metadata(root, name).write_bytes(text.encode("latin-1"))
    (root / "pipelines" / "no_metadata").mkdir()
    (root / "pipelines" / "file").touch()

    found = files().scan()

    assert files().names() == ["a", "b", "nul", "sums", "z"]
    assert [item.uuid for item in found if isinstance(item, Quarantined)] == ["a", "b", "nul", "z"]
    assert [item.spec.uuid for item in found if isinstance(item, LoadedPipeline)] == ["sums"]


def test_a_pipeline_is_mended_by_mending_its_file(root: Path, files: Open) -> None:
    good = metadata(root).read_text()
    metadata(root).write_text("blocks: 5")
    with pytest.raises(BrokenPipeline):
        files().load(SUMS)

    metadata(root).write_text(good)

    assert len(files().load(SUMS).spec.blocks) == 2


@pytest.mark.parametrize("name", ["sum", "", ".", "..", "../demo", "a/b", "x\0y", "é" * 300])
def test_an_unknown_pipeline_is_not_found(files: Open, name: str) -> None:
    with pytest.raises(NotFound) as caught:
        files().load(PipelineUuid(name))
    assert caught.value.hint
    if name == "sum":
        assert "sums" in caught.value.hint


def test_a_removed_pipeline_is_not_found(root: Path, files: Open) -> None:
    files().load(SUMS)
    metadata(root).unlink()

    with pytest.raises(NotFound):
        files().load(SUMS)
    assert files().scan() == []


def test_settings_of_the_project(root: Path, files: Open) -> None:
    (root / "metadata.yaml").write_text(
        "project_uuid: ' abc '\n"
        "variables_dir: {{ env_var('PLACE') }}/mage\n"
        "remote_variables_dir: s3://bucket/path_prefix\n"
        "queue_config: {concurrency: 3}\n"
        "retry_config: {retries: 1}\n"
        "notification_config: {url: \"{{ mage_secret_var('x') }}\"}\n"
    )

    settings = files().settings()

    assert settings.uuid == "abc"
    assert settings.variables_dir == "/data/mage"
    assert settings.remote_variables_dir is None
    assert settings.concurrency == 3
    assert settings.retry.retries == 1
    assert settings.config["notification_config"] == {"url": "{{ mage_secret_var('x') }}"}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("queue_config:\n  concurrency: many", 2),
        ("queue_config: {concurrency: 0}", 1),
        ("a: [", 1),
        ("[]", 1),
        ("\nvariables_dir: \"{{ json_value('x', 'y') }}\"", 2),
    ],
)
def test_settings_that_make_no_sense_are_invalid_in_their_line(
    root: Path, files: Open, text: str, line: int
) -> None:
    (root / "metadata.yaml").write_text(text)

    with pytest.raises(Invalid) as caught:
        files().settings()
    assert caught.value.where is not None
    assert (caught.value.where.path, caught.value.where.line) == ("metadata.yaml", line)


def test_broken_settings_leave_the_pipelines_readable(root: Path, files: Open) -> None:
    (root / "metadata.yaml").write_text("retry_config: 5")

    loaded = files().load(SUMS)

    assert len(loaded.spec.blocks) == 2
    assert "metadata.yaml:1:15" in loaded.notes[0]


def test_a_folder_without_metadata_is_no_project(tmp_path: Path) -> None:
    empty = ProjectFolder(tmp_path / "nowhere")

    with pytest.raises(Invalid, match="not a project") as caught:
        empty.settings()
    assert "weft init" in (caught.value.hint or "")
    assert list(empty.names()) == []


def test_a_new_pipeline_is_empty_and_has_its_files(root: Path, files: Open) -> None:
    uuid = files().create("Test: on", pipeline_type="streaming", description="yes")

    assert uuid == "test__on"
    folder = root / "pipelines" / uuid
    assert sorted(path.name for path in folder.iterdir()) == ["__init__.py", "metadata.yaml"]
    spec = files().load(uuid).spec
    assert (spec.name, spec.type, spec.description, spec.blocks) == (
        "Test: on",
        "streaming",
        "yes",
        (),
    )
    assert spec.config["created_at"] == "2026-03-01 12:00:00.000000+00:00"
    assert uuid in files().names()


def test_a_name_is_taken_once(root: Path, files: Open) -> None:
    before = metadata(root).read_text()

    with pytest.raises(Conflict, match="already exists"):
        files().create("SUMS")
    assert metadata(root).read_text() == before


@pytest.mark.parametrize("name", ["", "  ", "$", "x" * 201, "../.."])
def test_a_name_must_say_something(files: Open, name: str) -> None:
    with pytest.raises(Invalid):
        files().create(name)
    assert files().names() == ["sums"]


def test_a_pipeline_type_must_be_known(files: Open) -> None:
    with pytest.raises(Invalid, match="cobol"):
        files().create("new", pipeline_type="cobol")


def test_an_edit_sets_keys_and_keeps_all_else(root: Path, files: Open) -> None:
    path = metadata(root)
    path.write_text("# mine\n" + path.read_text().replace("type: python", "type: python  # why"))
    path.chmod(0o640)
    before = path.read_text()
    etag = files().load(SUMS).etag

    new = files().edit(SUMS, {"description": "on", "type": "pyspark"}, etag=etag)

    expected = before.replace("type: python  #", "type: pyspark  #") + "description: 'on'\n"
    assert path.read_text() == expected
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    loaded = files().load(SUMS)
    assert (loaded.etag, loaded.spec.description) == (new, "on")
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["__init__.py", "metadata.yaml"]


def test_a_newer_file_is_not_overwritten(root: Path, files: Open) -> None:
    etag = files().load(SUMS).etag
    metadata(root).write_text(metadata(root).read_text() + "tags: [theirs]\n")

    with pytest.raises(StaleFile) as caught:
        files().edit(SUMS, {"tags": ["ours"]}, etag=etag)
    assert caught.value.hint
    assert files().load(SUMS).spec.tags == ("theirs",)


@pytest.mark.parametrize(
    "changes",
    [
        {"blocks": 5},
        {"blocks": [{"uuid": "a", "type": "custom", "upstream_blocks": ["a"]}]},
        {"type": "cobol"},
        {"variables": {"x": float("nan")}},
    ],
)
def test_an_edit_that_would_break_the_pipeline_is_refused(
    root: Path, files: Open, changes: dict[str, object]
) -> None:
    before = metadata(root).read_text()

    with pytest.raises(Invalid):
        files().edit(SUMS, changes, etag=None)
    assert metadata(root).read_text() == before


def test_an_empty_file_is_not_edited(root: Path, files: Open) -> None:
    metadata(root).write_text("")

    with pytest.raises(BrokenPipeline):
        files().edit(SUMS, {"name": "x"}, etag=None)
    assert metadata(root).read_text() == ""


def test_an_edit_of_nothing_is_not_found(files: Open) -> None:
    with pytest.raises(NotFound):
        files().edit(PipelineUuid("ghost"), {"name": "x"}, etag=None)


def test_of_many_editors_with_one_etag_one_wins(files: Open) -> None:
    etag = files().load(SUMS).etag
    start = threading.Barrier(8)

    def edit(number: int) -> str | None:
        start.wait()
        try:
            return files().edit(SUMS, {"description": f"by {number}"}, etag=etag)
        except StaleFile:
            return None

    with ThreadPoolExecutor(8) as pool:
        etags = [made for made in pool.map(edit, range(8)) if made]

    assert etags == [files().load(SUMS).etag]


def test_a_block_is_replaced_by_its_etag(root: Path, files: Open) -> None:
    block = files().load(SUMS).spec.blocks[0]

    etag = files().write_block(block.path, "x = 'é'\n", etag=block.code_hash)

    assert (root / block.path).read_text() == "x = 'é'\n"
    assert etag == files().load(SUMS).spec.blocks[0].code_hash
    with pytest.raises(StaleFile):
        files().write_block(block.path, "late", etag=block.code_hash)
    assert (root / block.path).read_text() == "x = 'é'\n"


def test_a_new_block_gets_its_folder(root: Path, files: Open) -> None:
    files().write_block("sensors/deep/wait.py", "x = 1\n", etag=None)

    assert (root / "sensors" / "deep" / "wait.py").read_text() == "x = 1\n"
    assert (root / "sensors" / "deep" / "__init__.py").is_file()
    with pytest.raises(StaleFile):
        files().write_block("sensors/deep/other.py", "x = 1\n", etag="0" * 64)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "metadata.yaml",
        "pipelines/sums/metadata.yaml",
        "../out.py",
        "/tmp/out.py",  # noqa: S108 - only refused
        "linked/out.py",
        "data_loaders/../../out.py",
        ".git/hooks/x.py",
        "data_loaders/one.exe",
        "top.py",
        "a\0b/c.py",
    ],
)
def test_a_block_is_never_written_elsewhere(root: Path, files: Open, path: str) -> None:
    (root / "linked").symlink_to(root.parent)
    before = sorted(str(entry) for entry in root.parent.rglob("*"))

    with pytest.raises(Denied):
        files().write_block(path, "x = 1\n", etag=None)
    assert sorted(str(entry) for entry in root.parent.rglob("*")) == before


def test_readers_see_the_old_or_the_new_block_and_nothing_between(files: Open) -> None:
    path = "data_loaders/one.py"
    texts = {"a" * 50_000, "b" * 50_000}
    files().write_block(path, min(texts), etag=None)
    done = threading.Event()

    def write() -> None:
        for _ in range(20):
            for text in texts:
                files().write_block(path, text, etag=None)
        done.set()

    seen = set()
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        while not done.is_set():
            loaded = files().load(SUMS)
            seen.add(loaded.code[loaded.spec.blocks[0].code_hash])
        writing.result()

    assert seen <= texts
