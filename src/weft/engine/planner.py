"""Turns due schedules into runs, at the moment they are due.

The times are pure arithmetic (`core.schedule`); this file remembers when to look
at each schedule next, so that nothing is polled. Several engines may plan the same
schedules: the unique (schedule, fire_key) lets one of them make the run.

A schedule that cannot be evaluated, or whose pipeline is broken, is set aside with
its reason, said once; the others go on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from weft.core import schedule as times
from weft.core.calendar import CronFactory
from weft.core.errors import WeftError
from weft.core.ids import ProjectId, RunId, ScheduleId
from weft.core.records import PipelineSchedule
from weft.engine.held import ServedProject
from weft.ports.runs import EngineRef, NewRun
from weft.ports.schedules import Fired
from weft.ports.unit import Unit

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Watched:
    schedule: PipelineSchedule
    fired: Fired
    look_at: datetime | None


class Planner:
    """Watches the active schedules of the served projects."""

    def __init__(
        self,
        served: Mapping[ProjectId, ServedProject],
        cron: CronFactory,
    ) -> None:
        self._served = served
        self._cron = cron
        self._watched: dict[ScheduleId, _Watched] = {}
        self._aside: dict[ScheduleId, str] = {}
        self._revision = -1

    @property
    def look_at(self) -> datetime | None:
        """When some schedule may be due; None if none ever will be by itself."""
        looks = [w.look_at for w in self._watched.values() if w.look_at is not None]
        return min(looks, default=None)

    @property
    def set_aside(self) -> Mapping[ScheduleId, str]:
        """Why some schedules are not planned."""
        return self._aside

    def reload(self, unit: Unit, now: datetime) -> None:
        """Read the active schedules anew, if any schedule changed."""
        revision = unit.schedules.revision()
        if revision == self._revision:
            return
        active = unit.schedules.active(list(self._served))
        fired = unit.schedules.fired([schedule.id for schedule in active])
        kept = {schedule.id for schedule in active}
        self._aside = {id_: why for id_, why in self._aside.items() if id_ in kept}
        self._watched = {s.id: _Watched(s, fired[s.id], now) for s in active}
        self._revision = revision

    def run_ended(self, schedule_id: ScheduleId | None, now: datetime) -> None:
        """Look again at a schedule whose next run waits for the end of the last."""
        if schedule_id in self._watched:
            self._watched[schedule_id].look_at = now

    def plan(self, unit: Unit, me: EngineRef, now: datetime) -> Sequence[RunId]:
        """Make the runs that are due, owned by `me`; return those that were new."""
        made: list[RunId] = []
        for watched in list(self._watched.values()):
            if watched.look_at is not None and watched.look_at <= now:
                made += self._plan_one(watched, unit, me, now)
        return made

    def _plan_one(
        self, watched: _Watched, unit: Unit, me: EngineRef, now: datetime
    ) -> Sequence[RunId]:
        schedule = watched.schedule
        try:
            watched.fired = unit.schedules.fired([schedule.id])[schedule.id]
            due = times.due(
                schedule,
                self._cron,
                now=now,
                count=watched.fired.count,
                last_execution_date=watched.fired.last_execution_date,
                last_status=watched.fired.last_status,
            )
            new = self._describe(schedule, unit) if due.fires else None
        except WeftError as error:
            self._set_aside(schedule, error)
            watched.look_at = None
            return ()
        watched.look_at = due.next_at
        self._aside.pop(schedule.id, None)
        for note in due.notes:
            log.warning("schedule", extra={"schedule": schedule.name, "note": note})
        if new is None:
            return ()
        made = [unit.runs.create(new(f.execution_date, f.key, me)) for f in due.fires]
        return [run_id for run_id, is_new in made if is_new]

    def _describe(
        self, schedule: PipelineSchedule, unit: Unit
    ) -> Callable[[datetime, str, EngineRef], NewRun]:
        loaded = self._served[schedule.project_id].files.load(schedule.pipeline_uuid)
        version = unit.catalog.pin(schedule.project_id, loaded)

        def new(execution_date: datetime, fire_key: str, owner: EngineRef) -> NewRun:
            return NewRun(
                project_id=schedule.project_id,
                pipeline_uuid=schedule.pipeline_uuid,
                version_id=version,
                schedule_id=schedule.id,
                blocks=tuple(block.uuid for block in loaded.spec.running_blocks),
                actor=f"trigger {schedule.name}",
                execution_date=execution_date,
                variables=schedule.variables,
                executor_type=loaded.spec.executor_type or "local_python",
                fire_key=fire_key,
                owner=owner,
            )

        return new

    def _set_aside(self, schedule: PipelineSchedule, error: WeftError) -> None:
        said = self._aside.get(schedule.id)
        self._aside[schedule.id] = str(error)
        if said != str(error):
            log.error(
                "trigger set aside: %s",
                error,
                extra={"trigger": schedule.name, "pipeline": schedule.pipeline_uuid},
            )
