"""What an engine is given, and what it says of itself."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta

from weft.core.calendar import CronFactory
from weft.ports.channels import Channel
from weft.ports.clock import Clock
from weft.ports.executor import Executor
from weft.ports.registry import Registry
from weft.ports.signals import Signals
from weft.ports.unit import Store


@dataclass(frozen=True, slots=True)
class World:
    """All that an engine needs from outside.

    `exclusive` says that no other engine can reach the store (SQLite): then a lease
    that could not be renewed for a while puts nothing in doubt. `checkpoint` is told
    the name of each point between two writes; tests end the process there. What was
    taken to be announced is out of others' sight for `hold`: longer than any channel
    takes, and how late it may come when its teller dies.
    """

    store: Store
    executors: Registry[Executor]
    signals: Signals
    clock: Clock
    cron: CronFactory
    channels: Collection[Channel]
    exclusive: bool
    checkpoint: Callable[[str], None] = lambda _name: None
    hold: timedelta = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Health:
    """How an engine is getting on; times in seconds."""

    since_last_turn: float
    work_overdue: float
    lease_age: float
    runs_held: int
    attempts_in_flight: int
    triggers_set_aside: Mapping[int, str]
