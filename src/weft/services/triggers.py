"""The two endpoints through which anybody with a trigger's token starts a run."""

from __future__ import annotations

import hmac

from weft.core.errors import Invalid, Unauthenticated
from weft.core.ids import ScheduleId
from weft.services.caller import Caller, Right, require
from weft.services.context import Context
from weft.services.runs import Begun, StartRun, make_run, schedule_here


def fire(
    context: Context, caller: Caller, schedule_id: ScheduleId, token: str, asked: StartRun
) -> Begun:
    """Start a run of an API trigger; the token speaks for the caller.

    An inactive trigger becomes active. Raises `NotFound`, `Unauthenticated` for a
    wrong token, `Invalid` for a trigger of another type.
    """
    require(caller, Right.PUBLIC)
    with context.store.read() as unit:
        schedule = schedule_here(context, unit, schedule_id)
    if not schedule.token or not hmac.compare_digest(schedule.token.encode(), token.encode()):
        raise Unauthenticated(
            f"Invalid token for pipeline schedule ID {schedule_id}.",
            hint="Copy the token from the trigger's page; it may have been rotated.",
        )
    if schedule.schedule_type != "api":
        raise Invalid(
            "This endpoint is only supported for API trigger.",
            hint=f"Trigger {schedule.name!r} is of type {schedule.schedule_type}: make one of "
            f"type api, or POST to /api/pipeline_schedules/{schedule_id}/pipeline_runs.",
        )
    return make_run(context, f"trigger {schedule.name}", schedule, asked, activate=True)
