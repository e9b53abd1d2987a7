"""Messages survive the way through bytes, however the bytes are cut."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.core.errors import Malformed, TooLarge
from weft.core.states import Cause
from weft.wire.ending import raised
from weft.wire.frames import MAX_FRAME, Frames, encode
from weft.wire.messages import Answered, Asked, Beat, Died, Message, Refusal, Reported, Stop
from weft.wire.result import Completed

_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
_messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(Stop, st.text(), st.text()),
    st.builds(Beat, st.floats(allow_nan=False)),
    st.builds(
        Asked, st.text(), st.text(), st.integers(0, 9), st.text(), st.dictionaries(st.text(), _json)
    ),
    st.builds(Answered, st.text(), st.text(), st.integers(0, 9), _json),
    st.just(Answered("job", "token", 1, None, Refusal("not_found", "no", "look"))),
    st.just(Died("job", "token", 1.0, "lost", Cause.LOST, "killed", {"cpu_seconds": 0.1})),
    st.just(Reported("job", "token", 1.0, completed=Completed(metrics={"rows_out": 3}))),
    st.just(Reported("job", "token", 1.0, errored=raised(ValueError("no")))),
)


@given(st.lists(_messages), st.integers(1, 64))
def test_messages_arrive_whole_and_in_order(sent: list[Message], step: int) -> None:
    wire = b"".join(encode(message) for message in sent)
    frames = Frames()
    arrived = [
        message
        for start in range(0, len(wire), step)
        for message in frames.feed(wire[start : start + step])
    ]
    assert arrived == sent


def test_an_aware_date_stays_that_moment() -> None:
    moment = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    (asked,) = Frames().feed(encode(Asked("job", "token", 1, "at", {"at": moment})))
    assert isinstance(asked, Asked)
    assert asked.arguments == {"at": moment}


def test_what_cannot_travel_is_refused_by_the_sender() -> None:
    with pytest.raises(Malformed, match="Answered holds what cannot travel"):
        encode(Answered("job", "token", 1, object()))


def test_a_frame_that_is_too_long_is_refused_before_it_is_collected() -> None:
    with pytest.raises(TooLarge):
        list(Frames().feed((MAX_FRAME + 1).to_bytes(4, "big")))


@given(st.binary(min_size=1, max_size=200))
def test_garbage_is_refused_with_an_error_of_ours(body: bytes) -> None:
    frame = len(body).to_bytes(4, "big") + body
    try:
        messages = list(Frames().feed(frame))
    except Malformed:
        return
    assert len(messages) == 1


def test_the_memory_error_of_a_block_has_its_own_cause() -> None:
    assert raised(MemoryError()).cause is Cause.OUT_OF_MEMORY
    assert raised(SystemExit(3)).cause is Cause.USER
