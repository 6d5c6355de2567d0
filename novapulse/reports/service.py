"""Reports: having them made, finding, handing out and deleting them.

A report is a row and a job, made in one transaction; the file is in the folder of reports, by the report's id.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from novapulse.core.actor import Actor, Permission
from novapulse.core.clock import now_ms, rfc3339
from novapulse.core.database import table_of
from novapulse.core.errors import ConflictError, NotFoundError, ProblemError, UnavailableError
from novapulse.core.ids import new_id
from novapulse.core.pagination import Page, decode_cursor, page_of
from novapulse.core.runtime import Runtime
from novapulse.jobs.acts import cancel_on
from novapulse.jobs.enqueue import NewJob, add_job, kick
from novapulse.jobs.models import Job, JobState
from novapulse.reports.asked import about, kinds_for, range_of, require_maker, require_reader
from novapulse.reports.changes import tell_changed
from novapulse.reports.models import Report, file_name
from novapulse.reports.schemas import ReportIn, ReportView, Status
from novapulse.reports.tasks import QUEUE, TASK
from novapulse.security import audit

REPORT = table_of(Report)
_JOB = table_of(Job)
_r = REPORT.c
_STATUS: dict[str, Status] = {
    JobState.WAITING: "queued",
    JobState.DELAYED: "queued",
    JobState.ACTIVE: "making",
    JobState.CANCELLED: "cancelled",
}


@dataclass(frozen=True, slots=True)
class Download:
    """A report's file, and how it is called where it is kept."""

    path: Path
    name: str
    format: Any


async def make_report(rt: Runtime, actor: Actor, given: ReportIn) -> ReportView:
    """Have a report made.

    Raises:
        ForbiddenError: not allowed; ReauthenticationError: the audit log is handed out to who has proven themselves.
        InvalidError: there can be no such report; with the place.
    """
    async with rt.database.write() as session:
        report_id, job_id = await add_report(session, actor, given)
        target = ("report", report_id, f"{given.kind} as {given.format}")
        detail = {"mailed": len(given.mail_to)} if given.mail_to else {}
        await audit.append(rt, session, actor, "report.asked", target=target, detail=detail)
    await kick(rt, QUEUE, [job_id])
    await tell_changed(rt)
    async with rt.database.read() as session:
        return _view(await _find(session, report_id))


async def add_report(
    session: AsyncSession, actor: Actor, given: ReportIn, *, parent_id: str | None = None, unique_key: str | None = None
) -> tuple[str, str]:
    """The same within the transaction of `session`; the ids of the report and of its job. Once committed, `kick` it."""
    require_maker(actor, given.kind, given.mail_to)
    now = now_ms()
    since, until = range_of(given.params, now)
    of = await about(session, actor, given.kind, given.params.webhook_id, given.params.tenant, "/params")
    report_id, job_id = new_id("rpt"), new_id("job")
    session.add(
        Report(
            id=report_id,
            job_id=job_id,
            kind=given.kind,
            format=given.format,
            since=since,
            until=until,
            webhook_id=of.webhook_id,
            tenant=of.tenant,
            mail_to=list(given.mail_to),
            created_by=actor.name,
            created_at=now,
        )
    )
    await session.flush()
    await add_job(
        session,
        NewJob(
            TASK,
            {"report_id": report_id},
            id=job_id,
            tenant=of.tenant,
            created_by=actor.name,
            parent_id=parent_id,
            unique_key=unique_key,
        ),
    )
    return report_id, job_id


