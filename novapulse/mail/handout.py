"""Handing out the mail that is due: new, put off, lost by Valkey, or held by a worker that died.

Run by the elected scheduler. The database is the truth, as it is for deliveries (`webhooks.handout`).
"""

from __future__ import annotations

import time

import structlog
from sqlalchemy import and_, or_, select, update

from novapulse.core.clock import now_ms
from novapulse.core.queues import DeadOwners, oldest_queued_at
from novapulse.core.runtime import Runtime
from novapulse.mail.models import EmailStatus
from novapulse.mail.outbox import EMAIL

_ROWS = 1_000  # per tick
_BATCH = 20  # messages per job, and so per connection
_SLACK_MS = 3_000  # between the mark on a row and its arrival in the queue
_CARE_EVERY_S = 2.0

log = structlog.get_logger(__name__)


async def hand_out_mail(rt: Runtime) -> int:
    """Put on the queue what is due and not there; how many messages that were."""
    await rt.part(_Care).run_if_due()
    now = now_ms()
    lost_before = await oldest_queued_at(rt, "email", now) - _SLACK_MS
    e = EMAIL.c
    due = and_(
        e.status == EmailStatus.PENDING.value,
        e.next_attempt_at <= now,
        or_(e.enqueued_at == 0, e.enqueued_at < lost_before),
    )
    abandoned = and_(e.status == EmailStatus.SENDING.value, e.lease_until < now, e.enqueued_at < lost_before)
    async with rt.database.read() as session:
        ids = list((await session.execute(select(e.id).where(or_(due, abandoned)).limit(_ROWS))).scalars())
    if not ids:
        return 0
    # Marked first: if the queue does not take them, they count as lost after a while and come again.
    async with rt.database.write() as session:
        await session.execute(update(EMAIL).where(e.id.in_(ids), or_(due, abandoned)).values(enqueued_at=now))
    await rt.enqueue("email", "email.send", [sorted(ids)[at : at + _BATCH] for at in range(0, len(ids), _BATCH)])
    return len(ids)


class _Care:
    """The slower round: claims of dead workers."""

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt
        self._next = 0.0
        self._dead = DeadOwners(rt)

    async def run_if_due(self) -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _CARE_EVERY_S
        e = EMAIL.c
        sending = e.status == EmailStatus.SENDING.value
        async with self._rt.database.read() as session:
            owners = set((await session.execute(select(e.claimed_by).where(sending).distinct())).scalars())
        dead = await self._dead.among(owner for owner in owners if owner)
        if not dead:
            return
        async with self._rt.database.write() as session:
            await session.execute(
                update(EMAIL)
                .where(sending, e.claimed_by.in_(dead), e.lease_until > 0)
                .values(lease_until=0, enqueued_at=1)
            )
        log.warning("mail_of_dead_workers_freed", workers=dead)
