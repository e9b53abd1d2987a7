"""Show what the blocks of a run printed and logged."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from weft.cli.desk import Desk, at_a_desk, examples
from weft.cli.progress import failures
from weft.core.errors import NotFound
from weft.core.ids import BlockRunId, RunId
from weft.core.json import JsonMap
from weft.core.records import RunWithBlocks
from weft.services import logs, runs
from weft.services.caller import LOCAL

if TYPE_CHECKING:
    from weft.services.context import Context

_INDENT = " " * 13
_HEADING = 200
"""Characters of a message that stand above the traceback which says it in full."""


@click.command(
    epilog=examples("weft logs 7", "weft logs 7 -f --block load_titanic", "weft logs 7 --json")
)
@click.argument("run", type=int)
@click.option("-f", "--follow", is_flag=True, help="Go on until the run has ended.")
@click.option("--block", help="Of this block only.")
@at_a_desk
def command(desk: Desk, run: int, follow: bool, block: str | None) -> None:  # noqa: FBT001 - a flag
    """Show what the blocks of a run printed and logged, oldest first.

    With --json each line is the JSON object that is stored.
    """
    with desk.house() as house:
        stored = runs.get_run(house.context, LOCAL, RunId(run))
        chosen = None if block is None else _block_run(stored, block)
        lines = _followed if follow else _present
        silent = True
        for line in lines(house.context, stored, chosen):
            silent = False
            desk.out.line(line, readable(line))
        if silent:
            stored = runs.get_run(house.context, LOCAL, RunId(run))
            desk.out.say(failures(stored, house.context.logs) or "Nothing was logged.")


def readable(line: JsonMap) -> str:
    """Return a log line for people: time, block, message; below it the traceback, if any."""
    at = line.get("timestamp")
    when = ""
    if isinstance(at, int | float) and at > 0:
        when = datetime.fromtimestamp(at, UTC).astimezone().strftime("%H:%M:%S.%f")[:-3]
    level = str(line.get("level", ""))
    mark = f"{level} " if level not in {"", "INFO"} else ""
    head = f"{when:12} {line.get('block_uuid') or '-'}: {mark}"
    message = str(line.get("message", ""))
    trace = str(line.get("error_stacktrace") or "").rstrip("\n")
    if "\n" not in trace:
        return head + message  # no traceback, or none that says more than the message
    if (message in trace and "\n" in message) or len(message) > _HEADING:
        message = textwrap.shorten(message.partition("\n")[0], _HEADING, placeholder=" ...")
    return f"{head}{message}\n{textwrap.indent(trace, _INDENT)}"


def _present(
    context: Context, stored: RunWithBlocks, chosen: BlockRunId | None
) -> Iterator[JsonMap]:
    found = [
        line
        for file in context.logs.files(stored.run.id)
        if chosen in {None, file.block_run_id}
        for line in context.logs.read(file.path)[0]
    ]
    yield from sorted(found, key=lambda line: line.get("timestamp") or 0)


def _followed(
    context: Context, stored: RunWithBlocks, chosen: BlockRunId | None
) -> Iterator[JsonMap]:

    for line in logs.follow(context, LOCAL, run_id=stored.run.id, block_run_id=chosen):
        if line is not None:
            yield line


def _block_run(stored: RunWithBlocks, block: str) -> BlockRunId:
    for found in stored.blocks:
        if found.block_uuid == block:
            return found.id
    raise NotFound(
        f"run {stored.run.id} has no block {block!r}",
        hint=f"It has: {', '.join(found.block_uuid for found in stored.blocks)}.",
    )
