"""Shows a run as it moves: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

import click

from weft.cli.words import seconds_between
from weft.core.json import JsonMap
from weft.core.records import RunWithBlocks, StoredBlockRun
from weft.core.states import BlockStatus
from weft.ports.logs import Logs

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.table import Table

_COLOURS: Mapping[BlockStatus, str] = {
    BlockStatus.INITIAL: "dim",
    BlockStatus.QUEUED: "yellow",
    BlockStatus.RUNNING: "cyan",
    BlockStatus.COMPLETED: "green",
    BlockStatus.FAILED: "bold red",
    BlockStatus.CANCELLED: "magenta",
    BlockStatus.UPSTREAM_FAILED: "red",
    BlockStatus.CONDITION_FAILED: "dim",
}


@contextmanager
def progress() -> Iterator[Callable[[RunWithBlocks], None]]:
    """Yield what shows a run on stderr, now and at every further call."""
    if sys.stderr.isatty():
        with _live() as show:
            yield show
    else:
        yield _Lines().show


def failures(stored: RunWithBlocks, logs: Logs) -> str:
    """Return what went wrong in each failed block, and where its log is; or nothing."""
    parts = []
    for block in stored.blocks:
        if block.status is BlockStatus.FAILED:
            error = (block.metrics or {}).get("error")
            parts.append(_failure(block, error if isinstance(error, dict) else {}))
            for file in logs.files(stored.run.id)[::-1]:
                if file.block_run_id == block.id:
                    parts.append(f"  Log: {file.path}")
                    break
    return "\n".join(parts)


def _failure(block: StoredBlockRun, error: JsonMap) -> str:
    lines = error.get("errors")
    text = "\n".join(str(line).rstrip() for line in lines) if isinstance(lines, list) else ""
    text = text.strip("\n") or str(
        error.get("message") or error.get("error") or "no reason is known"
    )
    cause = error.get("cause")
    why = f" ({cause})" if cause and cause != "user" else ""
    indented = "\n".join(f"  {line}" for line in text.splitlines())
    return f"Block {block.block_uuid} failed{why}:\n{indented}"


class _Lines:
    """Says each block's new status once."""

    def __init__(self) -> None:
        self._said: dict[str, tuple[BlockStatus, int]] = {}
        self._run = ""

    def show(self, stored: RunWithBlocks) -> None:
        if not self._run:
            click.echo(f"Run {stored.run.id} of {stored.run.pipeline_uuid}", err=True)
        for block in stored.blocks:
            now = (block.status, block.attempt)
            if block.status is not BlockStatus.INITIAL and self._said.get(block.block_uuid) != now:
                self._said[block.block_uuid] = now
                click.echo(f"  {block.block_uuid}: {_said(block)}", err=True)
        if stored.run.status != self._run:
            self._run = stored.run.status
            if stored.run.ended_at is not None:
                took = seconds_between(stored.run.started_at, stored.run.ended_at)
                after = f" after {took} s" if took else ""
                click.echo(f"Run {stored.run.id} {stored.run.status}{after}", err=True)


def _said(block: StoredBlockRun) -> str:
    took = seconds_between(block.started_at, block.ended_at)
    tries = f" (attempt {block.attempt})" if block.attempt > 1 else ""
    return f"{block.status}{tries}" + (f" in {took} s" if took else "")


@contextmanager
def _live() -> Iterator[Callable[[RunWithBlocks], None]]:
    from rich.console import Console  # noqa: PLC0415 - heavy, and only for terminals
    from rich.live import Live  # noqa: PLC0415 - heavy, and only for terminals

    with Live(console=Console(stderr=True), refresh_per_second=8) as live:

        def show(stored: RunWithBlocks) -> None:
            live.update(_drawn(stored), refresh=True)

        yield show


def _drawn(stored: RunWithBlocks) -> Table:
    from rich.table import Table  # noqa: PLC0415 - heavy, and only for terminals

    title = f"Run {stored.run.id} of {stored.run.pipeline_uuid}: {stored.run.status}"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for column in ("block", "status", "attempt", "seconds"):
        table.add_column(column, justify="right" if column == "seconds" else "left")
    for block in stored.blocks:
        style = _COLOURS[block.status]
        table.add_row(
            block.block_uuid,
            f"[{style}]{block.status}[/]",
            str(block.attempt or ""),
            _seconds(block.started_at, block.ended_at),
        )
    return table


def _seconds(begun: datetime | None, ended: datetime | None) -> str:
    return seconds_between(begun, ended) or ""