async def list_reports(
    rt: Runtime,
    actor: Actor,
    *,
    kind: str | None = None,
    format_: str | None = None,
    schedule_id: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[ReportView]:
    """Reports that the actor may read, newest first."""
    actor.require(Permission.REPORTS_READ)
    conditions: list[Any] = _visible(actor)
    for column, wanted in ((_r.kind, kind), (_r.format, format_), (_r.schedule_id, schedule_id)):
        if wanted is not None:
            conditions.append(column == wanted)
    if cursor is not None:
        conditions.append(_r.id < decode_cursor(cursor, "rpt_"))
    async with rt.database.read() as session:
        rows = (await session.execute(_select(*conditions).order_by(_r.id.desc()).limit(limit + 1))).all()
    return page_of(rows, limit, _view, lambda row: row.id)


async def get_report(rt: Runtime, actor: Actor, report_id: str) -> ReportView:
    """One report.

    Raises:
        NotFoundError: none of this id that the actor may read.
    """
    actor.require(Permission.REPORTS_READ)
    async with rt.database.read() as session:
        return _view(await _find(session, report_id, *_visible(actor)))


async def open_report(rt: Runtime, actor: Actor, report_id: str) -> Download:
    """A finished report's file, to be handed out now. That it was is recorded.

    Raises:
        NotFoundError: none of this id that the actor may read, or its file is gone by retention.
        ConflictError: it is not finished.
        UnavailableError: its file is not on this machine.
    """
    actor.require(Permission.REPORTS_READ)
    async with rt.database.read() as session:
        row = await _find(session, report_id, *_visible(actor))
    require_reader(actor, row.kind)
    if row.kind == "audit":
        actor.require_sudo()
    status = _status(row)
    if status == "expired":
        raise ProblemError("This report's file was deleted when its time was over. Have it made again.", 410, "Gone")
    if status != "ready":
        raise ConflictError(f"This report is not finished: it is {status}.")
    path = rt.settings.reports / file_name(row)
    if not await asyncio.to_thread(path.is_file):
        raise UnavailableError(
            "The report's file is not on this machine. Where workers run on other machines, have NOVAPULSE_REPORTS_DIR "
            "name a folder that all of them share.",
            60,
        )
    async with rt.database.write() as session:
        await audit.append(rt, session, actor, "report.downloaded", target=_target(row))
    day = rfc3339(row.until)[:10]
    return Download(path, f"novapulse-{row.kind}-{day}-{row.id[-6:]}.{row.format}", row.format)


async def delete_report(rt: Runtime, actor: Actor, report_id: str) -> None:
    """Delete a report with its file; one that is not finished is called off.

    Raises:
        NotFoundError: none of this id that the actor may read.
    """
    actor.require(Permission.REPORTS_WRITE)
    now = now_ms()
    async with rt.database.write() as session:
        row = await _find(session, report_id, *_visible(actor))
        await session.execute(delete(REPORT).where(_r.id == report_id))
        connection = await session.connection()
        await connection.run_sync(lambda sync: cancel_on(sync, [row.job_id], now=now, by=actor.name))
        await audit.append(rt, session, actor, "report.deleted", target=_target(row))
    await asyncio.to_thread((rt.settings.reports / file_name(row)).unlink, missing_ok=True)
    await tell_changed(rt)


def _visible(actor: Actor) -> list[Any]:
    conditions: list[Any] = [_r.kind.in_(kinds_for(actor))]
    if actor.tenant is not None:
        conditions.append(_r.tenant == actor.tenant)
    return conditions


def _select(*conditions: Any) -> Any:
    j = _JOB.c
    return (
        select(REPORT, j.state, j.progress, j.progress_text, j.error)
        .select_from(REPORT.outerjoin(_JOB, j.id == _r.job_id))
        .where(*conditions)
    )


async def _find(session: AsyncSession, report_id: str, *conditions: Any) -> Any:
    row = (await session.execute(_select(_r.id == report_id, *conditions))).one_or_none()
    if row is None:
        raise NotFoundError("report", report_id)
    return row


def _status(row: Any) -> Status:
    if row.expired_at is not None:
        return "expired"
    if row.finished_at is not None:
        return "ready"
    # A job that is gone, by retention or because somebody discarded it, makes nothing any more.
    return _STATUS.get(row.state, "failed")


def _view(row: Any) -> ReportView:
    status = _status(row)
    over = status in ("ready", "expired")
    lost = "Its job is gone: it was discarded, or retention took it." if row.state is None else None
    return ReportView(
        id=row.id,
        kind=row.kind,
        format=row.format,
        params={
            "since": rfc3339(row.since),
            "until": rfc3339(row.until),
            "webhook_id": row.webhook_id,
            "tenant": row.tenant,
        },
        status=status,
        progress=None if over else row.progress,
        progress_text=None if over else row.progress_text,
        error=None if over else row.error or lost,
        rows=row.rows,
        bytes=row.bytes,
        peak_memory_bytes=row.peak_bytes,
        mail_to=row.mail_to,
        created_by=row.created_by,
        created_at=rfc3339(row.created_at),
        finished_at=None if row.finished_at is None else rfc3339(row.finished_at),
        expires_at=None if row.expires_at is None else rfc3339(row.expires_at),
        job_id=row.job_id,
        schedule_id=row.schedule_id,
    )


def _target(row: Any) -> tuple[str, str, str]:
    return ("report", row.id, f"{row.kind} as {row.format}")
