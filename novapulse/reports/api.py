"""`/reports`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response
from fastapi.responses import FileResponse

from novapulse.core.actor import Actor, Permission
from novapulse.core.http import ApiRoute
from novapulse.core.pagination import LIMIT_DEFAULT, LIMIT_MAX, Page
from novapulse.core.runtime import Runtime, current
from novapulse.reports import schedules, service
from novapulse.reports.content import Format, Kind
from novapulse.reports.schemas import ReportIn, ReportScheduleIn, ReportScheduleView, ReportView
from novapulse.reports.writers import MEDIA_TYPES
from novapulse.security.policy import RateClass, needs

router = APIRouter(route_class=ApiRoute, tags=["Reports"])

Rt = Annotated[Runtime, Depends(current)]
Reads = Annotated[Actor, needs(Permission.REPORTS_READ)]
Writes = Annotated[Actor, needs(Permission.REPORTS_WRITE)]
Downloads = Annotated[Actor, needs(Permission.REPORTS_READ, rate=RateClass.SENSITIVE)]
Id = Annotated[str, Path(max_length=64)]
Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX)]
Cursor = Annotated[str | None, Query(max_length=256)]


@router.post("/reports", status_code=202)
async def make_report(rt: Rt, actor: Writes, body: ReportIn) -> ReportView:
    """Have a report made; `GET /reports/{id}` tells how far it is.

    Beside `reports:write`, it needs what its kind tells of: `deliveries:read`, `webhooks:read` (endpoints),
    `jobs:read` (queues) or `audit:read`; and `emails:write` to be mailed.
    """
    return await service.make_report(rt, actor, body)


@router.get("/reports")
async def list_reports(
    rt: Rt,
    actor: Reads,
    kind: Kind | None = None,
    format: Format | None = None,
    schedule_id: Annotated[str | None, Query(max_length=64)] = None,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
) -> Page[ReportView]:
    """Reports of the kinds that the caller may read, newest first."""
    return await service.list_reports(
        rt, actor, kind=kind, format_=format, schedule_id=schedule_id, limit=limit, cursor=cursor
    )


@router.post("/reports/schedules", status_code=201)
async def create_schedule(rt: Rt, actor: Writes, body: ReportScheduleIn) -> ReportScheduleView:
    """Have a report made, and mailed, again and again. It is among `/schedules`, too, to be paused or run now."""
    return await schedules.create_schedule(rt, actor, body)


@router.get("/reports/schedules")
async def list_schedules(
    rt: Rt, actor: Reads, limit: Limit = LIMIT_DEFAULT, cursor: Cursor = None
) -> Page[ReportScheduleView]:
    """Schedules of reports, newest first."""
    return await schedules.list_schedules(rt, actor, limit=limit, cursor=cursor)


@router.delete("/reports/schedules/{id}", status_code=204)
async def delete_schedule(rt: Rt, actor: Writes, id: Id) -> Response:
    """Make no further reports by it; those that it made stay."""
    await schedules.delete_schedule(rt, actor, id)
    return Response(status_code=204)


@router.get("/reports/{id}")
async def get_report(rt: Rt, actor: Reads, id: Id) -> ReportView:
    """One report."""
    return await service.get_report(rt, actor, id)


@router.get("/reports/{id}/download", response_class=FileResponse)
async def download_report(rt: Rt, actor: Downloads, id: Id) -> FileResponse:
    """The file of a finished report: 409 before, 410 once its time is over. That it was downloaded is recorded."""
    file = await service.open_report(rt, actor, id)
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return FileResponse(file.path, media_type=MEDIA_TYPES[file.format], filename=file.name, headers=headers)


@router.delete("/reports/{id}", status_code=204)
async def delete_report(rt: Rt, actor: Writes, id: Id) -> Response:
    """Delete a report with its file; one that is in the making is called off."""
    await service.delete_report(rt, actor, id)
    return Response(status_code=204)
