"""The documents hold together: links lead somewhere, decisions are complete, code compiles."""

from __future__ import annotations

import ast
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from weft.api.app import routers
from weft.api.errors import STATUSES
from weft.cli.failures import EXIT_CODES
from weft.cli.main import root
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


def _commands(page: Path) -> Iterator[list[str]]:
    """Yield the words of each `weft ...` in a page's shell examples."""
    for code in _code(page, "sh"):
        for line in code.replace("\\\n", " ").splitlines():
            plain = re.split(r"\s#|[|&;>]", line)[0]
            words = shlex.split(plain) if plain.count("'") % 2 == 0 else []
            while words and ("=" in words[0] or words[0] == "export"):
                words = words[1:]
            if words and words[0].rpartition("/")[2] == "weft":
                yield words[1:]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_commands_in_examples_exist(page: Path) -> None:
    for words in _commands(page):
        command: click.Command = root()
        context = click.Context(command, info_name="weft")
        rest = list(words)
        while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
            found = command.get_command(context, rest[0])
            assert found is not None, f"weft {' '.join(words)}: no command {rest[0]!r}"
            command, context = found, click.Context(found, info_name=rest[0], parent=context)
            rest = rest[1:]
        known = {opt for param in command.get_params(context) for opt in param.opts}
        known |= {opt for param in command.get_params(context) for opt in param.secondary_opts}
        wrong = [word for word in rest if word.startswith("-") and word not in known]
        assert not wrong, f"weft {' '.join(words)}: no option {wrong}"


def test_commands_are_looked_for_at_all() -> None:
    assert sum(1 for page in PAGES for _ in _commands(page)) > 30


def _paths() -> set[str]:
    """Return the paths of the API, each parameter as `:`."""
    found = (getattr(route, "path", "") for router in routers() for route in router.routes)
    return {re.sub(r"\{[^}]*\}", ":", path) for path in found} | {"/openapi.json"}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_urls_in_examples_exist(page: Path) -> None:
    text = "\n".join(_code(page, "sh"))
    for url in re.findall(r"http://127\.0\.0\.1:\d+(/[^\s'\"?]*)", text):
        parts = url.split("/")
        # A part is itself, or stands for a parameter.
        wanted = re.compile("/".join(f"(?:{re.escape(part)}|:)" for part in parts))
        assert any(wanted.fullmatch(path) for path in _paths()), url


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    shutil.copy(ROOT / "zensical.toml", tmp_path)
    shutil.copytree(DOCS, tmp_path / "docs")
    done = subprocess.run(
        [str(Path(sys.executable).with_name("zensical")), "build", "--strict"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "site" / "index.html").is_file()


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
