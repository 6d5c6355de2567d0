"""`/queue/stats`, history, rewind, the conservation meter, and `/jobs/{id}/why`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from novapulse.core.actor import Actor, Permission
from novapulse.core.clock import parse_rfc3339
from novapulse.core.errors import InvalidError
from novapulse.core.http import ApiRoute
from novapulse.core.runtime import Runtime, current
from novapulse.jobs.conservation import conservation, repair
from novapulse.jobs.counts import QueueStats, queue_stats
from novapulse.jobs.history import Window, queue_history, rewind
from novapulse.jobs.shapes import ConservationView, HistoryView, RepairView, RewindView, WhyView
from novapulse.jobs.waiting_reason import explain
from novapulse.security.policy import needs

router = APIRouter(route_class=ApiRoute, tags=["Jobs"])
Rt = Annotated[Runtime, Depends(current)]
ReadsJobs = Annotated[Actor, needs(Permission.JOBS_READ)]
ChangesJobs = Annotated[Actor, needs(Permission.JOBS_WRITE)]
_Name = Annotated[str, Path(max_length=64, description="`email`, `webhook`, `workflow` or `report`.")]
_Id = Annotated[str, Path(max_length=64)]
_Time = Annotated[str | None, Query(description="RFC 3339, within the last 24 hours.")]


@router.get("/queue/stats")
async def get_queue_stats(rt: Rt, actor: ReadsJobs) -> QueueStats:
    """Every queue and worker now; what cannot be known is null."""
    return await queue_stats(rt, actor)


@router.get("/queue/conservation")
async def get_conservation(rt: Rt, actor: ReadsJobs) -> ConservationView:
    """Whether everything that was enqueued is where it can be found: `enqueued` = the states + `gone` + `drift`."""
    return await conservation(rt, actor)


@router.get("/queue/rewind")
async def get_rewind(
    rt: Rt, actor: ReadsJobs, at: _Time = None, since: _Time = None, until: _Time = None
) -> RewindView:
    """All queues `at` a moment of the last 24 hours, or from `since` to `until`, and what was done in that time."""
    return await rewind(rt, actor, at=_ms("/at", at), since=_ms("/since", since), until=_ms("/until", until))


@router.get("/queue/{name}/history")
async def get_history(rt: Rt, actor: ReadsJobs, name: _Name, window: Window = "1h") -> HistoryView:
    """A queue over time, for charts, and what happened in that time. A step nobody looked at is null."""
    return await queue_history(rt, actor, name, window)


@router.post("/queue/{name}/repair")
async def post_repair(rt: Rt, actor: ChangesJobs, name: _Name) -> RepairView:
    """Make the counters what the rows say, and have jobs that Valkey lost handed out again."""
    return await repair(rt, actor, name)


@router.get("/jobs/{id}/why")
async def get_why(rt: Rt, actor: ReadsJobs, id: _Id) -> WhyView:
    """Why a job, or a delivery, is not running, and when it may begin."""
    return await explain(rt, actor, id)


def _ms(pointer: str, value: str | None) -> int | None:
    if value is None:
        return None
    try:
        return parse_rfc3339(value)
    except ValueError as error:
        raise InvalidError.at(pointer, str(error)) from None
