"""The shape of the source: sizes, names, docstrings, frozen values."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import weft.core

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "weft"
FILES = sorted(SOURCE.rglob("*.py"))
NAMES = [str(path.relative_to(SOURCE)) for path in FILES]

MOST_LINES, QUESTIONABLE_LINES = 600, 400
MOST_CLASS_LINES, MOST_PUBLIC_METHODS = 300, 20
LONG_FOR_A_REASON = {
    "core/machine.py": "deciding is one thought: apart, its guards would have to be imagined",
}
REFUSED = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "base", "misc"}
ENVIRONMENT = SOURCE / "app" / "settings.py"
BANNER = re.compile(r"^\s*#\s*[-=#*~]{4,}")


def _classes(path: Path) -> Iterator[ast.ClassDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef):
            yield node


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_a_file_is_short(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MOST_LINES, f"{lines} lines: split it"


def test_files_that_grow_have_a_reason() -> None:
    long = {
        name
        for path, name in zip(FILES, NAMES, strict=True)
        if len(path.read_text(encoding="utf-8").splitlines()) > QUESTIONABLE_LINES
    }
    assert long - set(LONG_FOR_A_REASON) == set(), "split it, or say here why not"
    assert set(LONG_FOR_A_REASON) - long == set(), "it is short again: strike it off"


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_a_class_is_short(path: Path) -> None:
    for node in _classes(path):
        assert node.end_lineno is not None
        assert node.end_lineno - node.lineno < MOST_CLASS_LINES, node.name
        public = [
            item.name
            for item in node.body
            if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)
            and not item.name.startswith("_")
        ]
        assert len(public) <= MOST_PUBLIC_METHODS, node.name


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_a_name_says_something(path: Path) -> None:
    parts = set(path.relative_to(SOURCE).with_suffix("").parts)
    words = {word for part in parts for word in part.split("_")}
    assert not words & REFUSED


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_no_banner_comments(path: Path) -> None:
    banners = [line for line in path.read_text(encoding="utf-8").splitlines() if BANNER.match(line)]
    assert banners == []


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.name == "__init__.py"], ids=lambda p: p.parent.name
)
def test_a_folder_states_its_job_and_its_prohibition(path: Path) -> None:
    if path.parent in {SOURCE, SOURCE / "project" / "template"}:
        return
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    assert "Job:" in text
    assert "Prohibition:" in text


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_the_environment_is_read_in_one_file(path: Path) -> None:
    if path == ENVIRONMENT:
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    reads = [
        node.lineno
        for node in ast.walk(tree)
        if (isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv", "environb"})
        or (isinstance(node, ast.ImportFrom) and _imports_environ(node))
    ]
    allowed = path.is_relative_to(SOURCE / "worker") or path.is_relative_to(SOURCE / "executors")
    # A child's environment is prepared where the child is; nothing is configured by it.
    assert not reads or allowed, f"lines {reads}"


def _imports_environ(node: ast.ImportFrom) -> bool:
    return node.module == "os" and any(name.name in {"environ", "getenv"} for name in node.names)


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_imports_are_absolute(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    relative = [n.lineno for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.level]
    assert relative == []


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_nobody_sleeps_or_asks_the_wall_clock(path: Path) -> None:
    if path == SOURCE / "app" / "clock.py" or "template" in path.parts:
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = {ast.unparse(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call)}
    assert not calls & {"datetime.now", "datetime.utcnow", "datetime.today", "date.today"}
    if not path.is_relative_to(SOURCE / "worker") and not path.is_relative_to(SOURCE / "blocks"):
        # A sensor's look waits in its own child, where there is nothing to wake it.
        assert "time.sleep" not in calls


def test_values_of_the_core_are_frozen() -> None:
    found = 0
    for info in pkgutil.iter_modules(weft.core.__path__, "weft.core."):
        module = importlib.import_module(info.name)
        for name, kind in vars(module).items():
            if not dataclasses.is_dataclass(kind) or kind.__module__ != info.name:
                continue
            found += 1
            parameters = kind.__dataclass_params__  # type: ignore[attr-defined]
            assert parameters.frozen, f"{info.name}.{name}"
    assert found > 20, "the core lost its values"
