"""The demonstration: a schedule that fires once, its run watched, the object fetched."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from urllib.parse import urlsplit

from weft.app.local_run import Show, follow
from weft.core.errors import Unavailable
from weft.core.ids import PipelineUuid, RunId, ScheduleId
from weft.core.json import JsonMap
from weft.core.records import RunWithBlocks
from weft.ports.runs import RunFilter
from weft.ports.signals import MOVED
from weft.project.scaffold import EXAMPLE_PIPELINE
from weft.services import schedules
from weft.services.caller import LOCAL
from weft.services.context import Context, listening

FIRES_WITHIN = 30.0
"""Seconds after which a schedule that has not fired is a defect."""

_TIMEOUT = 30.0


def fire_once(context: Context, show: Show) -> RunWithBlocks:
    """Make an active schedule `@once` of the example, watch its run, return it ended.

    Raises `Unavailable` when the schedule does not fire.
    """
    with listening(context, MOVED) as news:
        view = schedules.create_schedule(
            context,
            LOCAL,
            PipelineUuid(EXAMPLE_PIPELINE),
            {"schedule_type": "time", "schedule_interval": "@once", "status": "active"},
        )
        run_id = _first_run(context, view.schedule.id, news.wait)
    return follow(context, run_id, show)


def fetch(url: str, path: str) -> JsonMap:
    """Return the JSON object that the server answers. Raises `Unavailable`."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=_TIMEOUT)
    try:
        connection.request("GET", path, headers={"Accept": "application/json"})
        response = connection.getresponse()
        body = response.read()
    except OSError as error:
        raise Unavailable(f"the server at {url} does not answer: {error}") from None
    finally:
        connection.close()
    if response.status != http.HTTPStatus.OK:
        raise Unavailable(f"the server answered {path} with status {response.status}")
    answer: JsonMap = json.loads(body)
    return answer


def _first_run(context: Context, schedule_id: ScheduleId, wait: Callable[[float], bool]) -> RunId:
    wanted = RunFilter(context.project.id, schedule_id=schedule_id, limit=1)
    until = context.clock.monotonic() + FIRES_WITHIN
    while True:
        with context.store.read() as unit:
            page = unit.runs.find(wanted)
        if page.items:
            return page.items[0].run.id
        left = until - context.clock.monotonic()
        if left <= 0:
            raise Unavailable(
                f"schedule {schedule_id} has not fired within {FIRES_WITHIN:.0f} s",
                hint="Run it again with WEFT_LOG_LEVEL=debug.",
            )
        wait(left)
