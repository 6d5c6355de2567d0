"""The task that makes a report: in a child process, then its file, its row and its e-mails become true together."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import shutil
from typing import Any

import structlog
from pydantic import BaseModel, ConfigDict
from sqlalchemy import insert, select, update

from novapulse.core import tracing
from novapulse.core.clock import now_ms, rfc3339
from novapulse.core.database import table_of
from novapulse.core.ids import new_id
from novapulse.jobs.models import Job
from novapulse.jobs.tasks import Backoff, GiveUp, JobContext, RetryLater, task
from novapulse.reports import mail, retention
from novapulse.reports.changes import tell_changed
from novapulse.reports.child import ReportFailedError, make_in_child, work_dir
from novapulse.reports.content import TITLES, Format, Kind, Spec
from novapulse.reports.make import Made, Order
from novapulse.reports.models import Report, file_name
from novapulse.reports.ranges import Range, resolve, words

TASK, QUEUE = "report.make", "report"
_DAY_MS = 24 * 3_600_000
_r = table_of(Report).c
_j = table_of(Job).c

log = structlog.get_logger(__name__)


class Regular(BaseModel):
    """A report that a schedule asks for: its range is resolved as of its time."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind
    format: Format
    range: Range
    timezone: str = "UTC"
    webhook_id: str | None = None
    tenant: str | None = None
    mail_to: list[str] = []


class MakeReport(BaseModel):
    """Which report: one that was asked for, or one that a schedule asks for now."""

    model_config = ConfigDict(extra="forbid")

    report_id: str | None = None
    regular: Regular | None = None


@task(TASK, queue=QUEUE, payload=MakeReport, max_attempts=3, timeout_s=3600.0, backoff=Backoff(first_s=10.0))
async def make(job: JobContext, payload: MakeReport) -> dict[str, Any]:
    """Make a report."""
    row = await _row(job, payload)
    if row.finished_at is not None:
        return {"report_id": row.id, "rows": row.rows, "bytes": row.bytes}
    made = await _make_file(job, row)
    await _finish(job, row, made)
    await job.log(f"{made.rows:,} rows, {made.bytes:,} bytes, {made.peak_bytes / 1e6:.0f} MB of memory at most")
    await retention.tidy_folder(job.rt)
    return {"report_id": row.id, "rows": made.rows, "bytes": made.bytes}


async def _row(job: JobContext, payload: MakeReport) -> Any:
    async with job.rt.database.read() as session:
        row = (await session.execute(select(table_of(Report)).where(_r.job_id == job.id))).one_or_none()
        of_job = (await session.execute(select(_j.schedule_id, _j.created_at).where(_j.id == job.id))).one_or_none()
    if row is not None:
        return row
    if payload.regular is None or of_job is None:
        raise GiveUp("The report was deleted.")
    asked, id_ = payload.regular, new_id("rpt")
    # As of the time it was made, not of the one it is begun: however late it is, it is about the same days.
    since, until = resolve(asked.range, of_job.created_at, asked.timezone)
    values = {
        "id": id_,
        "job_id": job.id,
        "kind": asked.kind,
        "format": asked.format,
        "since": since,
        "until": until,
        "webhook_id": asked.webhook_id,
        "tenant": asked.tenant,
        "mail_to": asked.mail_to,
        "schedule_id": of_job.schedule_id,
        "created_by": job.created_by,
        "created_at": now_ms(),
    }
    async with job.rt.database.write() as session:
        await session.execute(insert(table_of(Report)).values(values))
    async with job.rt.database.read() as session:
        return (await session.execute(select(table_of(Report)).where(_r.id == id_))).one()


async def _make_file(job: JobContext, row: Any) -> Made:
    settings = job.rt.settings
    folder = await asyncio.to_thread(work_dir, settings.reports, row.id)
    order = Order(
        database=settings.database,
        path=str((folder / file_name(row)).resolve()),
        title=TITLES[row.kind],
        subtitle=f"{words(row.since, row.until)} · made {rfc3339(now_ms())[:16].replace('T', ' ')} UTC"
        + (f" · tenant {row.tenant}" if row.tenant else ""),
        spec=Spec(row.kind, row.format, row.since, row.until, row.webhook_id, row.tenant),
    )
    telling: set[asyncio.Task[None]] = set()

    def tell(done: float, text: str) -> None:
        job.progress(done, text)
        said = asyncio.create_task(tell_changed(job.rt))
        telling.add(said)
        said.add_done_callback(telling.discard)

    try:
        tell(0.0, "")
        about = {"novapulse.report.kind": row.kind, "novapulse.report.format": row.format}
        with tracing.span("make report", attributes=about):
            made = await make_in_child(order, tell)
        await asyncio.to_thread((folder / file_name(row)).replace, settings.reports / file_name(row))
        return made
    except ReportFailedError as error:
        log.warning("report_failed", report=row.id, error=str(error), said=error.said)
        raise RetryLater(str(error)) from error
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        await tell_changed(job.rt)


async def _finish(job: JobContext, row: Any, made: Made) -> None:
    rt, now = job.rt, now_ms()
    values = {
        "finished_at": now,
        "expires_at": now + rt.settings.report_retention_days * _DAY_MS,
        "rows": made.rows,
        "bytes": made.bytes,
        "peak_bytes": made.peak_bytes,
    }
    file = await mail.file_for(rt, row, made)
    async with rt.database.write() as session:
        done = await session.execute(
            update(table_of(Report)).where(_r.id == row.id, _r.finished_at.is_(None)).values(values).returning(_r.id)
        )
        if done.scalar_one_or_none() is not None:
            await mail.queue(rt, session, job, row, made, file)
            return
        still = (await session.execute(select(_r.id).where(_r.id == row.id))).scalar_one_or_none()
    if still is None:
        await asyncio.to_thread((rt.settings.reports / file_name(row)).unlink, missing_ok=True)
        raise GiveUp("The report was deleted while it was made.")
