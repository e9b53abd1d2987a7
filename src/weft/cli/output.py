"""Answers on stdout, for people or as JSON; messages on stderr, always."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import click

from weft.core.json import Json


@dataclass(frozen=True, slots=True)
class Output:
    """Where a command's words go."""

    as_json: bool

    def answer(self, value: Json, human: Callable[[], None]) -> None:
        """Print `value` as JSON if that was asked for, else let `human` print."""
        if self.as_json:
            click.echo(dumped(value))
        else:
            human()

    def line(self, value: Json, human: str) -> None:
        """Print one item of a stream: a JSON line, or text."""
        click.echo(dumped(value, indent=None) if self.as_json else human)

    def say(self, message: str) -> None:
        """Tell people something that is not the answer."""
        click.echo(message, err=True)


def dumped(value: Json, *, indent: int | None = 2) -> str:
    """Return JSON text; times as the API writes them."""
    return json.dumps(value, indent=indent, default=_plain, ensure_ascii=False)


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print aligned columns; the last one may be as wide as it likes."""
    texts = [[_cell(value) for value in row] for row in rows]
    widths = [
        max(len(column), *(len(row[at]) for row in texts)) if texts else len(column)
        for at, column in enumerate(columns)
    ]
    for row in ([column.upper() for column in columns], *texts):
        cells = [text.ljust(width) for text, width in zip(row, widths, strict=True)]
        click.echo("  ".join(cells).rstrip())


def fields(pairs: Mapping[str, object]) -> None:
    """Print names and values, one per line."""
    width = max((len(name) for name in pairs), default=0)
    for name, value in pairs.items():
        click.echo(f"{name.ljust(width)}  {_cell(value)}".rstrip())


def _cell(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case datetime():
            return value.strftime("%Y-%m-%d %H:%M:%S")
        case dict() | list():
            return json.dumps(value, default=_plain, ensure_ascii=False)
        case _:
            return " ".join(str(value).splitlines())


def _plain(value: object) -> Json:
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="microseconds")
    if isinstance(value, frozenset | set | tuple):
        return list(value)
    return str(value)
