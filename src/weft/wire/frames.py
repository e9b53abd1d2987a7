"""Messages to bytes and back: four bytes of length, then msgpack."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from weft.core.errors import Malformed, TooLarge
from weft.wire.messages import Message

MAX_FRAME = 64 * 1024 * 1024
"""Bytes; a longer frame is refused by whoever would send or receive it."""

_HEAD = 4
_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


def encode(message: Message) -> bytes:
    """Return a message as one frame.

    Raises `TooLarge`, and `Malformed` when it holds a value that cannot travel.
    """
    try:
        body = _encoder.encode(message)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise Malformed(
            f"{type(message).__name__} holds what cannot travel: {error}",
            hint="Only plain values (numbers, texts, lists, mappings, dates) travel.",
        ) from error
    if len(body) > MAX_FRAME:
        raise TooLarge(
            f"a message of {len(body)} bytes exceeds the limit of {MAX_FRAME}",
            hint="Hand large values over as outputs of blocks.",
        )
    return len(body).to_bytes(_HEAD, "big") + body


class Frames:
    """Collects bytes as they come and gives back whole messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, chunk: bytes) -> Iterator[Message]:
        """Yield the messages that are complete with this chunk, in order.

        Raises `TooLarge` and `Malformed`; nothing that follows can be read then.
        """
        self._buffer += chunk
        while len(self._buffer) >= _HEAD:
            length = int.from_bytes(self._buffer[:_HEAD], "big")
            if length > MAX_FRAME:
                raise TooLarge(f"a frame of {length} bytes exceeds the limit of {MAX_FRAME}")
            if len(self._buffer) < _HEAD + length:
                return
            body = bytes(self._buffer[_HEAD : _HEAD + length])
            del self._buffer[: _HEAD + length]
            yield self._decode(body)

    def _decode(self, body: bytes) -> Message:
        try:
            return _decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Malformed(f"a frame cannot be read: {error}") from error
