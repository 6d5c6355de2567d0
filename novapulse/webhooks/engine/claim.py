"""Claiming deliveries: one guarded UPDATE says who sends them, and fences off whoever did before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, case, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from novapulse.core.database import table_of
from novapulse.webhooks.models import OPEN_STATUSES, Delivery, DeliveryStatus, Event

DELIVERY = table_of(Delivery)
_EVENT = table_of(Event)

LEASE_MS = 90_000  # renewed while a worker lives; the backstop when nothing else tells of its death
_WAITING = (DeliveryStatus.PENDING.value, DeliveryStatus.RETRYING.value)
_EARLY_MS = 50  # clocks of processes differ; a delivery this close to due is due


@dataclass(slots=True)
class Claim:
    """A delivery this process may send, until its lease ends."""

    id: str
    event_id: str
    webhook_id: str
    event_type: str
    attempts: int
    schedule_from: int
    manual: bool
    crashes: int
    fence: int  # the value of `claims`: whoever claims later has a larger one
    created_at: int
    body: bytes = b""


async def claim(
    session: AsyncSession, ids: Sequence[str], *, owner: str, takeover_from: str | None, now: int
) -> list[Claim]:
    """Claim those of `ids` that are due, or whose last owner's lease is over.

    `takeover_from` names a worker known to be dead: its claims need not run out first.
    """
    d = DELIVERY.c
    abandoned = d.lease_until < now
    if takeover_from is not None:
        abandoned = or_(abandoned, d.claimed_by == takeover_from)
    sending = d.status == DeliveryStatus.SENDING.value
    due = and_(d.status.in_(_WAITING), d.next_attempt_at <= now + _EARLY_MS)
    return await _take(session, and_(d.id.in_(ids), or_(due, and_(sending, abandoned))), owner=owner, now=now)


async def claim_head(session: AsyncSession, webhook_id: str, *, owner: str, now: int) -> Claim | None:
    """Claim the oldest open delivery of an ordered webhook, unless it is being sent or not due yet."""
    d = DELIVERY.c
    head = (
        select(d.id)
        .where(d.webhook_id == webhook_id, d.status.in_([s.value for s in OPEN_STATUSES]))
        .order_by(d.id)
        .limit(1)
        .scalar_subquery()
    )
    due = and_(d.status.in_(_WAITING), or_(d.next_attempt_at.is_(None), d.next_attempt_at <= now + _EARLY_MS))
    abandoned = and_(d.status == DeliveryStatus.SENDING.value, d.lease_until < now)
    claims = await _take(session, and_(d.id == head, or_(due, abandoned)), owner=owner, now=now)
    return claims[0] if claims else None


async def _take(session: AsyncSession, condition: Any, *, owner: str, now: int) -> list[Claim]:
    d = DELIVERY.c
    rows = (
        await session.execute(
            update(DELIVERY)
            .where(condition)
            .values(
                # Claimed while somebody else was sending: that one died without recording.
                crashes=d.crashes + case((d.status == DeliveryStatus.SENDING.value, 1), else_=0),
                status=DeliveryStatus.SENDING.value,
                claimed_by=owner,
                claims=d.claims + 1,
                lease_until=now + LEASE_MS,
            )
            .returning(
                d.id,
                d.event_id,
                d.webhook_id,
                d.event_type,
                d.attempts,
                d.schedule_from,
                d.manual,
                d.crashes,
                d.claims,
                d.created_at,
            )
        )
    ).all()
    if not rows:
        return []
    claims = [Claim(*row) for row in rows]
    bodies = dict(
        (
            await session.execute(
                select(_EVENT.c.id, _EVENT.c.body).where(_EVENT.c.id.in_({c.event_id for c in claims}))
            )
        ).all()
    )
    for item in claims:
        item.body = bodies[item.event_id].encode()
    claims.sort(key=lambda item: item.id)
    return claims


async def renew(session: AsyncSession, ids: Sequence[str], *, owner: str, now: int) -> None:
    """Extend the leases of what this process still holds."""
    d = DELIVERY.c
    await session.execute(
        update(DELIVERY)
        .where(d.id.in_(ids), d.claimed_by == owner, d.status == DeliveryStatus.SENDING.value)
        .values(lease_until=now + LEASE_MS)
    )


async def give_back(
    session: AsyncSession, claims: Sequence[Claim], *, owner: str, until: Sequence[int | None], reason: str | None
) -> None:
    """Undo claims without an attempt: due at `until` (ms), or held (None) until somebody lets them go."""
    d = DELIVERY.c
    groups: dict[int | None, list[Claim]] = {}
    for item, at in zip(claims, until, strict=True):
        groups.setdefault(at, []).append(item)
    for at, members in groups.items():
        await session.execute(
            update(DELIVERY)
            .where(
                or_(*(and_(d.id == item.id, d.claims == item.fence) for item in members)),
                d.claimed_by == owner,
                d.status == DeliveryStatus.SENDING.value,
            )
            .values(
                status=case((d.attempts == 0, DeliveryStatus.PENDING.value), else_=DeliveryStatus.RETRYING.value),
                next_attempt_at=at,
                enqueued_at=0,
                claimed_by=None,
                lease_until=0,
                reason=reason,
            )
        )


async def release_held(session: AsyncSession, webhook_id: str, *, now: int) -> None:
    """Let go what was held while a webhook was not active. For the transaction that makes it active."""
    d = DELIVERY.c
    await session.execute(
        update(DELIVERY)
        .where(d.webhook_id == webhook_id, d.status.in_(_WAITING), d.next_attempt_at.is_(None))
        .values(next_attempt_at=now, enqueued_at=0, reason=None)
    )


async def release_next(session: AsyncSession, webhook_id: str, *, now: int) -> None:
    """Let the oldest open delivery of an ordered webhook go, if it is held. After its predecessor ended."""
    d = DELIVERY.c
    open_ = [s.value for s in OPEN_STATUSES]
    head = select(d.id).where(d.webhook_id == webhook_id, d.status.in_(open_)).order_by(d.id).limit(1).scalar_subquery()
    await session.execute(
        update(DELIVERY)
        .where(d.id == head, d.status.in_(_WAITING), d.next_attempt_at.is_(None))
        .values(next_attempt_at=now, enqueued_at=0, reason=None)
    )
