"""Keeps foreign web pages away from a server without login (pure ASGI).

A page in a browser can make requests to this machine. What tells such a request from
an honest one: the Host is not a loopback name (DNS rebinding), or the browser itself
says that another site or origin asks. Plain navigation (typing the address, following
a link) changes nothing and is let through.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from urllib.parse import unquote, urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from weft.api.answer import respond
from weft.api.errors import body_of

_SAFE_SITES = frozenset({"same-origin", "none"})
_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"frame-ancestors 'none'"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
)
_NO_STORE = (b"cache-control", b"no-store")


class Guard:
    """Refuses foreign hosts, foreign origins and paths that climb; adds headers.

    `hosts` are names beside the loopback ones under which the server is reached;
    `origins` are other origins (`https://example.org`) whose pages may call it.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Collection[str] = (),
        origins: Collection[str] = (),
    ) -> None:
        self._app = app
        self._hosts = frozenset(host.lower().rstrip(".") for host in hosts)
        self._origins = frozenset(origin.lower().rstrip("/") for origin in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                _add_headers(message, scope["path"])
            await send(message)

        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, with_headers)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            code, kind, message, hint = refusal
            response = respond(
                body_of(code, kind, message, hint=hint),
                status=code,
                headers={"connection": "close"},
            )
            await response(scope, receive, with_headers)

    def _refusal(self, scope: Scope) -> tuple[int, str, str, str] | None:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get(b"host", "")
        if not self._knows(_name_of(host)):
            return (
                _FORBIDDEN,
                "foreign_host",
                f"this server does not answer to the name {host[:100]!r}",
                "Use http://localhost, or name the host in the server's settings.",
            )
        if self._foreign(scope, headers, host):
            return (
                _FORBIDDEN,
                "foreign_origin",
                "another web page asked for this, not you",
                "Open the address itself, or use a program that sends no Origin.",
            )
        if _climbs(scope):
            return (
                400,
                "malformed",
                "Invalid path (path traversal detected)",
                "Names in paths and queries never contain `../`.",
            )
        return None

    def _knows(self, name: str) -> bool:
        if name == "localhost" or name in self._hosts:
            return True
        return _is_loopback(name)

    def _foreign(self, scope: Scope, headers: dict[bytes, str], host: str) -> bool:
        if (
            scope["type"] == "http"
            and scope["method"] in {"GET", "HEAD"}
            and headers.get(b"sec-fetch-mode") == "navigate"
        ):
            return False
        origin = headers.get(b"origin")
        if origin is not None and origin.lower() in self._origins:
            return False
        site = headers.get(b"sec-fetch-site")
        if site is not None and site not in _SAFE_SITES:
            return True
        return origin is not None and not _same_place(origin, host)


_FORBIDDEN = 403


def _same_place(origin: str, host: str) -> bool:
    """Whether an origin is the very host and port that is asked."""
    try:
        there = urlsplit(origin)
        here = urlsplit(f"{there.scheme}://{host}")
        ports = (there.port, here.port)
    except ValueError:
        return False
    usual = _PORTS.get(there.scheme)
    if usual is None or there.hostname != here.hostname:
        return False
    return (ports[0] or usual) == (ports[1] or usual)


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _name_of(host: str) -> str:
    """Return the name in a Host header, without port and brackets; empty if it is none."""
    if any(mark in host for mark in "@/\\?# \t"):
        return ""
    try:
        parts = urlsplit(f"//{host}")
        valid = parts.port is None or parts.port > 0
    except ValueError:
        return ""
    return (parts.hostname or "").rstrip(".") if valid else ""


def _climbs(scope: Scope) -> bool:
    """Whether path or query climb out of where they belong.

    The server decodes the path once and routes decode names once more; nobody decodes
    the query before this, and once after it.
    """
    query = scope.get("query_string", b"").decode("latin-1").replace("+", " ")
    for text in (scope["path"], query):
        for plain in (text, unquote(text)):
            if "\x00" in plain:
                return True
            if "../" in plain or "..\\" in plain or plain.endswith("/.."):
                return True
    return False


def _add_headers(message: Message, path: str) -> None:
    headers = list(message.get("headers", ()))
    names = {name.lower() for name, _ in headers}
    wanted = (*_HEADERS, _NO_STORE) if path.startswith("/api") else _HEADERS
    headers.extend(pair for pair in wanted if pair[0] not in names)
    message["headers"] = headers
