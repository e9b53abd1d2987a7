"""Server-sent events over a synchronous iterator."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing

import anyio.to_thread
from anyio import CapacityLimiter
from starlette.responses import StreamingResponse

from weft.api.answer import encode
from weft.core.json import JsonMap

_PULSE = b": nothing new\n\n"
_END = b"event: end\ndata: {}\n\n"

_MOST = 500
"""Lines sent at once."""


class EventStream(StreamingResponse):
    """An answer that goes on until the iterator ends."""

    media_type = "text/event-stream"


def events(lines: Iterator[JsonMap | None]) -> EventStream:
    """Answer with one event per line; a pause is a comment, the end an event `end`."""
    return EventStream(
        _sent(lines), headers={"cache-control": "no-store", "x-accel-buffering": "no"}
    )


async def _sent(lines: Iterator[JsonMap | None]) -> AsyncIterator[bytes]:
    number = 0
    async with aclosing(_batches(lines)) as batches:
        async for batch in batches:
            sent = []
            for line in batch:
                number += 1
                sent.append(b"id: %d\ndata: %s\n\n" % (number, encode(dict(line))))
            yield b"".join(sent) or _PULSE
    yield _END


async def _batches(lines: Iterator[JsonMap | None]) -> AsyncGenerator[list[JsonMap], None]:
    """Take what there is up to the next pause, in a thread."""
    # A thread of its own: followers never keep an ordinary request waiting.
    limiter = CapacityLimiter(1)
    try:
        while True:
            batch, over = await anyio.to_thread.run_sync(_take, lines, limiter=limiter)
            if batch or not over:
                yield batch
            if over:
                return
    finally:
        close = getattr(lines, "close", None)
        if close is not None:
            close()


def _take(lines: Iterator[JsonMap | None]) -> tuple[list[JsonMap], bool]:
    batch: list[JsonMap] = []
    for line in lines:
        if line is None:
            return batch, False
        batch.append(line)
        if len(batch) >= _MOST:
            return batch, False
    return batch, True
