"""Reports that are made, and mailed, again and again: schedules of the task `report.make`.

They are paused, renamed and run by hand like every schedule (`novapulse.jobs.schedules`); what is asked for is judged
here, because it needs what the kind of report needs.
"""

from __future__ import annotations

from dataclasses import replace

from novapulse.core.actor import Actor, Permission
from novapulse.core.errors import NotFoundError
from novapulse.core.pagination import LIMIT_DEFAULT, Page
from novapulse.core.runtime import Runtime
from novapulse.jobs import schedules as jobs
from novapulse.jobs.schemas import ScheduleIn, ScheduleView
from novapulse.reports.asked import about, check_schedule, kinds_for, require_maker
from novapulse.reports.schemas import ReportScheduleIn, ReportScheduleView
from novapulse.reports.tasks import TASK, Regular
from novapulse.security import audit


async def create_schedule(rt: Runtime, actor: Actor, given: ReportScheduleIn) -> ReportScheduleView:
    """Have a report made again and again.

    Raises:
        ForbiddenError: not allowed; ReauthenticationError: the audit log is handed out to who has proven themselves.
        InvalidError: there can be no such report or no such time; with the place.
    """
    require_maker(actor, given.kind, given.mail_to)
    check_schedule(given.range, given.timezone)
    async with rt.database.write() as session:
        of = await about(session, actor, given.kind, given.webhook_id, given.tenant, "")
        regular = Regular(
            kind=given.kind,
            format=given.format,
            range=given.range,
            timezone=given.timezone,
            webhook_id=of.webhook_id,
            tenant=of.tenant,
            mail_to=list(given.mail_to),
        )
        schedule = ScheduleIn(
            name=given.name,
            task=TASK,
            payload={"regular": regular.model_dump()},
            cron=given.cron,
            timezone=given.timezone,
            overlap="skip",
            tenant=of.tenant,
        )
        id_ = await jobs.add_schedule(session, actor, schedule)
        detail = {"kind": given.kind, "format": given.format, "cron": given.cron, "mailed": len(given.mail_to)}
        await audit.append(rt, session, actor, "report.scheduled", target=("schedule", id_, given.name), detail=detail)
    return await _get(rt, actor, id_)


async def list_schedules(
    rt: Runtime, actor: Actor, *, limit: int = LIMIT_DEFAULT, cursor: str | None = None
) -> Page[ReportScheduleView]:
    """Schedules of reports that the actor may read, newest first."""
    actor.require(Permission.REPORTS_READ)
    page = await jobs.list_schedules(rt, _lent(actor), task=TASK, limit=limit, cursor=cursor)
    kinds = kinds_for(actor)
    shown = [view for each in page.data if (view := _view(each)).kind in kinds]
    return Page(data=shown, next_cursor=page.next_cursor)


async def delete_schedule(rt: Runtime, actor: Actor, schedule_id: str) -> None:
    """Make no further reports by it; those that it made stay.

    Raises:
        NotFoundError: none of this id that the actor may read.
    """
    actor.require(Permission.REPORTS_WRITE)
    await _get(rt, actor, schedule_id)
    await jobs.delete_schedule(rt, _lent(actor), schedule_id)


async def run_schedule(rt: Runtime, actor: Actor, schedule_id: str) -> None:
    """Have its report made now, beside its times.

    Raises:
        NotFoundError: none of this id that the actor may read; ConflictError: the one before it is not finished.
    """
    actor.require(Permission.REPORTS_WRITE)
    await _get(rt, actor, schedule_id)
    await jobs.run_schedule(rt, _lent(actor), schedule_id)


async def _get(rt: Runtime, actor: Actor, schedule_id: str) -> ReportScheduleView:
    found = await jobs.get_schedule(rt, _lent(actor), schedule_id)
    if found.task != TASK or (view := _view(found)).kind not in kinds_for(actor):
        raise NotFoundError("schedule", schedule_id)
    return view


def _lent(actor: Actor) -> Actor:
    """Who may see and make reports may see and make their schedules, without those of all other jobs."""
    return replace(actor, permissions=actor.permissions | {Permission.JOBS_READ, Permission.JOBS_WRITE})


def _view(schedule: ScheduleView) -> ReportScheduleView:
    regular = Regular.model_validate(schedule.payload["regular"])
    return ReportScheduleView(
        id=schedule.id,
        name=schedule.name,
        cron=schedule.cron,
        timezone=schedule.timezone,
        explanation=schedule.explanation,
        kind=regular.kind,
        format=regular.format,
        range=regular.range,
        webhook_id=regular.webhook_id,
        tenant=regular.tenant,
        mail_to=regular.mail_to,
        enabled=schedule.enabled,
        created_by=schedule.created_by,
        next_run_at=schedule.next_run_at,
        last_run_at=schedule.last_run_at,
        last_job_id=schedule.last_job_id,
        last_error=schedule.last_error,
    )
