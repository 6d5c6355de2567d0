"""Mail as people and programs ask for it: send one, look at what became of it, send it again, try the server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, cast

import orjson
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from novapulse.core.actor import Actor, Permission
from novapulse.core.clock import now_ms
from novapulse.core.database import table_of
from novapulse.core.errors import ConflictError, FieldError, InvalidError, NotFoundError
from novapulse.core.ids import new_id
from novapulse.core.runtime import Runtime
from novapulse.jobs.enqueue import add_job, kick
from novapulse.jobs.models import Job, JobState
from novapulse.mail.changes import tell_changed
from novapulse.mail.models import Email, EmailAttachment, EmailStatus
from novapulse.mail.schemas import (
    AttachmentIn,
    EmailAccepted,
    EmailIn,
    MailServerView,
    TrialView,
)
from novapulse.mail.server import parse_smtp_url
from novapulse.mail.service import Attachment, Message, job_of, open_attachment, queue_mail
from novapulse.mail.templates_store import fill, find_template, sources_of
from novapulse.security import audit

_FILES = table_of(EmailAttachment)
KIND = "message"
_TRIAL_S = 30.0  # as long as a person waits
_AGAIN = (EmailStatus.FAILED, EmailStatus.CANCELLED, EmailStatus.KEPT)


async def send_email(rt: Runtime, actor: Actor, body: EmailIn) -> EmailAccepted:
    """Put a message into the outbox.

    Raises:
        InvalidError: no such template, or a value for it is missing; a file is not base64.
    """
    actor.require(Permission.EMAILS_WRITE)
    files = _read_files(body.attachments)
    to, *also = body.recipients()
    async with rt.database.read() as session:
        subject, text, html = await _words(session, actor, body)
    message = Message(to, KIND, subject, text, html, also, body.reply_to or "")
    async with rt.database.write() as session:
        email_id = await queue_mail(
            rt,
            session,
            message,
            attachments=files,
            private=body.private,
            tenant=actor.tenant,
            created_by=actor.name,
            template=body.template,
        )
        row = await session.get_one(Email, email_id)
        job_id = cast(str, row.job_id)
    await kick(rt, "email", [job_id])
    tell_changed(rt)
    return EmailAccepted(id=email_id, job_id=job_id)


async def retry_email(rt: Runtime, actor: Actor, email_id: str) -> EmailAccepted:
    """Send a message again to those who were not sent it.

    Raises:
        NotFoundError: none of this id that the actor may see.
        ConflictError: it is sent or waits, or what it said is not there any more.
    """
    actor.require(Permission.EMAILS_WRITE)
    job_id = new_id("job")
    async with rt.database.write() as session:
        row = await find(session, actor, email_id, lock=True)
        if row.status not in _AGAIN:
            raise ConflictError(f"This message is {row.status}; it can be sent again when it has failed.")
        if row.private:
            raise ConflictError("This message is about an account, or private: what it said is old by now. Ask anew.")
        if row.content is None:
            raise ConflictError("What this message said is erased; send a new one.")
        row.status, row.job_id, row.finished_at = EmailStatus.PENDING, job_id, None
        row.tried_at = row.slot_at = None
        session.add(row)
        await add_job(session, job_of(row.id, job_id, row.private, row.tenant, actor.name))
        await audit.append(rt, session, actor, "mail.retried", target=("email", row.id, row.subject))
    await kick(rt, "email", [job_id])
    tell_changed(rt)
    return EmailAccepted(id=email_id, job_id=job_id)


async def get_attachment(rt: Runtime, actor: Actor, email_id: str, number: int) -> Attachment:
    """A file of a message.

    Raises:
        NotFoundError: none that the actor may see, or it is erased.
    """
    actor.require(Permission.EMAILS_READ)
    async with rt.database.read() as session:
        row = await find(session, actor, email_id)
        file = await session.get(EmailAttachment, (email_id, number))
    if row.private or file is None or file.content is None:
        raise NotFoundError("attachment", f"{email_id}/{number}")
    return open_attachment(rt, file)


def mail_server(rt: Runtime, actor: Actor) -> MailServerView:
    """How mail is sent."""
    actor.require(Permission.EMAILS_READ)
    settings = rt.settings
    url = settings.smtp_url.get_secret_value()
    server = parse_smtp_url(url) if url else None
    return MailServerView(
        set=server is not None,
        host=server.host if server else None,
        port=server.port if server else None,
        tls=cast(Any, server.tls.value) if server else None,
        user=server.user or None if server else None,
        sender=settings.mail_sender,
        domain_limits={name: " ".join(map(str, rates)) or "off" for name, rates in settings.mail_domain_limits.items()},
    )


async def try_server(rt: Runtime, actor: Actor, to: str) -> TrialView:
    """Send a trial message now, past the queue, and tell what the server said.

    Raises:
        ConflictError: no server is set.
    """
    actor.require(Permission.EMAILS_WRITE)
    url = rt.settings.smtp_url.get_secret_value()
    if not url:
        raise ConflictError("No mail server is set: NOVAPULSE_SMTP_URL names it.")
    from novapulse.mail.compose import compose
    from novapulse.mail.smtp import Outcome, SmtpConnection, Verdict

    words = f"This is a trial message of NovaPulse at {rt.settings.base_url}, asked for by {actor.name}. Mail works."
    message = Message(to, "test", "NovaPulse: a trial message", words + "\n", "")
    mail = compose(message, (), email_id=new_id("eml"), created_at=now_ms(), sender=rt.settings.mail_sender)
    connection = SmtpConnection(parse_smtp_url(url), rt.settings.mail_domain)
    began, encrypted = time.monotonic(), False
    try:
        async with asyncio.timeout(_TRIAL_S):
            fault = await connection.open()
            encrypted = connection.encrypted
            outcome = fault or (await connection.send(mail, [to])).of(to)
    except TimeoutError:
        outcome = Outcome(Verdict.DROPPED, f"The server did not answer within {_TRIAL_S:.0f} s.")
    finally:
        await connection.close()
    ok = outcome.verdict is Verdict.SENT
    async with rt.database.write() as session:
        await audit.append(rt, session, actor, "mail.tested", target=("email", "", to), result="ok" if ok else "failed")
    duration_ms = round((time.monotonic() - began) * 1000)
    return TrialView(ok=ok, words=outcome.words, encrypted=encrypted, duration_ms=duration_ms)


async def find(session: AsyncSession, actor: Actor, email_id: str, *, lock: bool = False) -> Email:
    """The row of a message that the actor may see.

    Raises:
        NotFoundError: there is none.
    """
    row = await session.get(Email, email_id, with_for_update=lock)
    if row is None or actor.tenant not in (None, row.tenant):
        raise NotFoundError("e-mail", email_id)
    return row


async def job_row(session: AsyncSession, row: Email) -> Job | None:
    """The job that sends it, if it is still known."""
    return None if row.job_id is None else await session.get(Job, row.job_id)


def is_active(job: Job | None) -> bool:
    """Whether it is being sent right now."""
    return job is not None and job.state == JobState.ACTIVE


async def _words(session: AsyncSession, actor: Actor, body: EmailIn) -> tuple[str, str, str]:
    if body.template is None:
        return body.subject or "", body.text or "", body.html or ""
    row = await find_template(session, actor.tenant, body.template)
    if row is None:
        raise InvalidError.at("/template", f"there is no template '{body.template}'")
    made = fill(sources_of(row), body.context or {})
    return body.subject or made.subject, made.text, made.html


def _read_files(files: Sequence[AttachmentIn]) -> list[Attachment]:
    read: list[Attachment] = []
    wrong: list[FieldError] = []
    for index, each in enumerate(files):
        try:
            read.append(Attachment(each.name, each.media_type, each.data()))
        except ValueError as error:
            wrong.append(FieldError(f"/attachments/{index}/content", str(error)))
    if wrong:
        raise InvalidError(wrong)
    return read


async def files_of(session: AsyncSession, email_id: str) -> list[Any]:
    """What is attached to a message, without the files themselves."""
    f = _FILES.c
    rows = await session.execute(
        select(f.number, f.name, f.media_type, f.size).where(f.email_id == email_id).order_by(f.number)
    )
    return list(rows.all())


def outcomes_of(row: Email) -> dict[str, dict[str, str]]:
    """What was said of each recipient so far."""
    return orjson.loads(row.outcomes)
