"""What the terminal says of an error, and the exit code that goes with it."""

from __future__ import annotations

from weft.core.errors import (
    Conflict,
    Denied,
    Invalid,
    MissingExtra,
    NotFound,
    Unavailable,
    WeftError,
)

INTERRUPTED = 130
RUN_FAILED = 1
"""A run that ended other than completed."""

EXIT_CODES: tuple[tuple[type[WeftError], int], ...] = (
    (Invalid, 2),
    (NotFound, 3),
    (Conflict, 4),
    (Denied, 5),
    (Unavailable, 6),
    (MissingExtra, 7),
)


def exit_code(error: WeftError) -> int:
    """Return the code that `core.errors` promises for an error."""
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), 1)


def explain(error: WeftError) -> str:
    """Return what, where and what to do next, in up to three lines."""
    lines = [f"Error: {error.message}"]
    if error.where is not None:
        lines.append(f"  in {error.where}")
    if error.hint:
        lines.append(f"  {error.hint}")
    return "\n".join(lines)
