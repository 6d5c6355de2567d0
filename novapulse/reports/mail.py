"""The e-mail that brings a report: the file attached, or a link to it where it is too large."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from novapulse.core.runtime import Runtime
from novapulse.jobs.tasks import JobContext
from novapulse.mail.render import render
from novapulse.mail.service import Attachment, Message, queue_mail
from novapulse.reports.content import TITLES
from novapulse.reports.make import Made
from novapulse.reports.models import file_name
from novapulse.reports.ranges import words
from novapulse.reports.writers import MEDIA_TYPES

_TEMPLATES = Path(__file__).parent / "templates"


async def file_for(rt: Runtime, report: Any, made: Made) -> Attachment | None:
    """The file to attach, if there is anybody to send it to and it is not too large."""
    if not report.mail_to or made.bytes > rt.settings.report_mail_max_bytes:
        return None
    data = await asyncio.to_thread((rt.settings.reports / file_name(report)).read_bytes)
    return Attachment(f"novapulse-{report.kind}.{report.format}", MEDIA_TYPES[report.format].partition(";")[0], data)


async def queue(
    rt: Runtime, session: AsyncSession, job: JobContext, report: Any, made: Made, file: Attachment | None
) -> None:
    """Put the e-mail of a report into the outbox, within the transaction that makes it finished."""
    if not report.mail_to:
        return
    written = render(
        _TEMPLATES,
        "report",
        {
            "title": TITLES[report.kind],
            "range": words(report.since, report.until),
            "attached": "yes" if file else "",
            "days": str(rt.settings.report_retention_days),
        },
        details=[
            ("From", words(report.since, report.until)),
            ("Rows", f"{made.rows:,}"),
            ("Asked for by", report.created_by),
            ("Tenant", report.tenant or "all"),
        ],
        target=f"{rt.settings.base_url}/reports",
        home=rt.settings.base_url,
    )
    await queue_mail(
        rt,
        session,
        Message(
            to=report.mail_to[0],
            also=report.mail_to[1:],
            kind="report",
            subject=written.subject,
            text=written.text,
            html=written.html,
        ),
        attachments=[file] if file else [],
        # Who may read the outbox may not therefore read the audit log.
        private=report.kind == "audit",
        tenant=report.tenant,
        created_by=report.created_by,
        parent_id=job.id,
    )
