"""What can happen to a pipeline run. A new kind of happening is a class here.

Reports name the attempt they speak of. Whatever speaks of an attempt that is not
the block's present one is stale, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from weft.core.graph import Graph
from weft.core.ids import BlockUuid
from weft.core.retry import RetryPolicy
from weft.core.states import Cause


@dataclass(frozen=True, slots=True)
class Began:
    """An engine took the run up."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """Admission gave these ready blocks a place."""

    blocks: tuple[BlockUuid, ...]


@dataclass(frozen=True, slots=True)
class Started:
    """An executor says that an attempt began."""

    block: BlockUuid
    attempt: int


@dataclass(frozen=True, slots=True)
class Succeeded:
    """An executor says that an attempt ended well, its outputs complete on disk."""

    block: BlockUuid
    attempt: int


@dataclass(frozen=True, slots=True)
class Failed:
    """An attempt ended badly by its own doing: it spends a try.

    `final` says that another try cannot help (the block is not valid Python, say).
    """

    block: BlockUuid
    attempt: int
    cause: Cause = Cause.USER
    final: bool = False


@dataclass(frozen=True, slots=True)
class Lost:
    """An attempt vanished through no fault of its own: it spends no try.

    With cause `lost` (child, zygote, worker) three in a row fail the block; with
    cause `engine` any number is forgiven.
    """

    block: BlockUuid
    attempt: int
    cause: Cause = Cause.LOST


@dataclass(frozen=True, slots=True)
class Stopped:
    """An attempt that was told to stop is proven to be over."""

    block: BlockUuid
    attempt: int


@dataclass(frozen=True, slots=True)
class Woke:
    """Time passed: some retry may be due."""


@dataclass(frozen=True, slots=True)
class CancelAsked:
    """Somebody asked for the run to end."""

    by: str


@dataclass(frozen=True, slots=True)
class RetryAsked:
    """Somebody asked an ended run to go on.

    With `from_block`, it and all its descendants run again; otherwise every block
    that is not `completed`. `graph` and `retries` are those of the current code.
    """

    by: str
    graph: Graph
    retries: Mapping[BlockUuid, RetryPolicy]
    from_block: BlockUuid | None = None


Event: TypeAlias = (
    Began
    | Admitted
    | Started
    | Succeeded
    | Failed
    | Lost
    | Stopped
    | Woke
    | CancelAsked
    | RetryAsked
)
