"""A new project is whole or not there at all, and the example runs on real data."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from weft.core.errors import Conflict, Invalid, Unavailable
from weft.core.ids import PipelineUuid
from weft.project.files import ProjectFolder
from weft.project.scaffold import EXAMPLE_PIPELINE, create_project

UUID = "0f8fad5bd9cb469fa16570867728950e"


def tree(path: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }


def test_a_new_project_has_the_folders_of_mage_and_opens(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "demo"

    create_project(path, project_uuid=UUID)

    for name in ("data_loaders", "transformers", "data_exporters", "custom", "pipelines", "utils"):
        assert (path / name / "__init__.py").is_file()
    for name in ("__init__.py", "io_config.yaml", "requirements.txt", ".gitignore"):
        assert (path / name).is_file()
    project = ProjectFolder(path)
    assert project.settings().uuid == UUID
    assert project.names() == [EXAMPLE_PIPELINE]
    assert project.load(PipelineUuid(EXAMPLE_PIPELINE)).notes == ()
    assert [entry.name for entry in path.parent.iterdir()] == ["demo"]


def test_without_the_example_there_is_no_pipeline(tmp_path: Path) -> None:
    create_project(tmp_path / "demo", project_uuid=UUID, with_example=False)

    assert ProjectFolder(tmp_path / "demo").names() == []
    assert not (tmp_path / "demo" / "titanic.csv").exists()


def test_a_uuid_of_digits_stays_text(tmp_path: Path) -> None:
    create_project(tmp_path / "demo", project_uuid="0123")

    assert ProjectFolder(tmp_path / "demo").settings().uuid == "0123"


@pytest.mark.parametrize("uuid", ["", 'a"b', "a\nb", "x" * 65])
def test_a_uuid_that_is_not_plain_is_refused(tmp_path: Path, uuid: str) -> None:
    with pytest.raises(Invalid):
        create_project(tmp_path / "demo", project_uuid=uuid)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_is_filled_in_place(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    before = tmp_path.stat().st_ino

    create_project(tmp_path, project_uuid=UUID)

    assert tmp_path.stat().st_ino == before
    assert not list(tmp_path.glob(".weft-init-*"))
    assert ProjectFolder(tmp_path).names() == [EXAMPLE_PIPELINE]


def test_a_folder_becomes_a_project_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[str] = []
    rename = Path.rename

    def watched(source: Path, target: Path) -> Path:
        moved.append(target.name)
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", watched)
    create_project(tmp_path, project_uuid=UUID)

    assert moved[-1] == "metadata.yaml"


def test_a_project_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    create_project(tmp_path, project_uuid=UUID)
    (tmp_path / "titanic.csv").unlink()
    (tmp_path / "metadata.yaml").write_text("project_uuid: mine\n")
    before = tree(tmp_path)

    create_project(tmp_path, project_uuid="another")

    assert tree(tmp_path) == before


def test_a_folder_of_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")

    with pytest.raises(Conflict, match=r"thesis\.txt") as caught:
        create_project(tmp_path, project_uuid=UUID)
    assert "weft init" in (caught.value.hint or "")
    assert tree(tmp_path) == {"thesis.txt": b"precious"}


def test_a_file_in_the_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "demo").write_text("precious")

    with pytest.raises(Conflict, match="not a folder"):
        create_project(tmp_path / "demo", project_uuid=UUID)
    assert tree(tmp_path) == {"demo": b"precious"}


@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize("at", ["copyfile", "rename"])
def test_a_failure_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str, *, existing: bool
) -> None:
    path = tmp_path / "deep" / "demo"
    if existing:
        path.mkdir(parents=True)
    calls: list[str] = []
    copy, rename = shutil.copyfile, Path.rename

    def full(*_args: Any) -> None:
        raise OSError(28, "No space left on device")

    def fourth(real: Any) -> Any:
        def call(*args: Any) -> Any:
            calls.append("")
            return (full if len(calls) == (4 if existing or real is copy else 1) else real)(*args)

        return call

    if at == "copyfile":
        monkeypatch.setattr(shutil, "copyfile", fourth(copy))
    else:
        monkeypatch.setattr(Path, "rename", fourth(rename))

    with pytest.raises(Unavailable, match="No space left"):
        create_project(path, project_uuid=UUID)
    monkeypatch.undo()

    assert list(tmp_path.rglob("*")) == ([path.parent, path] if existing else [])
    create_project(path, project_uuid=UUID)
    assert ProjectFolder(path).names() == [EXAMPLE_PIPELINE]


def test_the_data_is_the_real_passenger_list(tmp_path: Path) -> None:
    create_project(tmp_path / "demo", project_uuid=UUID)

    with (tmp_path / "demo" / "titanic.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))

    assert list(rows[0]) == ["name", "survived", "sex", "age", "passenger_class"]
    assert len(rows) == 1309
    assert sum(row["survived"] == "yes" for row in rows) == 500
    assert sum(row["age"] == "" for row in rows) == 263


def test_the_example_runs_block_by_block(tmp_path: Path) -> None:
    root = tmp_path / "demo"
    create_project(root, project_uuid=UUID)
    pipeline = ProjectFolder(root).load(PipelineUuid(EXAMPLE_PIPELINE))
    assert pipeline.spec.graph().order() == tuple(block.uuid for block in pipeline.spec.blocks)

    outputs: dict[str, Any] = {}
    tested = []
    for block in pipeline.spec.blocks:
        functions: list[Any] = []
        tests: list[Any] = []
        namespace = {block.type: functions.append, "test": tests.append}
        exec(compile(pipeline.code[block.code_hash], block.path, "exec"), namespace)  # noqa: S102
        inputs = [outputs[name] for name in block.upstream]
        outputs[block.uuid] = functions[0](*inputs, repo_path=str(root))
        for test in tests:
            test(outputs[block.uuid])
            tested.append(test.__name__)

    assert tested == ["test_everybody_is_there", "test_every_age_is_filled_in"]
    clean = pd.read_csv(root / "exports" / "titanic_clean.csv")
    assert len(clean) == 1309
    assert clean["age"].notna().all()
    assert clean["survived"].sum() == 500
    assert set(clean["age_group"]) == {"child", "teenager", "adult", "senior"}
    assert "exports/" in (root / ".gitignore").read_text().splitlines()
