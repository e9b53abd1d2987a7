"""Pipeline schedules and what has fired of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from weft.core.ids import PipelineUuid, ProjectId, ScheduleId
from weft.core.json import JsonMap
from weft.core.records import PipelineSchedule, ScheduleCounts
from weft.core.states import RunStatus


@dataclass(frozen=True, slots=True)
class NewSchedule:
    """A schedule to be kept; columns as in `records.PipelineSchedule`."""

    project_id: ProjectId
    pipeline_uuid: PipelineUuid
    name: str
    token: str
    schedule_type: str | None
    status: str = "inactive"
    description: str | None = None
    schedule_interval: str | None = None
    start_time: datetime | None = None
    last_enabled_at: datetime | None = None
    variables: JsonMap | None = None
    settings: JsonMap | None = None
    sla: int | None = None
    repo_path: str | None = None
    global_data_product_uuid: str | None = None
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Fired:
    """What a schedule has fired so far: only runs that the planner made count."""

    count: int
    last_execution_date: datetime | None
    last_status: RunStatus | None
    """Status of its most recently created run, whoever made it."""


class ScheduleStore(Protocol):
    """Schedules of all projects."""

    def add(self, new: NewSchedule, actor: str) -> PipelineSchedule:
        """Keep a new schedule, with an event row."""
        ...

    def get(self, schedule_id: ScheduleId) -> PipelineSchedule:
        """Return a schedule. Raises `NotFound`."""
        ...

    def find(
        self,
        project_id: ProjectId,
        pipeline_uuid: PipelineUuid | None = None,
        *,
        with_hidden: bool = False,
    ) -> Sequence[PipelineSchedule]:
        """Return the schedules of a project or pipeline, by id."""
        ...

    def update(
        self, schedule_id: ScheduleId, changes: Mapping[str, object], actor: str
    ) -> PipelineSchedule:
        """Set the named columns, with an event row. Raises `NotFound`."""
        ...

    def delete(self, schedule_id: ScheduleId, actor: str) -> None:
        """Forget a schedule; its runs stay, without one. Raises `NotFound`."""
        ...

    def active(self, projects: Collection[ProjectId]) -> Sequence[PipelineSchedule]:
        """Return the active schedules of type time that have an interval."""
        ...

    def fired(self, schedules: Collection[ScheduleId]) -> Mapping[ScheduleId, Fired]:
        """Return what each has fired; every id asked for is a key."""
        ...

    def counts(self, schedules: Collection[ScheduleId]) -> Mapping[ScheduleId, ScheduleCounts]:
        """Return each one's counters; ids without runs are absent."""
        ...

    def revision(self) -> int:
        """Return a number that rises with every change of any schedule."""
        ...
