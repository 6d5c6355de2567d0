"""The outbox: a message is queued in the transaction of what it tells of, and sent by the queue `email` after it."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from novapulse.core.clock import now_ms
from novapulse.core.ids import new_id
from novapulse.core.runtime import Runtime
from novapulse.mail.models import Email


@dataclass(frozen=True, slots=True)
class Message:
    """What one person is told."""

    to: str
    kind: str  # e.g. `new_sign_in`
    subject: str
    text: str
    html: str


async def queue_mail(rt: Runtime, session: AsyncSession, message: Message) -> str:
    """Put a message into the outbox, within the transaction of `session`; its id. It is sent within seconds."""
    email_id, now = new_id("eml"), now_ms()
    session.add(
        Email(
            id=email_id,
            recipient=message.to,
            kind=message.kind,
            subject=message.subject,
            content=rt.keyring.encrypt(orjson.dumps(asdict(message)).decode(), _context(email_id)),
            next_attempt_at=now,
            created_at=now,
        )
    )
    return email_id


def _context(email_id: str) -> str:
    """What a message's content is encrypted for; see `Keyring.encrypt`."""
    return f"email:content:{email_id}"


def open_message(rt: Runtime, email_id: str, content: str) -> Message:
    """The message of an outbox row, from its encrypted content.

    Raises:
        DecryptError: made with a key that is not in the keyring, or changed.
    """
    return Message(**orjson.loads(rt.keyring.decrypt(content, _context(email_id))))
