"""Sentences and figures that several commands say."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from weft.cli.output import Output

if TYPE_CHECKING:
    from weft.services.context import Context


def seconds_between(begun: datetime | None, ended: datetime | None) -> str | None:
    """Return how long something took, or None when it has not ended."""
    if begun is None or ended is None:
        return None
    return f"{(ended - begun).total_seconds():.2f}"


def warn_without_engine(out: Output, context: Context) -> None:
    """Say it when nobody is there to do what was asked."""
    with context.store.read() as unit:
        alive = any(engine.live for engine in unit.engines.all())
    if not alive:
        out.say("No engine is alive: it will be done once `weft start` or `weft engine` runs.")
