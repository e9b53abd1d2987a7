"""Say where the server is, then serve."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weft.app.settings import Settings
from weft.cli.desk import Desk

if TYPE_CHECKING:
    from weft.app.server import Served


def announce_and_serve(desk: Desk, settings: Settings, *, with_engine: bool) -> None:
    """Serve until told to end; the address is printed once it answers."""
    from weft.app.logs import configure  # noqa: PLC0415 - heavy, not for --help
    from weft.app.server import serve  # noqa: PLC0415 - heavy, not for --help

    configure(settings.log_level, settings.log_format)

    def ready(served: Served) -> None:
        desk.out.line(
            {"url": served.url, "project": str(settings.project_dir)},
            f"Weft serves {settings.project_dir.name} on {served.url}  (Ctrl-C ends it)",
        )

    serve(settings, with_engine=with_engine, ready=ready)
