"""Show each setting, its value and where it comes from."""

from __future__ import annotations

import click

from weft.cli.desk import Desk, at_a_desk, examples
from weft.cli.output import table


@click.command(
    epilog=examples("weft settings", "WEFT_LOG_LEVEL=debug weft settings -C my_project --json")
)
@at_a_desk
def command(desk: Desk) -> None:
    """Show each setting, its value and where it comes from.

    A flag wins over the environment, the environment over settings.toml in the
    data directory, and that over the default. Secrets are masked.
    """
    settings = desk.settings()
    rows = settings.shown()

    def human() -> None:
        table(("setting", "value", "source"), rows)
        for variable, reason in settings.ignored.items():
            desk.out.say(f"{variable} is {reason}.")

    desk.out.answer(
        [{"name": name, "value": value, "source": source} for name, value, source in rows]
        + [
            {"name": variable, "value": "********", "source": reason}
            for variable, reason in settings.ignored.items()
        ],
        human,
    )
