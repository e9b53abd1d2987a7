"""What every command on a project shares: its options, its settings, its output."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from weft.app.settings import Settings, read_settings
from weft.cli.output import Output
from weft.core.errors import Invalid
from weft.core.json import Json

if TYPE_CHECKING:
    from weft.app.wiring import House

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Desk:
    """The options that a command got beside its own."""

    out: Output
    flags: Mapping[str, object] = field(default_factory=dict)
    adopt_database: bool = False

    def settings(self, **more: object) -> Settings:
        """Return the settings; `more` are flags of this command, None where not given."""
        given = {name: value for name, value in more.items() if value is not None}
        return read_settings({**self.flags, **given}, adopt_database=self.adopt_database)

    @contextmanager
    def house(self, **more: object) -> Iterator[House]:
        """Open the project; the service's own log then goes to stderr, warnings only."""
        from weft.app.logs import configure  # noqa: PLC0415 - see below
        from weft.app.wiring import Company, open_house  # noqa: PLC0415 - heavy, not for --help

        settings = self.settings(**more)
        configure("WARNING", settings.log_format)
        with open_house(settings, Company.APART) as house:
            yield house


def at_a_desk(command: Callable[..., R]) -> Callable[..., R]:
    """Give a command the options that all share; it gets a `Desk` first."""

    @click.option(
        "-C",
        "--project-dir",
        type=click.Path(path_type=Path),
        help="The project's folder; default: the current one.",
    )
    @click.option(
        "--data-dir", type=click.Path(path_type=Path), help="Where database, logs, outputs lie."
    )
    @click.option("--database-url", help="A database other than the data directory's.")
    @click.option("--adopt-database", is_flag=True, help="Use MAGE_DATABASE_CONNECTION_URL.")
    @click.option("--json", "as_json", is_flag=True, help="Answer in JSON, on stdout.")
    @functools.wraps(command)
    def wrapped(
        *,
        project_dir: Path | None,
        data_dir: Path | None,
        database_url: str | None,
        adopt_database: bool,
        as_json: bool,
        **own: Any,
    ) -> R:
        flags = {"project_dir": project_dir, "data_dir": data_dir, "database_url": database_url}
        desk = Desk(Output(as_json), flags, adopt_database)
        return command(desk, **own)

    return wrapped


def examples(*lines: str) -> str:
    """Return the end of a command's help: one example per line, kept as written."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def pairs(given: Sequence[str], option: str) -> dict[str, Json]:
    """Return `name=value` options as a mapping; a value that is JSON is read as JSON.

    Raises `Invalid` naming the option.
    """
    found: dict[str, Json] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise Invalid(f"{option} {text!r} is no name=value", hint=f"Write {option} year=1912.")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def json_object(text: str, option: str) -> dict[str, Json]:
    """Return an option's JSON object. Raises `Invalid` naming the option."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise Invalid(
            f"{option} is not valid JSON: {error}", hint=f"Write {option} '{{\"year\": 1912}}'."
        ) from None
    if not isinstance(value, dict):
        raise Invalid(f"{option} is no JSON object", hint=f"Write {option} '{{\"year\": 1912}}'.")
    return value
