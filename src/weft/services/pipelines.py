"""Pipelines as their files say, with their triggers on request."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from weft.core.errors import Invalid
from weft.core.ids import BlockUuid, PipelineUuid
from weft.core.json import JsonMap
from weft.core.records import Artifact, PipelineSchedule
from weft.core.spec import LoadedPipeline
from weft.ports.project import Quarantined
from weft.services.caller import Caller, Right, require
from weft.services.context import Context

NO_TAGS = "no_tags"
"""The tag of those that have none, for filters."""

STATUSES = ("active", "inactive", "no_schedules")


@dataclass(frozen=True, slots=True)
class PipelineQuery:
    """Which pipelines to list; empty or None means any. `order_by` is (key, descending)."""

    search: str | None = None
    types: Collection[str] = ()
    tags: Collection[str] = ()
    statuses: Collection[str] = ()
    with_schedules: bool = False
    order_by: tuple[tuple[str, bool], ...] = ()
    limit: int | None = None
    offset: int = 0


@dataclass(frozen=True, slots=True)
class PipelineView:
    """A pipeline, or why it is quarantined, and its triggers if they were asked for.

    `outputs` holds each block's newest outputs; `project_config` is the project's own
    `metadata.yaml`.
    """

    found: LoadedPipeline | Quarantined
    schedules: tuple[PipelineSchedule, ...] | None = None
    outputs: Mapping[BlockUuid, tuple[Artifact, ...]] = field(default_factory=dict)
    project_config: JsonMap = field(default_factory=dict)

    @property
    def uuid(self) -> PipelineUuid:
        """The pipeline's name."""
        found = self.found
        return found.uuid if isinstance(found, Quarantined) else found.spec.uuid


@dataclass(frozen=True, slots=True)
class PipelinePage:
    """One page of pipelines; `next` is None when nothing was said of a page's size."""

    items: tuple[PipelineView, ...]
    total: int
    next: bool | None


def list_pipelines(context: Context, caller: Caller, query: PipelineQuery) -> PipelinePage:
    """Return pipelines by name, the broken ones too. Raises `Invalid` for an unknown key."""
    require(caller, Right.READ)
    _check(query)
    config = context.files.settings().config
    schedules = _schedules(context) if query.with_schedules or _needs_schedules(query) else None
    views = [
        PipelineView(
            found,
            None if schedules is None else schedules.get(_uuid(found), ()),
            project_config=config,
        )
        for found in context.files.scan()
    ]
    chosen = [view for view in views if _wanted(view, query)]
    chosen.sort(key=lambda view: view.uuid)
    for key, descending in reversed(query.order_by):
        _sort(chosen, _KEYS[key], descending=descending)
    end = None if query.limit is None else query.offset + query.limit
    page = tuple(chosen[query.offset : end])
    more = None if end is None else end < len(chosen)
    if not query.with_schedules:
        page = tuple(PipelineView(view.found, project_config=config) for view in page)
    return PipelinePage(page, len(chosen), more)


def get_pipeline(
    context: Context,
    caller: Caller,
    uuid: PipelineUuid,
    *,
    with_outputs: bool = False,
    with_schedules: bool = False,
) -> PipelineView:
    """Return a pipeline. Raises `NotFound`, or `BrokenPipeline` with file and line."""
    require(caller, Right.READ)
    loaded = context.files.load(uuid)
    outputs: dict[BlockUuid, tuple[Artifact, ...]] = {}
    schedules = None
    if with_outputs or with_schedules:
        with context.store.read() as unit:
            if with_outputs:
                for block in loaded.spec.blocks:
                    outputs[block.uuid] = unit.artifacts.newest(
                        context.project.id, uuid, None, block.uuid
                    )
            if with_schedules:
                schedules = tuple(unit.schedules.find(context.project.id, uuid))
    return PipelineView(loaded, schedules, outputs, context.files.settings().config)


def names(context: Context, caller: Caller) -> tuple[PipelineUuid, ...]:
    """Return every pipeline's name, sorted."""
    require(caller, Right.READ)
    return tuple(context.files.names())


def _uuid(found: LoadedPipeline | Quarantined) -> PipelineUuid:
    return found.uuid if isinstance(found, Quarantined) else found.spec.uuid


def _check(query: PipelineQuery) -> None:
    unknown = [key for key, _ in query.order_by if key not in _KEYS]
    if unknown:
        raise Invalid(
            f"pipelines cannot be ordered by {unknown[0]!r}", hint=f"Use one of {sorted(_KEYS)}."
        )
    strange = [status for status in query.statuses if status not in STATUSES]
    if strange:
        raise Invalid(
            f"no list of pipelines has the status {strange[0]!r}",
            hint=f"Use {', '.join(STATUSES)}.",
        )


def _needs_schedules(query: PipelineQuery) -> bool:
    sorted_by = {key for key, _ in query.order_by}
    return bool(query.statuses) or bool(sorted_by & {"triggers", "status"})


def _schedules(context: Context) -> Mapping[PipelineUuid, tuple[PipelineSchedule, ...]]:
    found: dict[PipelineUuid, tuple[PipelineSchedule, ...]] = {}
    with context.store.read() as unit:
        for schedule in unit.schedules.find(context.project.id):
            found[schedule.pipeline_uuid] = (*found.get(schedule.pipeline_uuid, ()), schedule)
    return found


def _wanted(view: PipelineView, query: PipelineQuery) -> bool:
    found = view.found
    kind = "invalid" if isinstance(found, Quarantined) else found.spec.type
    tags = () if isinstance(found, Quarantined) else found.spec.tags
    return (
        (not query.search or query.search.lower() in view.uuid.lower())
        and (not query.types or kind in query.types)
        and (not query.tags or bool({*tags} & {*query.tags}) or _untagged(tags, query.tags))
        and (not query.statuses or _status(view) in query.statuses)
    )


def _untagged(tags: tuple[str, ...], wanted: Collection[str]) -> bool:
    return not tags and NO_TAGS in wanted


def _status(view: PipelineView) -> str:
    if not view.schedules:
        return "no_schedules"
    active = any(schedule.status == "active" for schedule in view.schedules)
    return "active" if active else "inactive"


def _of_spec(attribute: str) -> Callable[[PipelineView], Any]:
    def key(view: PipelineView) -> Any:
        found = view.found
        return None if isinstance(found, Quarantined) else getattr(found.spec, attribute)

    return key


def _block_count(view: PipelineView) -> int:
    return 0 if isinstance(view.found, Quarantined) else len(view.found.spec.blocks)


def _updated(view: PipelineView) -> float:
    return 0.0 if isinstance(view.found, Quarantined) else view.found.updated_at


def _created(view: PipelineView) -> str | None:
    if isinstance(view.found, Quarantined):
        return None
    created = view.found.spec.config.get("created_at")
    return None if created is None else str(created)


_KEYS: Mapping[str, Callable[[PipelineView], Any]] = {
    "uuid": lambda view: str(view.uuid),
    "name": _of_spec("name"),
    "type": _of_spec("type"),
    "description": _of_spec("description"),
    "tags": _of_spec("tags"),
    "executor_type": _of_spec("executor_type"),
    "created_at": _created,
    "updated_at": _updated,
    "blocks": _block_count,
    "triggers": lambda view: len(view.schedules or ()),
    "status": _status,
}


def _sort(
    views: list[PipelineView], key: Callable[[PipelineView], Any], *, descending: bool
) -> None:
    """Sort stably; what has no value comes last."""
    valued = [view for view in views if key(view) is not None]
    without = [view for view in views if key(view) is None]
    valued.sort(key=key, reverse=descending)
    views[:] = [*valued, *without]
