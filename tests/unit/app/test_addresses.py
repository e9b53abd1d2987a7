"""The address: loopback only, and a busy port names who has it."""

from __future__ import annotations

import os
import socket

import pytest

from weft.app.addresses import bind, bind_next_free, refuse_public, url_of
from weft.core.errors import Conflict, Denied, Invalid


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_loopback_is_allowed(host: str) -> None:
    refuse_public(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org", "", "localhost.evil"])  # noqa: S104
def test_whatever_others_can_reach_is_refused(host: str) -> None:
    with pytest.raises(Denied) as caught:
        refuse_public(host)
    assert caught.value.hint


def test_a_busy_port_names_its_owner() -> None:
    with socket.socket() as owner:
        owner.bind(("127.0.0.1", 0))
        owner.listen()
        port = owner.getsockname()[1]
        with pytest.raises(Conflict) as caught:
            bind("127.0.0.1", port)
        assert str(port) in str(caught.value)
        assert str(os.getpid()) in str(caught.value)
        assert "--port" in str(caught.value.hint)
        with bind_next_free("127.0.0.1", port) as other:
            assert other.getsockname()[1] != port


def test_any_free_port_will_do() -> None:
    with bind("127.0.0.1", 0) as bound:
        port = bound.getsockname()[1]
        assert url_of(bound) == f"http://127.0.0.1:{port}"


def test_a_name_that_is_no_address_is_refused() -> None:
    with pytest.raises(Invalid):
        bind("no-such-host.invalid", 0)
