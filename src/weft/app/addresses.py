"""The address that the server listens on: which are allowed, who has it already."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from pathlib import Path

from weft.core.errors import Conflict, Denied, Invalid

_LISTENING = "0A"
NEXT_PORTS = 50
"""Ports that `next_free` tries after the wanted one."""


def refuse_public(host: str) -> None:
    """Raise `Denied` for an address that others can reach: nobody could be told apart."""
    if host == "localhost":
        return
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(host).is_loopback:
            return
    raise Denied(
        f"the server will not listen on {host!r}: anybody who reaches it could run code, "
        "and there is no admin account yet",
        hint="Listen on 127.0.0.1 and let people in through an SSH tunnel "
        "(ssh -L 6789:127.0.0.1:6789 this-host) or a proxy that asks who they are.",
    )


def bind(host: str, port: int) -> socket.socket:
    """Return a bound socket (port 0: any free one).

    Raises `Conflict` naming who has the port, as far as that is known, and `Invalid`
    for a host that is no address of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
    except socket.gaierror as error:
        found.close()
        raise Invalid(
            f"{host!r} is no address of this machine: {error.strerror}",
            hint="Use 127.0.0.1 or localhost.",
        ) from None
    except OSError as error:
        found.close()
        raise Conflict(
            f"port {port} of {host} cannot be had: {_why(error, port)}",
            hint=f"Stop that, or choose another port: --port {port + 1 if port < 65535 else 6789}.",  # noqa: PLR2004
        ) from None
    return found


def bind_next_free(host: str, port: int) -> socket.socket:
    """Return a socket bound to `port` or the first free one after it."""
    for candidate in range(port, min(port + NEXT_PORTS, 65535)):
        with contextlib.suppress(Conflict):
            return bind(host, candidate)
    return bind(host, 0)


def url_of(bound: socket.socket) -> str:
    """Return the URL of a bound socket."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _why(error: OSError, port: int) -> str:
    owner = _owner(port)
    if owner is not None:
        return f"process {owner} listens on it"
    return (error.strerror or str(error)).lower()


def _owner(port: int) -> str | None:
    """Return `pid (command)` of whoever listens on a port, if Linux lets us see it."""
    sockets = {f"socket:[{inode}]" for inode in _inodes(port)}
    if not sockets:
        return None
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            for handle in (process / "fd").iterdir():
                if str(handle.readlink()) in sockets:
                    words = (process / "cmdline").read_bytes().split(b"\0")
                    return f"{process.name} ({Path(words[0].decode(errors='replace')).name})"
    return None


def _inodes(port: int) -> set[str]:
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text(encoding="ascii").splitlines()[1:]:
                words = line.split()
                if words[3] == _LISTENING and int(words[1].rpartition(":")[2], 16) == port:
                    found.add(words[9])
    return found
