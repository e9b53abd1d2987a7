"""Every error that Weft raises on purpose.

WeftError
├── Invalid            the caller's input is wrong              HTTP 422  exit 2
│   ├── Malformed      it cannot even be parsed                 HTTP 400  exit 2
│   ├── BrokenPipeline a pipeline's files do not make sense     HTTP 422  exit 2
│   └── TooLarge       it exceeds a stated limit                HTTP 413  exit 2
├── NotFound           the thing named does not exist           HTTP 404  exit 3
├── Conflict           the state of the world forbids it        HTTP 409  exit 4
│   ├── IllegalMove    the table of moves has no such move
│   ├── LostLease      another engine owns the run now
│   └── StaleFile      a file changed since it was read
├── Denied             the caller may not do it                 HTTP 403  exit 5
│   └── Unauthenticated  nobody knows who the caller is         HTTP 401  exit 5
├── Unavailable        a backing service did not answer         HTTP 503  exit 6
└── MissingExtra       an optional package is not installed     HTTP 501  exit 7

A user's own exception is never one of these: the worker reports it as data.
`code` is stable and public; `hint` says what to do next; `where` says in which
file and line the trouble is, when it is in a file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Where:
    """A place in a file of the project: `line` and `column` count from 1."""

    path: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        parts = [self.path, self.line, self.column]
        return ":".join(str(part) for part in parts if part is not None)


class WeftError(Exception):
    """Root of the tree."""

    code: ClassVar[str] = "internal"

    def __init__(
        self, message: str, *, hint: str | None = None, where: Where | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.where = where

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


class Invalid(WeftError, ValueError):
    """The caller's input is wrong."""

    code = "invalid"


class Malformed(Invalid):
    """The input cannot be parsed at all."""

    code = "malformed"


class BrokenPipeline(Invalid):
    """A pipeline's files do not make sense; others are not concerned."""

    code = "broken_pipeline"


class TooLarge(Invalid):
    """The input exceeds a stated limit."""

    code = "too_large"


class NotFound(WeftError):
    """The thing named does not exist."""

    code = "record_not_found"


class Conflict(WeftError):
    """The state of the world forbids it."""

    code = "conflict"


class IllegalMove(Conflict):
    """The table of moves has no such move."""

    code = "illegal_move"


class LostLease(Conflict):
    """Another engine owns the run now."""

    code = "lost_lease"


class StaleFile(Conflict):
    """A file changed since it was read; nothing was written."""

    code = "stale_file"


class Denied(WeftError):
    """The caller may not do it."""

    code = "unauthorized_access"


class Unauthenticated(Denied):
    """Nobody knows who the caller is, or its token is wrong."""

    code = "invalid_token"


class Unavailable(WeftError):
    """A backing service did not answer; the same call may work later."""

    code = "unavailable"


class MissingExtra(WeftError):
    """An optional package is not installed; the hint names the command."""

    code = "missing_extra"
