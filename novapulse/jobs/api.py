"""`/workers`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends

from novapulse.core.actor import Actor, Permission
from novapulse.core.http import ApiRoute
from novapulse.core.runtime import Runtime, current
from novapulse.jobs.counts import queue_stats
from novapulse.security.policy import needs

router = APIRouter(route_class=ApiRoute, tags=["Jobs"])
Rt = Annotated[Runtime, Depends(current)]
ReadsJobs = Annotated[Actor, needs(Permission.JOBS_READ)]


@router.get("/workers")
async def get_workers(rt: Rt, actor: ReadsJobs) -> dict[str, Any]:
    """The workers that are alive."""
    stats = await queue_stats(rt, actor)
    return {"data": stats.workers, "next_cursor": None}
