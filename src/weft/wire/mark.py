"""How the processes that an attempt started are told from all others, wherever they went.

Each child puts `VARIABLE=<mark>` into its environment, which the programs that it starts
inherit and the kernel shows to their owner, even when they left the attempt's group.
"""

from __future__ import annotations

import hashlib

VARIABLE = "WEFT_ATTEMPT"


def mark_of(token: str) -> str:
    """Return the mark of an attempt, from which nobody learns its token."""
    return hashlib.sha256(f"mark {token}".encode()).hexdigest()[:32]


def marked(environment: bytes) -> str | None:
    """Return the mark in the environment of a process, as `/proc` shows it, or None."""
    name = f"{VARIABLE}=".encode()
    for entry in environment.split(b"\0"):
        if entry.startswith(name):
            return entry.removeprefix(name).decode("ascii", "replace")
    return None
