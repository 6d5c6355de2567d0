"""Putting messages into the outbox: with the job that sends them, in the transaction of what they tell of."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import orjson
from sqlalchemy import Connection, insert
from sqlalchemy.ext.asyncio import AsyncSession

from novapulse.core.clock import now_ms
from novapulse.core.database import table_of
from novapulse.core.ids import new_id
from novapulse.core.runtime import Runtime
from novapulse.jobs.enqueue import NewJob, add_jobs_on
from novapulse.mail.models import Email, EmailAttachment
from novapulse.mail.tasks import SEND

_EMAIL = table_of(Email)
_ATTACHMENT = table_of(EmailAttachment)
_URGENT, _USUAL = 2, 5  # priorities: a link that somebody waits for goes before a thousand newsletters


@dataclass(frozen=True, slots=True)
class Message:
    """What is told."""

    to: str
    kind: str  # e.g. `new_sign_in`
    subject: str
    text: str
    html: str
    also: Sequence[str] = ()  # further recipients, who see each other
    reply_to: str = ""

    @property
    def recipients(self) -> list[str]:
        """All of them."""
        return [self.to, *self.also]


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that goes with a message."""

    name: str
    media_type: str
    data: bytes


async def queue_mail(
    rt: Runtime,
    session: AsyncSession,
    message: Message,
    *,
    attachments: Sequence[Attachment] = (),
    private: bool = True,
    tenant: str | None = None,
    created_by: str = "NovaPulse",
    template: str | None = None,
    parent_id: str | None = None,
) -> str:
    """Put a message into the outbox, within the transaction of `session`; its id. It is sent within a second or so.

    The content of a `private` one is shown to nobody, and erased as soon as it is over: it may hold a link that opens
    doors. `parent_id` is the job or run that it belongs to.
    """
    connection = await session.connection()
    return await connection.run_sync(
        lambda sync: queue_mail_on(
            rt,
            sync,
            message,
            attachments=attachments,
            private=private,
            tenant=tenant,
            created_by=created_by,
            template=template,
            parent_id=parent_id,
        )
    )


def queue_mail_on(
    rt: Runtime,
    connection: Connection,
    message: Message,
    *,
    attachments: Sequence[Attachment] = (),
    private: bool = True,
    tenant: str | None = None,
    created_by: str = "NovaPulse",
    template: str | None = None,
    parent_id: str | None = None,
) -> str:
    """The same for a bulk write (`Database.run_write`)."""
    email_id, job_id = new_id("eml"), new_id("job")
    row = Email(
        id=email_id,
        tenant=tenant,
        recipient=", ".join(message.recipients),
        kind=message.kind,
        subject=message.subject,
        content=rt.keyring.encrypt(orjson.dumps(asdict(message)).decode(), _context(email_id)),
        private=private,
        attachments=len(attachments),
        job_id=job_id,
        template=template,
        created_by=created_by,
        created_at=now_ms(),
    )
    connection.execute(insert(_EMAIL).values(row.model_dump()))
    if attachments:
        files = [
            {
                "email_id": email_id,
                "number": number,
                "name": each.name,
                "media_type": each.media_type,
                "size": len(each.data),
                "content": rt.keyring.encrypt(base64.b64encode(each.data).decode(), _attached(email_id, number)),
            }
            for number, each in enumerate(attachments, 1)
        ]
        connection.execute(insert(_ATTACHMENT).values(files))
    add_jobs_on(connection, [job_of(email_id, job_id, private, tenant, created_by, parent_id)])
    return email_id


def job_of(
    email_id: str, job_id: str, private: bool, tenant: str | None, created_by: str, parent_id: str | None = None
) -> NewJob:
    """The job that sends a message."""
    return NewJob(
        SEND,
        {"email_id": email_id},
        id=job_id,
        priority=_URGENT if private else _USUAL,
        tenant=tenant,
        created_by=created_by,
        parent_id=parent_id,
    )


def open_message(rt: Runtime, email_id: str, content: str) -> Message:
    """The message of an outbox row, from its encrypted content.

    Raises:
        DecryptError: made with a key that is not in the keyring, or changed.
    """
    return Message(**orjson.loads(rt.keyring.decrypt(content, _context(email_id))))


def open_attachment(rt: Runtime, row: EmailAttachment) -> Attachment:
    """A file, from its encrypted content.

    Raises:
        DecryptError: made with a key that is not in the keyring, or changed.
    """
    plain = rt.keyring.decrypt(row.content or "", _attached(row.email_id, row.number))
    return Attachment(row.name, row.media_type, base64.b64decode(plain))


def _context(email_id: str) -> str:
    """What a message's content is encrypted for; see `Keyring.encrypt`."""
    return f"email:content:{email_id}"


def _attached(email_id: str, number: int) -> str:
    return f"email_attachment:content:{email_id}:{number}"
