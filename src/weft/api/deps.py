"""What routes take from a request besides its body and query."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar
from urllib.parse import unquote

from starlette.requests import Request

from weft.core.errors import NotFound
from weft.services.caller import Caller
from weft.services.context import Context

Identify = Callable[[Request], Caller]
"""Says who asks. Raises `Unauthenticated` for a credential that is wrong."""

_LARGEST = 2**63 - 1
_DIGITS = len(str(_LARGEST))

Id = TypeVar("Id")


def context_of(request: Request) -> Context:
    """Return the world that the app was made with."""
    context: Context = request.app.state.context
    return context


def caller_of(request: Request) -> Caller:
    """Return who asks."""
    identify: Identify = request.app.state.identify
    return identify(request)


def number(text: str, make: Callable[[int], Id], what: str) -> Id:
    """Return an id from a path. Raises `NotFound`: what is no number names nothing."""
    fits = text.isascii() and text.isdigit() and len(text) <= _DIGITS
    if not fits or int(text) > _LARGEST:
        raise NotFound(f"there is no {what} {text[:40]!r}", hint="Ids are whole numbers.")
    return make(int(text))


def name(text: str) -> str:
    """Return a name from a path; clients encode slashes once or twice."""
    return unquote(text)
