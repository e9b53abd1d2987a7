"""The one place where an error becomes an answer."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from weft.api.answer import respond
from weft.core import errors
from weft.core.errors import WeftError
from weft.core.json import Json

log = logging.getLogger(__name__)

STATUSES: Mapping[type[WeftError], int] = {
    errors.Invalid: 422,
    errors.Malformed: 400,
    errors.TooLarge: 413,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.Denied: 403,
    errors.Unauthenticated: 401,
    errors.Unavailable: 503,
    errors.MissingExtra: 501,
}
"""HTTP status of each class of error; a class that is not named has its parent's."""

_ROUTING = {404: "no_such_path", 405: "method_not_allowed"}


def status_of(error: WeftError) -> int:
    """Return the honest HTTP status of an error."""
    return next((STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES), 500)


def body_of(  # what one error says, in words and in code
    code: int,
    kind: str,
    message: str,
    *,
    hint: str | None = None,
    where: Json = None,
    problems: list[Json] | None = None,
) -> dict[str, Json]:
    """Return the body that every error has."""
    error = {"code": code, "message": message, "type": kind, "hint": hint}
    if where is not None:
        error["where"] = where
    if problems is not None:
        error["errors"] = problems
    error["exception"] = message
    return {"error": error, "status": code}


def answer_for(error: WeftError) -> tuple[int, dict[str, Json]]:
    """Return status and body of an error raised on purpose."""
    code = status_of(error)
    where = error.where and {
        "path": error.where.path,
        "line": error.where.line,
        "column": error.where.column,
    }
    return code, body_of(code, error.code, str(error), hint=error.hint, where=where)


Handler = Callable[[Request, Exception], Response]


def handlers(*, legacy: bool) -> Mapping[Any, Handler]:
    """Return the exception handlers; with `legacy` every answer has HTTP status 200."""

    def reply(code: int, body: Json, headers: Mapping[str, str] | None = None) -> Response:
        return respond(body, status=200 if legacy else code, headers=headers)

    def weft_error(_request: Request, error: Exception) -> Response:
        if not isinstance(error, WeftError):
            raise error
        return reply(*answer_for(error))

    def routing(request: Request, error: Exception) -> Response:
        if not isinstance(error, HTTPException):
            raise error
        said = f"{HTTPStatus(error.status_code).phrase}: {request.method} {request.url.path}"
        body = body_of(
            error.status_code,
            _ROUTING.get(error.status_code, "refused"),
            said,
            hint="/openapi.json lists every path and method.",
        )
        return reply(error.status_code, body, error.headers)

    def validation(_request: Request, error: Exception) -> Response:
        if not isinstance(error, RequestValidationError):
            raise error
        problems: list[Json] = [
            {"path": ".".join(map(str, one["loc"])), "message": one["msg"]}
            for one in error.errors()
        ]
        said = "; ".join(f"{one['path']}: {one['message']}" for one in problems)
        return reply(422, body_of(422, errors.Invalid.code, said, problems=problems))

    return {
        WeftError: weft_error,
        HTTPException: routing,
        RequestValidationError: validation,
    }


class Shield:
    """Turns whatever nobody expected into a numbered 500; details go to the log alone."""

    def __init__(self, app: ASGIApp, *, legacy: bool) -> None:
        self._app = app
        self._legacy = legacy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def watch(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except Exception:
            number = secrets.token_hex(6)
            log.exception("unexpected error", extra={"error_id": number, "path": scope.get("path")})
            if begun:
                # The answer is half out: only breaking it off tells the client.
                raise
            body = body_of(
                500,
                "internal",
                f"something went wrong here (error {number})",
                hint="The service's log says more under this number.",
            )
            response = respond(body, status=200 if self._legacy else 500)
            await response(scope, receive, send)
