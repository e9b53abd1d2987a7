"""Make a new project, with or without the example pipeline."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.resources import as_file, files
from pathlib import Path

from weft.core.errors import Conflict, Invalid, Unavailable, Where

EXAMPLE_PIPELINE = "example_pipeline"
"""The pipeline of a project that was made with the example."""

_FOLDERS = (
    "callbacks",
    "charts",
    "conditionals",
    "custom",
    "data_exporters",
    "data_loaders",
    "dbt",
    "extensions",
    "interactions",
    "pipelines",
    "scratchpads",
    "sensors",
    "transformers",
    "utils",
)
_NO_PACKAGE = frozenset({"dbt"})
_EXAMPLE = (
    "data_exporters/export_titanic_clean.py",
    "data_loaders/load_titanic.py",
    "pipelines/example_pipeline/metadata.yaml",
    "titanic.csv",
    "transformers/add_age_groups.py",
    "transformers/fill_in_missing_values.py",
)
_ALWAYS = ("io_config.yaml", "metadata.yaml", "requirements.txt")
_METADATA = "metadata.yaml"
_HARMLESS = frozenset({".git", ".DS_Store"})
_UUID = re.compile(r"[0-9A-Za-z_-]{1,64}")


def create_project(path: Path, *, project_uuid: str, with_example: bool = True) -> None:
    """Make a project in `path`, which is absent, empty, or a project already.

    A project that is there already stays as it is. A failure leaves nothing behind.
    Raises `Conflict` for a folder with other things in it, `Invalid` for a
    `project_uuid` that is not plain, `Unavailable` when the disk refuses.
    """
    if not _UUID.fullmatch(project_uuid):
        raise Invalid(
            f"{project_uuid[:60]!r} cannot be the uuid of a project",
            hint="Use up to 64 letters, digits, `-` and `_`.",
        )
    if (path / _METADATA).is_file():
        return
    try:
        _refuse_occupied(path)
        with _stage(path) as stage:
            _fill(stage, project_uuid=project_uuid, with_example=with_example)
            _install(stage, path)
    except OSError as error:
        raise Unavailable(
            f"no project can be made in {path}: {error.strerror or error}",
            hint="Look at the permissions and the free space there.",
            where=Where(str(path)),
        ) from None


def _refuse_occupied(path: Path) -> None:
    if not path.exists() and not path.is_symlink():
        return
    if not path.is_dir():
        raise Conflict(
            f"{path} is not a folder", hint="Name a new or empty folder.", where=Where(str(path))
        )
    others = sorted({entry.name for entry in path.iterdir()} - _HARMLESS)
    if others:
        raise Conflict(
            f"{path} is not empty and is not a project; it holds {', '.join(others[:3])}"
            + (" and more" if len(others) > len(others[:3]) else ""),
            hint="Name a new or empty folder, for example `weft init my_project`.",
            where=Where(str(path)),
        )


@contextmanager
def _stage(path: Path) -> Iterator[Path]:
    """Lend a folder on the same disk as `path`, and remove it afterwards."""
    here = path if path.is_dir() else path.parent
    missing = [folder for folder in (here, *here.parents) if not folder.exists()]
    here.mkdir(parents=True, exist_ok=True)
    lent = Path(tempfile.mkdtemp(dir=here, prefix=".weft-init-"))
    try:
        stage = lent / "project"
        stage.mkdir()
        yield stage
    except BaseException:
        shutil.rmtree(lent)
        for folder in missing:
            with suppress(OSError):  # somebody put something in it; the first error counts
                folder.rmdir()
        raise
    shutil.rmtree(lent)


def _fill(stage: Path, *, project_uuid: str, with_example: bool) -> None:
    for name in _FOLDERS:
        (stage / name).mkdir()
        if name not in _NO_PACKAGE:
            (stage / name / "__init__.py").touch()
    (stage / "__init__.py").touch()
    with as_file(files("weft.project") / "template") as template:
        shutil.copyfile(template / "gitignore", stage / ".gitignore")
        for name in (*_ALWAYS, *(_EXAMPLE if with_example else ())):
            (stage / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(template / name, stage / name)
    if with_example:
        (stage / "pipelines" / EXAMPLE_PIPELINE / "__init__.py").touch()
    with (stage / _METADATA).open("a") as metadata:
        metadata.write(f'\nproject_uuid: "{project_uuid}"\n')


def _install(stage: Path, path: Path) -> None:
    """Put the finished project in its place, `metadata.yaml` last: it makes a project."""
    if not path.exists():
        stage.rename(path)
        return
    # A shell may stand in this folder already, so it is filled and not replaced.
    moved: list[Path] = []
    try:
        for source in sorted(stage.iterdir(), key=lambda entry: entry.name == _METADATA):
            target = path / source.name
            _refuse_present(target)
            source.rename(target)
            moved.append(target)
    except BaseException:
        for target in moved:
            shutil.rmtree(target) if target.is_dir() else target.unlink()
        raise


def _refuse_present(path: Path) -> None:
    if os.path.lexists(path):
        raise Conflict(f"{path} appeared meanwhile", hint="Try again.", where=Where(str(path)))
