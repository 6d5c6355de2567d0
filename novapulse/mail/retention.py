"""What is dropped of mail when its time is over."""

from __future__ import annotations

from sqlalchemy import ColumnElement, delete, or_, select, update

from novapulse.core.batches import in_batches
from novapulse.core.clock import now_ms
from novapulse.core.database import table_of
from novapulse.core.runtime import Runtime
from novapulse.mail.models import Email, EmailAttachment, EmailStatus

_EMAIL, _FILE = table_of(Email), table_of(EmailAttachment)
_DAY_MS = 24 * 3_600_000
_AT_ONCE = 200  # with what they said, and their attachments
_PRIVATE_MS = 60_000  # what was called off a moment ago may be taken up again


async def delete_old_mail(rt: Runtime) -> None:
    """Erase what messages said some time after they ended, and forget them later.

    What was kept from everybody's eyes, because no server is set, stays readable until it is forgotten.
    """
    e, now = _EMAIL.c, now_ms()
    said = e.finished_at < now - rt.settings.mail_content_days * _DAY_MS
    private = e.private.is_(True) & (e.finished_at < now - _PRIVATE_MS)
    over = e.finished_at.is_not(None) & (e.status != EmailStatus.KEPT.value) & e.content.is_not(None)
    await in_batches(lambda: _erase(rt, over & or_(said, private)), _AT_ONCE)
    old = e.finished_at < now - rt.settings.mail_retention_days * _DAY_MS
    await in_batches(lambda: _forget(rt, old), _AT_ONCE)


async def _erase(rt: Runtime, over: ColumnElement[bool]) -> int:
    e = _EMAIL.c
    some = select(e.id).where(over).limit(_AT_ONCE)
    async with rt.database.write() as session:
        erased = await session.execute(update(_EMAIL).where(e.id.in_(some), over).values(content=None).returning(e.id))
        ids = list(erased.scalars())
        if ids:
            await session.execute(update(_FILE).where(_FILE.c.email_id.in_(ids)).values(content=None))
    return len(ids)


async def _forget(rt: Runtime, old: ColumnElement[bool]) -> int:
    some = select(_EMAIL.c.id).where(old).limit(_AT_ONCE)
    async with rt.database.write() as session:
        gone = await session.execute(delete(_EMAIL).where(_EMAIL.c.id.in_(some)).returning(_EMAIL.c.id))
        return len(gone.all())
