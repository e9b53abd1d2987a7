"""Who asks, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from weft.core.errors import Denied


class Right(StrEnum):
    """What a use case demands of its caller."""

    PUBLIC = "public"
    """Nothing: the health check, and what proves itself by a trigger's own token."""
    READ = "read"
    RUN = "run"
    """Start, cancel and delete runs."""
    EDIT = "edit"
    """Change triggers, pipelines and code."""
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody with rights; `name` is the actor in event rows."""

    name: str
    rights: frozenset[Right]


LOCAL = Caller("local", frozenset(Right))
"""Whoever sits at this machine, as long as the product knows no people."""

NOBODY = Caller("nobody", frozenset({Right.PUBLIC}))
"""Somebody of whom nothing is known."""


def require(caller: Caller, right: Right) -> None:
    """Raise `Denied` unless the caller has the right."""
    if right not in caller.rights:
        raise Denied(
            f"{caller.name} lacks the right {right.value!r}",
            hint="Ask somebody who has it, or sign in as somebody else.",
        )
