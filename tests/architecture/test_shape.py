"""The shape of the source: sizes, names, docstrings, frozen values."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import weft.core

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "weft"
FILES = sorted(
    path for path in SOURCE.rglob("*.py") if "template" not in path.relative_to(SOURCE).parts
)

MOST_LINES, QUESTIONABLE_LINES = 600, 400
MOST_CLASS_LINES, MOST_PUBLIC_METHODS = 300, 20
LONG_FOR_A_REASON = {
    "store/migrations/versions/v0001_first_tables.py": "a migration is frozen, all of it",
    "core/machine.py": "deciding is one thought: apart, its guards would have to be imagined",
}
REFUSED = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "base", "misc"}
BANNER = re.compile(r"^\s*#\s*[-=#*~]{4,}")


TREES = {
    path.relative_to(SOURCE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
    for path in FILES
}
LENGTHS = {
    path.relative_to(SOURCE).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
    for path in FILES
}


def test_no_file_is_too_long() -> None:
    assert {name: n for name, n in LENGTHS.items() if n > MOST_LINES} == {}, "split them"


def test_files_that_grow_have_a_reason() -> None:
    long = {name for name, n in LENGTHS.items() if n > QUESTIONABLE_LINES}
    assert long - set(LONG_FOR_A_REASON) == set(), "split it, or say here why not"
    assert set(LONG_FOR_A_REASON) - long == set(), "it is short again: strike it off"


def test_no_class_is_too_long() -> None:
    lengths = {
        f"{name}: {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for name, node in _classes()
    }
    assert lengths, "the source lost its classes"
    assert {name: n for name, n in lengths.items() if n > MOST_CLASS_LINES} == {}


def test_no_class_offers_too_much() -> None:
    public = {
        f"{name}: {node.name}": sum(
            isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)
            and not item.name.startswith("_")
            for item in node.body
        )
        for name, node in _classes()
    }
    assert {name: n for name, n in public.items() if n > MOST_PUBLIC_METHODS} == {}


def test_names_say_something() -> None:
    vague = {
        name: sorted(words)
        for name in TREES
        if (words := set(re.split(r"[/_]", name.removesuffix(".py"))) & REFUSED)
    }
    assert vague == {}


def test_there_are_no_banner_comments() -> None:
    banners = {
        f"{path.relative_to(SOURCE)}:{number}": line
        for path in FILES
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if BANNER.match(line)
    }
    assert banners == {}


def test_each_folder_states_its_job_and_its_prohibition() -> None:
    silent = [
        name
        for name, tree in TREES.items()
        if name.endswith("/__init__.py")
        and not {"Job:", "Prohibition:"} <= set((ast.get_docstring(tree) or "").split())
    ]
    assert silent == []


def test_the_environment_is_read_in_one_file() -> None:
    # A child's environment is prepared where the child is; nothing is configured by it.
    allowed = ("app/settings.py", "worker/", "executors/")
    reads = {
        f"{name}:{node.lineno}"
        for name, tree in TREES.items()
        if not name.startswith(allowed)
        for node in ast.walk(tree)
        if (isinstance(node, ast.Attribute) and node.attr in {"environ", "environb", "getenv"})
        or (isinstance(node, ast.ImportFrom) and _imports_environ(node))
    }
    assert reads == set()


def test_imports_are_absolute() -> None:
    relative = {
        f"{name}:{node.lineno}"
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level
    }
    assert relative == set()


def test_only_clocks_ask_for_the_time_of_day() -> None:
    # A worker has no clock handed to it: it stamps its own log lines and reports.
    asked = {"datetime.now", "datetime.utcnow", "datetime.today", "date.today"}
    allowed = ("worker/", "executors/")
    found = {
        name
        for name, tree in TREES.items()
        if not name.endswith("clock.py") and not name.startswith(allowed) and _calls(tree) & asked
    }
    assert found == set()


def test_nobody_sleeps() -> None:
    # A sensor's look waits in its own child, where there is nothing to wake it.
    allowed = ("worker/", "blocks/")
    found = {
        name
        for name, tree in TREES.items()
        if not name.startswith(allowed) and "time.sleep" in _calls(tree)
    }
    assert found == set()


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


def _classes() -> Iterator[tuple[str, ast.ClassDef]]:
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                yield name, node


def _calls(tree: ast.AST) -> set[str]:
    return {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}


def _imports_environ(node: ast.ImportFrom) -> bool:
    return node.module == "os" and any(name.name in {"environ", "getenv"} for name in node.names)
