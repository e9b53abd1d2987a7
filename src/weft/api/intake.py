"""Reads request bodies, up to a limit, so that routes can be plain functions."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from weft.api.answer import respond
from weft.api.errors import answer_for
from weft.core.errors import Malformed, TooLarge

BODY_LIMIT = 10 * 1024 * 1024
"""Bytes that a body may have unless the app is told otherwise."""

_WITH_BODY = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class Intake:
    """Puts the body into the scope as `weft.body`, or answers 413 without reading it all."""

    def __init__(self, app: ASGIApp, *, limit: int, legacy: bool) -> None:
        self._app = app
        self._limit = limit
        self._legacy = legacy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] not in _WITH_BODY:
            await self._app(scope, receive, send)
            return
        try:
            self._check_announced(scope)
            body = await self._read(receive)
        except (TooLarge, Malformed) as error:
            code, said = answer_for(error)
            response = respond(
                said, status=200 if self._legacy else code, headers={"connection": "close"}
            )
            await response(scope, receive, send)
            return
        if body is None:
            return
        scope["weft.body"] = body
        given = False

        async def again() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, again, send)

    def _check_announced(self, scope: Scope) -> None:
        for name, value in scope["headers"]:
            if name == b"content-length":
                if not value.isdigit():
                    raise Malformed("the header Content-Length is not a number")
                if int(value) > self._limit:
                    raise self._too_large()

    async def _read(self, receive: Receive) -> bytes | None:
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > self._limit:
                raise self._too_large()
            chunks.append(chunk)
            if not message.get("more_body", False):
                return b"".join(chunks)

    def _too_large(self) -> TooLarge:
        return TooLarge(
            f"the body has more than {self._limit} bytes",
            hint="Send less, or put the data in a file that the pipeline reads.",
        )
