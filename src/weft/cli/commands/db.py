"""Check or upgrade the database."""

from __future__ import annotations

import click

from weft.app.settings import Settings, masked_url
from weft.cli.desk import Desk, at_a_desk, examples
from weft.core.errors import Conflict


@click.group()
def command() -> None:
    """Check or upgrade the database."""


@command.command("check", epilog=examples("weft db check", "weft db check -C my_project --json"))
@at_a_desk
def check(desk: Desk) -> None:
    """Say whether the database fits this version; an empty one is filled.

    Fails with code 4 when it is older (then `weft db upgrade` helps) or newer.
    """
    settings = desk.settings()
    _answer(desk, settings, _prepared(settings, upgrade=False), "fits this version")


@command.command("upgrade", epilog=examples("weft db upgrade"))
@at_a_desk
def upgrade(desk: Desk) -> None:
    """Bring the database to this version; a SQLite file is copied beside itself first.

    With PostgreSQL, stop engines and servers of the older version before.
    """
    settings = desk.settings()
    _answer(desk, settings, _prepared(settings, upgrade=True), "is up to date")


def _prepared(settings: Settings, *, upgrade: bool) -> str:
    from weft.store.migrate import prepare  # noqa: PLC0415 - heavy, not for --help

    try:
        return prepare(settings.database_url, upgrade=upgrade)
    except Conflict as error:
        if upgrade or error.hint:
            raise
        raise Conflict(error.message, hint="Upgrade it with `weft db upgrade`.") from None


def _answer(desk: Desk, settings: Settings, version: str, word: str) -> None:
    where = masked_url(settings.database_url)
    desk.out.answer(
        {"database": where, "version": version},
        lambda: click.echo(f"{where} {word} (schema {version})."),
    )
