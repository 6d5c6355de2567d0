"""Handing out what is owed: due retries, what was committed and never queued, what a dead worker held.

Run by the elected scheduler. The database is the truth: whatever Valkey lost is found here again.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import time

import structlog
from sqlalchemy import Connection, select, text, update

from novapulse.core.clock import now_ms
from novapulse.core.database import table_of
from novapulse.core.queues import DeadOwners, oldest_queued_at
from novapulse.core.runtime import Runtime
from novapulse.webhooks.engine.claim import DELIVERY, release_next
from novapulse.webhooks.ingest import enqueue_deliveries
from novapulse.webhooks.models import DeliveryStatus, Webhook, WebhookStatus

_ROWS = 5_000  # per tick
_SLACK_MS = 3_000  # between the commit of a delivery and its arrival in the queue
_CARE_EVERY_S = 2.0  # how often abandoned and stranded deliveries are looked for
_WAITING = (DeliveryStatus.PENDING.value, DeliveryStatus.RETRYING.value)
_WEBHOOK = table_of(Webhook)
# The index is named for SQLite, which would rather look at all that wait: with many, that never ends.
_BY_INDEX = "INDEXED BY ix_delivery_due"
_FIND = (
    "SELECT id FROM delivery {by_index} WHERE status IN ('pending', 'sending', 'retrying') AND {condition} LIMIT {rows}"
)
_DUE = "enqueued_at = 0 AND next_attempt_at <= :now AND status <> 'sending'"
_LOST = "enqueued_at > 0 AND enqueued_at < :lost_before AND next_attempt_at <= :now AND status <> 'sending'"
_ABANDONED = "enqueued_at < :lost_before AND lease_until < :now AND status = 'sending'"

TRIAL_OWNER = "trial:"  # claims of test sends: no heartbeat, they end with their lease

log = structlog.get_logger(__name__)


async def hand_out(rt: Runtime) -> int:
    """Put on the queue what is due and not there; how many deliveries that were."""
    care = rt.part(_Care)
    await care.run_if_due()
    now = now_ms()
    lost_before = await oldest_queued_at(rt, "webhook", now) - _SLACK_MS
    values = {"now": now, "lost_before": lost_before}
    handed = 0
    for condition in (_DUE, _LOST, _ABANDONED):
        async with rt.database.read() as session:
            find = _FIND.format(by_index=_BY_INDEX if rt.database.is_sqlite else "", condition=condition, rows=_ROWS)
            ids = list((await session.execute(text(find), values)).scalars())
        if not ids:
            continue
        # Marked first: if the queue does not take them, they count as lost after a while and come again.
        async with rt.database.write() as session:
            still = text(condition).bindparams(**{name: values[name] for name in values if f":{name}" in condition})
            await session.execute(update(DELIVERY).where(DELIVERY.c.id.in_(ids), still).values(enqueued_at=now))
        await enqueue_deliveries(rt, sorted(ids))
        handed += len(ids)
    return handed


class _Care:
    """The slower rounds: claims of dead workers, and heads of ordered webhooks that nobody let go."""

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt
        self._next = 0.0
        self._dead = DeadOwners(rt)

    async def run_if_due(self) -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _CARE_EVERY_S
        await self._expire_claims_of_the_dead()
        await self._release_stranded_heads()

    async def _expire_claims_of_the_dead(self) -> None:
        d = DELIVERY.c
        sending = d.status == DeliveryStatus.SENDING.value
        async with self._rt.database.read() as session:
            owners = set((await session.execute(select(d.claimed_by).where(sending).distinct())).scalars())
        dead = await self._dead.among(o for o in owners if o and not o.startswith(TRIAL_OWNER))
        if not dead:
            return
        async with self._rt.database.write() as session:
            done = await session.execute(
                update(DELIVERY)
                .where(sending, d.claimed_by.in_(dead), d.lease_until > 0)
                .values(lease_until=0, enqueued_at=1)
            )
            count = getattr(done, "rowcount", 0)
        if count:
            log.warning("claims_of_dead_workers_ended", workers=dead, deliveries=count)

    async def _release_stranded_heads(self) -> None:
        w = _WEBHOOK.c
        async with self._rt.database.read() as session:
            ordered = list(
                (
                    await session.execute(
                        select(w.id).where(w.ordered.is_(True), w.status == WebhookStatus.ACTIVE.value)
                    )
                ).scalars()
            )
        if ordered:

            def release(connection: Connection) -> None:
                for webhook_id in ordered:
                    release_next(connection, webhook_id, now=now_ms())

            await self._rt.database.run_write(release)
