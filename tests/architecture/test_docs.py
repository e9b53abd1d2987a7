"""The documents hold together: links lead somewhere, decisions are complete, code compiles."""

from __future__ import annotations

import ast
import re
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from weft.api.errors import STATUSES
from weft.cli.failures import EXIT_CODES
from weft.core import errors
from weft.core.errors import WeftError

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
FRONT = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "changes/README.md"]
PAGES = sorted([*(ROOT / name for name in FRONT), *DOCS.rglob("*.md")])
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
DECISIONS = sorted((DOCS / "adr").glob("[0-9]*.md"))
HEADINGS = ["Context", "Options", "Decision", "Consequences", "What would change our mind"]

_FENCE = re.compile(
    r"^(?P<indent> *)(?P<mark>`{3,}|~{3,})(?P<kind>[^\n`]*)\n(?P<text>.*?)^(?P=indent)(?P=mark)",
    re.MULTILINE | re.DOTALL,
)
_CODE = re.compile(r"`[^`\n]+`")
_LINK = re.compile(r"\[(?:[^\]\[]|\[[^\]]*\])*\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(?P<text>.+?) *$", re.MULTILINE)


def _prose(page: Path) -> str:
    """Return a page without its code."""
    return _CODE.sub("`x`", _FENCE.sub("", page.read_text(encoding="utf-8")))


def _anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and Zensical make them."""
    found = set()
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    for heading in _HEADING.finditer(text):
        words = re.sub(r"[^\w\- ]", "", heading["text"].lower())
        found.add(words.strip().replace(" ", "-"))
    return found


def _links(page: Path) -> Iterator[str]:
    for link in _LINK.finditer(_prose(page)):
        if not re.match(r"[a-z]+:", link["target"]):
            yield link["target"]


def _code(page: Path, kind: str) -> list[str]:
    return [
        textwrap.dedent(fence["text"])
        for fence in _FENCE.finditer(page.read_text(encoding="utf-8"))
        if fence["kind"].strip() == kind
    ]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_relative_links_lead_somewhere(page: Path) -> None:
    for target in _links(page):
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.is_file(), f"{target}: no such file"
        if anchor:
            assert anchor in _anchors(there), f"{target}: no such heading"


@pytest.mark.parametrize("page", [p for p in PAGES if p.is_relative_to(DOCS)])
def test_the_site_does_not_link_to_what_it_does_not_have(page: Path) -> None:
    for target in _links(page):
        there = (page.parent / target.partition("#")[0]).resolve()
        assert there.is_relative_to(DOCS), f"{target} is not part of the site"


def test_links_are_looked_for_at_all() -> None:
    assert sum(1 for page in PAGES for _ in _links(page)) > 60


def test_every_page_is_in_the_navigation() -> None:
    config = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))
    listed: list[str] = []
    todo = list(config["project"]["nav"])
    while todo:
        for value in todo.pop().values():
            if isinstance(value, str):
                listed.append(value)
            else:
                todo.extend(value)
    assert sorted(listed) == sorted(str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md"))


@pytest.mark.parametrize("page", DECISIONS, ids=[page.name for page in DECISIONS])
def test_a_decision_has_its_five_parts(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == HEADINGS
    assert text.startswith(f"# {page.name[:4]}. "), "its title begins with its number"


def test_decisions_are_numbered_without_gaps() -> None:
    numbers = [int(page.name[:4]) for page in DECISIONS]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) >= 10


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_python_examples_compile(page: Path) -> None:
    for code in _code(page, "python"):
        ast.parse(code)


def test_there_are_python_examples() -> None:
    assert sum(len(_code(page, "python")) for page in PAGES) >= 5


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_a_fence_says_what_it_holds(page: Path) -> None:
    for fence in _FENCE.finditer(page.read_text(encoding="utf-8")):
        assert fence["kind"].strip(), f"a fence without a language: {fence['text'][:60]!r}"


def test_the_page_of_errors_says_what_the_code_says() -> None:
    text = (DOCS / "reference" / "errors.md").read_text(encoding="utf-8")
    rows = {
        row[0]: (int(row[1]), int(row[2]))
        for row in re.findall(r"^\| `(\w+)` \|[^|]+\| (\d+) \| (\d+) \|$", text, re.MULTILINE)
    }
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, WeftError) and kind is not WeftError
    ]
    assert rows == {kind.code: (_status(kind), _exit(kind)) for kind in kinds}


def _status(kind: type[WeftError]) -> int:
    parents = [each for each in kind.__mro__ if issubclass(each, WeftError)]
    return next(STATUSES[each] for each in parents if each in STATUSES)


def _exit(kind: type[WeftError]) -> int:
    return next(code for each, code in EXIT_CODES if issubclass(kind, each))
