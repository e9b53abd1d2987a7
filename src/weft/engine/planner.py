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
from datetime import datetime, timedelta

from weft.core import schedule as times
from weft.core.calendar import CronFactory
from weft.core.errors import BrokenPipeline, NotFound, Unavailable, WeftError
from weft.core.ids import ProjectId, RunId, ScheduleId
from weft.core.records import PipelineSchedule
from weft.core.schedule import Due
from weft.core.schedule_settings import Overlap
from weft.engine.held import ServedProject
from weft.ports.runs import EngineRef, NewRun
from weft.ports.schedules import Fired
from weft.ports.unit import Unit

log = logging.getLogger(__name__)

MENDING = timedelta(seconds=30)
"""How soon a schedule whose pipeline was broken is looked at again."""


@dataclass(slots=True)
class _Watched:
    schedule: PipelineSchedule
    fired: Fired
    look_at: datetime | None
    said: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Planned:
    """A run just made; `overlaps` says that it is to be skipped for an earlier one."""

    run_id: RunId
    overlaps: bool = False


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

    def reload(self, unit: Unit, now: datetime, *, anyway: bool = False) -> None:
        """Read the active schedules anew, if any schedule changed (or `anyway`)."""
        revision = unit.schedules.revision()
        if revision == self._revision and not anyway:
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

    def plan(self, unit: Unit, me: EngineRef, now: datetime) -> Sequence[Planned]:
        """Make the runs that are due, owned by `me`; return those that were new."""
        made: list[Planned] = []
        for watched in list(self._watched.values()):
            if watched.look_at is not None and watched.look_at <= now:
                made += self._plan_one(watched, unit, me, now)
        return made

    def _plan_one(
        self, watched: _Watched, unit: Unit, me: EngineRef, now: datetime
    ) -> Sequence[Planned]:
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
        except Unavailable:
            raise
        except WeftError as error:
            self._set_aside(schedule, error)
            # A pipeline is mended by editing a file, of which nobody tells us.
            mendable = isinstance(error, BrokenPipeline | NotFound)
            watched.look_at = now + MENDING if mendable else None
            return ()
        watched.look_at = due.next_at
        self._aside.pop(schedule.id, None)
        if due.notes and due.notes != watched.said:
            watched.said = due.notes
            log.warning("trigger %s: %s", schedule.name, "; ".join(due.notes))
        if new is None:
            return ()
        return self._make(due, [new(f.execution_date, f.key, me) for f in due.fires], unit)

    def _make(self, due: Due, runs: Sequence[NewRun], unit: Unit) -> Sequence[Planned]:
        skips = due.settings is not None and due.settings.overlap is Overlap.SKIP
        made = []
        for run in runs:
            schedule_id = run.schedule_id
            assert schedule_id is not None, "the planner makes runs of schedules"  # noqa: S101
            open_before = skips and _runs_now(unit, schedule_id)
            run_id, is_new = unit.runs.create(run)
            if is_new:
                made.append(Planned(run_id, overlaps=open_before))
        return made

    def _describe(
        self, schedule: PipelineSchedule, unit: Unit
    ) -> Callable[[datetime, str, EngineRef], NewRun]:
        loaded = self._served[schedule.project_id].files.load(schedule.pipeline_uuid)
        loaded.spec.check_runs()
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


def _runs_now(unit: Unit, schedule_id: ScheduleId) -> bool:
    counts = unit.schedules.counts([schedule_id]).get(schedule_id)
    return counts is not None and counts.in_progress > 0
