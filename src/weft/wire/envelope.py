"""The envelope of one attempt: all that a worker needs, and nothing that it must ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from weft.core.artifact import Output
from weft.core.json import JsonMap

PROTOCOL = 1
"""Raised when an old worker could misread a new engine, or the reverse."""


@dataclass(frozen=True, slots=True)
class Input:
    """One upstream block and what it left behind, in the order of its names."""

    block_uuid: str
    block_type: str
    outputs: tuple[Output, ...] = ()


@dataclass(frozen=True, slots=True)
class Envelope:
    """One attempt of one block run.

    `variables` are those of the run with all precedence settled; a value may be an
    aware datetime. `context` of the block starts empty. Paths are absolute.
    `memory_limit` is in bytes, `timeout` in seconds.
    """

    token: str
    """Secret of this attempt: what speaks for it on the channel must show it."""
    project_path: str
    pipeline_uuid: str
    run_id: int
    block_run_id: int
    block_uuid: str
    block_type: str
    language: str
    attempt: int
    try_number: int
    code: str | None
    code_path: str
    output_dir: str
    log_path: str
    partition: str = ""
    configuration: JsonMap = field(default_factory=dict)
    inputs: tuple[Input, ...] = ()
    variables: JsonMap = field(default_factory=dict)
    tags: Mapping[str, str | int | None] = field(default_factory=dict)
    """Goes into every structured log line (run, schedule, pipeline, block, ...)."""
    timeout: float | None = None
    grace: float = 5.0
    memory_limit: int | None = None
    run_tests: bool = True
    fsync: bool = True
    preload: tuple[str, ...] = ()
    protocol: int = PROTOCOL
