"""Looking at mail: the list, and one message with what it says where that may be shown."""

from __future__ import annotations

from typing import Any

from sqlalchemy import or_, select

from novapulse.core.actor import Actor, Permission
from novapulse.core.clock import rfc3339
from novapulse.core.crypto import DecryptError
from novapulse.core.database import table_of
from novapulse.core.ids import floor_id
from novapulse.core.pagination import Page, decode_cursor, page_of
from novapulse.core.runtime import Runtime
from novapulse.jobs.models import Job, JobAttempt, JobState
from novapulse.mail.models import Email, EmailStatus
from novapulse.mail.schemas import AttemptView, EmailDetail, EmailView, FileView, RecipientView
from novapulse.mail.sending import files_of, find, job_row, outcomes_of
from novapulse.mail.service import Message, open_message

_EMAIL, _JOB, _ATTEMPT = table_of(Email), table_of(Job), table_of(JobAttempt)
_SENDING = "sending"


async def list_emails(
    rt: Runtime,
    actor: Actor,
    *,
    status: str | None = None,
    kind: str | None = None,
    to: str | None = None,
    q: str | None = None,
    since: int | None = None,
    until: int | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[EmailView]:
    """Messages, newest first. `to` is a part of an address, `q` of an address or subject."""
    actor.require(Permission.EMAILS_READ)
    e, j = _EMAIL.c, _JOB.c
    conditions: list[Any] = []
    if actor.tenant is not None:
        conditions.append(e.tenant == actor.tenant)
    if status is not None:
        conditions.append(e.status == (EmailStatus.PENDING.value if status == _SENDING else status))
        if status == _SENDING:
            conditions.append(j.state == JobState.ACTIVE.value)
    if kind is not None:
        conditions.append(e.kind == kind)
    if to is not None:
        conditions.append(e.recipient.icontains(to, autoescape=True))
    if q is not None:
        conditions.append(or_(e.recipient.icontains(q, autoescape=True), e.subject.icontains(q, autoescape=True)))
    if since is not None:
        conditions.append(e.id >= floor_id("eml", since))
    if until is not None:
        conditions.append(e.id < floor_id("eml", until))
    if cursor is not None:
        conditions.append(e.id < decode_cursor(cursor, "eml_"))
    columns = [column for column in _EMAIL.c if column.name not in ("content", "outcomes")]
    query = (
        select(*columns, j.state, j.run_at)
        .outerjoin(_JOB, j.id == e.job_id)
        .where(*conditions)
        .order_by(e.id.desc())
        .limit(limit + 1)
    )
    async with rt.database.read() as session:
        rows = (await session.execute(query)).all()
    return page_of(rows, limit, lambda row: _view(row, row.state, row.run_at), lambda row: row.id)


async def get_email(rt: Runtime, actor: Actor, email_id: str) -> EmailDetail:
    """One message, with what the server said and, where that may be shown, what it says.

    Raises:
        NotFoundError: none of this id that the actor may see.
    """
    actor.require(Permission.EMAILS_READ)
    async with rt.database.read() as session:
        row = await find(session, actor, email_id)
        job = await job_row(session, row)
        query = select(_ATTEMPT).where(_ATTEMPT.c.job_id == row.job_id).order_by(_ATTEMPT.c.number)
        failures = (await session.execute(query)).all()
        files = await files_of(session, email_id)
    shown, message, headers = _said(rt, row)
    outcomes = outcomes_of(row)
    return EmailDetail(
        **_view(row, job.state if job else None, job.run_at if job else None).model_dump(),
        content=shown,
        text=message.text if message else None,
        html=message.html if message else None,
        headers=headers,
        recipients=[
            RecipientView.model_validate(
                {"address": to, "state": "open", "words": ""} | outcomes.get(to, {}),
            )
            for to in row.recipient.split(", ")
        ],
        failures=[
            AttemptView(number=each.number, started_at=rfc3339(each.started_at), error=each.error, worker=each.worker)
            for each in failures
        ],
        files=[
            FileView(number=each.number, name=each.name, media_type=each.media_type, size=each.size) for each in files
        ],
    )


async def get_html(rt: Runtime, actor: Actor, email_id: str) -> str | None:
    """The HTML part of a message, if it has one that may be shown.

    Raises:
        NotFoundError: none of this id that the actor may see.
    """
    actor.require(Permission.EMAILS_READ)
    async with rt.database.read() as session:
        row = await find(session, actor, email_id)
    _, message, _ = _said(rt, row)
    return message.html or None if message else None


def _said(rt: Runtime, row: Email) -> tuple[Any, Message | None, list[tuple[str, str]]]:
    # What tells of accounts may hold a link that opens one. Only whoever runs NovaPulse may read it, on the machine.
    if row.private:
        return "private", None, []
    if row.content is None:
        return "erased", None, []
    try:
        message = open_message(rt, row.id, row.content)
    except DecryptError:
        return "erased", None, []
    return "shown", message, _headers(rt, row, message)


def _headers(rt: Runtime, row: Email, message: Message) -> list[tuple[str, str]]:
    from novapulse.mail.compose import compose

    try:
        mail = compose(message, (), email_id=row.id, created_at=row.created_at, sender=rt.settings.mail_sender)
    except ValueError:  # an address that cannot stand in a header: the error says so
        return []
    return [(name, str(value)) for name, value in mail.items() if not name.lower().startswith("content-")]


def _view(row: Any, state: str | None, run_at: int | None) -> EmailView:
    pending = row.status == EmailStatus.PENDING
    waits = pending and state in (JobState.WAITING, JobState.DELAYED)
    return EmailView(
        id=row.id,
        status=_SENDING if pending and state == JobState.ACTIVE else row.status,
        to=row.recipient.split(", "),
        subject=row.subject,
        kind=row.kind,
        private=row.private,
        template=row.template,
        tenant=row.tenant,
        attachments=row.attachments,
        attempts=row.attempts,
        error=row.error,
        next_attempt_at=rfc3339(run_at) if waits and run_at is not None else None,
        job_id=row.job_id,
        created_by=row.created_by,
        created_at=rfc3339(row.created_at),
        finished_at=None if row.finished_at is None else rfc3339(row.finished_at),
    )
