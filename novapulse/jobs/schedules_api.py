"""`/schedules`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response

from novapulse.core.actor import Actor, Permission
from novapulse.core.http import ApiRoute
from novapulse.core.pagination import LIMIT_DEFAULT, LIMIT_MAX, Page
from novapulse.core.runtime import Runtime, current
from novapulse.jobs import schedules
from novapulse.jobs.schemas import CronIn, CronView, JobView, ScheduleIn, SchedulePatch, ScheduleView
from novapulse.security.policy import needs

router = APIRouter(route_class=ApiRoute, tags=["Schedules"])
Rt = Annotated[Runtime, Depends(current)]
ReadsJobs = Annotated[Actor, needs(Permission.JOBS_READ)]
ChangesJobs = Annotated[Actor, needs(Permission.JOBS_WRITE)]
Id = Annotated[str, Path(max_length=64)]


@router.get("/schedules")
async def list_schedules(
    rt: Rt,
    actor: ReadsJobs,
    task: Annotated[str | None, Query(min_length=1, max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = LIMIT_DEFAULT,
    cursor: Annotated[str | None, Query(max_length=256)] = None,
) -> Page[ScheduleView]:
    """Jobs that are made again and again, newest first."""
    return await schedules.list_schedules(rt, actor, task=task, limit=limit, cursor=cursor)


@router.post("/schedules", status_code=201)
async def create_schedule(rt: Rt, actor: ChangesJobs, body: ScheduleIn) -> ScheduleView:
    """Have a job made again and again. What cannot run, or never fires, is refused now."""
    return await schedules.create_schedule(rt, actor, body)


@router.post("/schedules/preview")
async def preview_cron(actor: ReadsJobs, body: CronIn) -> CronView:
    """A cron expression in words, and the next times it fires."""
    return schedules.look_at_cron(actor, body)


@router.get("/schedules/{id}")
async def get_schedule(rt: Rt, actor: ReadsJobs, id: Id) -> ScheduleView:
    """One schedule."""
    return await schedules.get_schedule(rt, actor, id)


@router.patch("/schedules/{id}")
async def update_schedule(rt: Rt, actor: ChangesJobs, id: Id, body: SchedulePatch) -> ScheduleView:
    """Change what the body names."""
    return await schedules.update_schedule(rt, actor, id, body)


@router.delete("/schedules/{id}", status_code=204)
async def delete_schedule(rt: Rt, actor: ChangesJobs, id: Id) -> Response:
    """Make no further jobs; those that it made stay."""
    await schedules.delete_schedule(rt, actor, id)
    return Response(status_code=204)


@router.post("/schedules/{id}/run", status_code=202)
async def run_schedule(rt: Rt, actor: ChangesJobs, id: Id) -> JobView:
    """Make its job now, beside its times."""
    return await schedules.run_schedule(rt, actor, id)
