"""How the service fares: the health check."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime

from weft.core.states import RunStatus
from weft.ports.runs import RunFilter
from weft.services.caller import Caller, Right, require
from weft.services.context import Context


@dataclass(frozen=True, slots=True)
class Activity:
    """What went on lately."""

    running: int
    last_moved_at: datetime | None
    asked_at: datetime


@dataclass(frozen=True, slots=True)
class Health:
    """The server's process, and that of an engine with a live lease, if there is one."""

    server_pid: int
    engine_pid: int | None
    activity: Activity | None = None


def health(context: Context, caller: Caller, *, with_activity: bool = False) -> Health:
    """Return the state of server and engine as the database sees it."""
    require(caller, Right.PUBLIC)
    with context.store.read() as unit:
        live = [engine for engine in unit.engines.all() if engine.live]
        activity = None
        if with_activity:
            project = context.project.id
            running = RunFilter(project, statuses={RunStatus.RUNNING}, with_hidden=True, limit=0)
            newest = RunFilter(project, order_by=(("updated_at", True),), with_hidden=True, limit=1)
            last = unit.runs.find(newest).items
            activity = Activity(
                running=unit.runs.find(running).total,
                last_moved_at=last[0].run.updated_at if last else None,
                asked_at=context.clock.now(),
            )
    here = [engine.pid for engine in live if engine.pid == os.getpid()]
    pids = here or [engine.pid for engine in live]
    return Health(os.getpid(), pids[0] if pids else None, activity)
