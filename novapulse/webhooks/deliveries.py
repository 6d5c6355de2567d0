"""Deliveries: looking at them, sending one again, calling one off."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from redis.exceptions import RedisError
from sqlalchemy import Connection, and_, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from novapulse.core.actor import Actor, Permission
from novapulse.core.clock import now_ms, rfc3339
from novapulse.core.database import table_of
from novapulse.core.errors import ConflictError, NotFoundError
from novapulse.core.ids import floor_id
from novapulse.core.pagination import Page, decode_cursor, page_of
from novapulse.core.runtime import Runtime
from novapulse.core.trace import marked
from novapulse.security import audit
from novapulse.webhooks.audited import delivery_facts
from novapulse.webhooks.engine.claim import release_next
from novapulse.webhooks.feed import tell_changed
from novapulse.webhooks.ingest import enqueue_deliveries
from novapulse.webhooks.models import Attempt, Delivery, DeliveryStatus, Event, Webhook
from novapulse.webhooks.schemas import AttemptView, DeliveryDetail, DeliveryView

_DELIVERY = table_of(Delivery)
_ATTEMPT = table_of(Attempt)


async def list_deliveries(
    rt: Runtime,
    actor: Actor,
    *,
    webhook_id: str | None = None,
    event_id: str | None = None,
    status: str | None = None,
    event_type: str | None = None,
    since: int | None = None,
    until: int | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[DeliveryView]:
    """Deliveries, newest first; `since` and `until` bound when they were made, in ms."""
    actor.require(Permission.DELIVERIES_READ)
    d = _DELIVERY.c
    conditions: list[Any] = []
    for column, value in (
        (d.webhook_id, webhook_id),
        (d.event_id, event_id),
        (d.status, status),
        (d.event_type, event_type),
        (d.tenant, actor.tenant),
    ):
        if value is not None:
            conditions.append(column == value)
    # Ids sort by time of creation: a span of time is a span of keys.
    if since is not None:
        conditions.append(d.id >= floor_id("dlv", since))
    if until is not None:
        conditions.append(d.id < floor_id("dlv", until))
    if cursor is not None:
        conditions.append(d.id < decode_cursor(cursor, "dlv_"))
    async with rt.database.read() as session:
        rows = (
            await session.execute(select(_DELIVERY).where(*conditions).order_by(d.id.desc()).limit(limit + 1))
        ).all()
    return page_of(rows, limit, delivery_view, lambda row: row.id)


async def get_delivery(rt: Runtime, actor: Actor, delivery_id: str) -> DeliveryDetail:
    """One delivery with every attempt and the body that is sent.

    Raises:
        NotFoundError: none of this id that the actor may see.
    """
    actor.require(Permission.DELIVERIES_READ)
    async with rt.database.read() as session:
        delivery = await _find(session, actor, delivery_id)
        event = await session.get_one(Event, delivery.event_id)
        webhook = await session.get_one(Webhook, delivery.webhook_id)
        attempts = await session.execute(
            select(_ATTEMPT).where(_ATTEMPT.c.delivery_id == delivery_id).order_by(_ATTEMPT.c.number)
        )
        return DeliveryDetail(
            **delivery_view(delivery).model_dump(),
            body=event.body,
            webhook_url=webhook.url,
            trace_id=marked(event.trace or event.id.removeprefix("evt_")).trace_id,
            attempts=[_attempt_view(row) for row in attempts],
        )


async def retry_delivery(rt: Runtime, actor: Actor, delivery_id: str) -> DeliveryView:
    """Send now, once more, whatever came before.

    Raises:
        NotFoundError: none of this id that the actor may see.
        ConflictError: it is being sent right now, or has not been tried yet.
    """
    actor.require(Permission.DELIVERIES_WRITE)
    now = now_ms()
    async with rt.database.write() as session:
        delivery = await _find(session, actor, delivery_id, lock=True)
        if delivery.status == DeliveryStatus.SENDING:
            raise ConflictError("This delivery is being sent right now.")
        if delivery.status == DeliveryStatus.PENDING:
            raise ConflictError("This delivery has not been tried yet; it will be as soon as its turn comes.")
        # One that still has attempts of its schedule keeps them; one that ended gets this one only.
        delivery.manual = delivery.status != DeliveryStatus.RETRYING
        delivery.status = DeliveryStatus.RETRYING
        delivery.next_attempt_at = now
        delivery.enqueued_at = now
        delivery.finished_at = None
        delivery.reason = f"Asked for by {actor.name}."
        session.add(delivery)
        await audit.append(rt, session, actor, "delivery.retried", **delivery_facts(delivery))
    with contextlib.suppress(RedisError, OSError):  # the scheduler finds it in the database
        await enqueue_deliveries(rt, [delivery_id])
    tell_changed(rt, delivery.webhook_id)
    return delivery_view(delivery)


async def cancel_delivery(rt: Runtime, actor: Actor, delivery_id: str) -> DeliveryView:
    """Make no further attempt.

    Raises:
        NotFoundError: none of this id that the actor may see.
        ConflictError: it has ended already, or is being sent right now.
    """
    return delivery_view((await cancel_and_tell(rt, actor, delivery_id))[0])


async def cancel_and_tell(rt: Runtime, actor: Actor, delivery_id: str) -> tuple[Delivery, dict[str, Any]]:
    """The same; with the row, and what of it was otherwise before, for `restore_delivery`."""
    actor.require(Permission.DELIVERIES_WRITE)
    now = now_ms()
    async with rt.database.write() as session:
        delivery = await _find(session, actor, delivery_id, lock=True)
        if delivery.status == DeliveryStatus.SENDING:
            raise ConflictError("This delivery is being sent right now; cancel it if the attempt fails.")
        if delivery.status not in (DeliveryStatus.PENDING, DeliveryStatus.RETRYING):
            raise ConflictError(f"This delivery has ended: it is {delivery.status}.")
        was = {name: getattr(delivery, name) for name in ("status", "next_attempt_at", "reason")}
        delivery.status = DeliveryStatus.CANCELLED
        delivery.next_attempt_at = None
        delivery.finished_at = now
        delivery.reason = f"Cancelled by {actor.name}."
        session.add(delivery)
        await session.flush()
        webhook = await session.get_one(Webhook, delivery.webhook_id)
        if webhook.ordered:
            await (await session.connection()).run_sync(release_next, webhook.id, now=now)
        await audit.append(rt, session, actor, "delivery.cancelled", **delivery_facts(delivery))
    tell_changed(rt, delivery.webhook_id)
    return delivery, was


async def restore_delivery(
    rt: Runtime, actor: Actor, delivery_id: str, was: Mapping[str, Any], cancelled_at: int
) -> DeliveryView:
    """Take back the cancel of that moment (ms): the delivery is what it was before.

    Of an ordered webhook it takes its place again, and what comes after it waits for it.

    Raises:
        NotFoundError: none of this id that the actor may see.
        ConflictError: it has gone on since, or its place in the order is past.
    """
    actor.require(Permission.DELIVERIES_WRITE)
    async with rt.database.write() as session:
        delivery = await _find(session, actor, delivery_id, lock=True)
        if delivery.status != DeliveryStatus.CANCELLED or delivery.finished_at != cancelled_at:
            raise ConflictError("This delivery has gone on since: there is nothing to take back.")
        webhook = await session.get_one(Webhook, delivery.webhook_id)
        connection = await session.connection()
        if webhook.ordered and await connection.run_sync(_is_overtaken, webhook.id, delivery_id, cancelled_at):
            raise ConflictError(
                "This webhook sends in order, and later deliveries were sent since: this one would come after them. "
                "Retry it if that does no harm."
            )
        delivery.status = was["status"]
        delivery.next_attempt_at = was["next_attempt_at"]
        delivery.reason = was["reason"]
        delivery.finished_at = None
        delivery.enqueued_at = 0
        session.add(delivery)
        await audit.append(rt, session, actor, "delivery.undone", **delivery_facts(delivery))
    tell_changed(rt, delivery.webhook_id)
    return delivery_view(delivery)


def retry_on(connection: Connection, ids: Sequence[str], statuses: Sequence[str], *, now: int, by: str) -> list[str]:
    """Have deliveries sent once more, within a transaction; those it was done for, to be put on the queue after it."""
    d = _DELIVERY.c
    values = {
        "manual": d.status != DeliveryStatus.RETRYING.value,
        "status": DeliveryStatus.RETRYING.value,
        "next_attempt_at": now,
        "enqueued_at": now,
        "finished_at": None,
        "reason": f"Asked for by {by}.",
    }
    again = (DeliveryStatus.RETRYING, DeliveryStatus.DELIVERED, DeliveryStatus.FAILED, DeliveryStatus.CANCELLED)
    wanted = [status.value for status in again if status.value in statuses]
    done = connection.execute(
        update(_DELIVERY).where(d.id.in_(ids), d.status.in_(wanted)).values(values).returning(d.id)
    )
    return sorted(done.scalars())


def cancel_on(connection: Connection, ids: Sequence[str], *, now: int, by: str) -> list[str]:
    """Make no further attempt of deliveries that are not being sent, within a transaction; those it was done for."""
    d, w = _DELIVERY.c, table_of(Webhook).c
    done = connection.execute(
        update(_DELIVERY)
        .where(d.id.in_(ids), d.status.in_([DeliveryStatus.PENDING.value, DeliveryStatus.RETRYING.value]))
        .values(
            status=DeliveryStatus.CANCELLED.value,
            next_attempt_at=None,
            finished_at=now,
            reason=f"Cancelled by {by}.",
        )
        .returning(d.id, d.webhook_id)
    ).all()
    webhooks = {row.webhook_id for row in done}
    for webhook_id in sorted(connection.execute(select(w.id).where(w.id.in_(webhooks), w.ordered.is_(True))).scalars()):
        release_next(connection, webhook_id, now=now)
    return sorted(row.id for row in done)


def as_they_were(connection: Connection, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Deliveries that wait, by id, with what of them a cancel changes; locked, where the database does that."""
    d = _DELIVERY.c
    waiting = d.status.in_([DeliveryStatus.PENDING.value, DeliveryStatus.RETRYING.value])
    found = select(d.id, d.status, d.next_attempt_at, d.reason).where(d.id.in_(ids), waiting).with_for_update()
    return {
        row.id: {"status": row.status, "next_attempt_at": row.next_attempt_at, "reason": row.reason}
        for row in connection.execute(found)
    }


def restore_on(connection: Connection, called_off: Mapping[str, tuple[Mapping[str, Any], int]]) -> list[str]:
    """Take back cancels of those moments (ms); those it was done for: none that has gone on or was overtaken."""
    d, w = _DELIVERY.c, table_of(Webhook).c
    found = select(d.id, d.webhook_id, w.ordered).join(table_of(Webhook), w.id == d.webhook_id)
    done: list[str] = []
    for row in connection.execute(found.where(d.id.in_(list(called_off))).order_by(d.id)).all():
        was, at = called_off[row.id]
        if row.ordered and _is_overtaken(connection, row.webhook_id, row.id, at):
            continue
        back = update(_DELIVERY).where(d.id == row.id, d.status == DeliveryStatus.CANCELLED.value, d.finished_at == at)
        moved = connection.execute(back.values(dict(was) | {"finished_at": None, "enqueued_at": 0}))
        done += [row.id] if moved.rowcount else []
    return done


def _is_overtaken(connection: Connection, webhook_id: str, delivery_id: str, cancelled_at: int) -> bool:
    """Whether a later delivery of an ordered webhook was tried since this one was called off."""
    d = _DELIVERY.c
    tried = or_(
        d.status.in_([DeliveryStatus.SENDING.value, DeliveryStatus.RETRYING.value]),
        and_(
            d.status.in_([DeliveryStatus.DELIVERED.value, DeliveryStatus.FAILED.value]), d.finished_at >= cancelled_at
        ),
    )
    later = select(d.id).where(d.webhook_id == webhook_id, d.id > delivery_id, tried)
    return connection.execute(later.limit(1)).first() is not None


async def _find(session: AsyncSession, actor: Actor, delivery_id: str, *, lock: bool = False) -> Delivery:
    # Locked before a change, so that a worker's claim and a person's act do not cross.
    delivery = await session.get(Delivery, delivery_id, with_for_update=lock)
    if delivery is None or actor.tenant not in (None, delivery.tenant):
        raise NotFoundError("delivery", delivery_id)
    return delivery


def _time(ms: int | None) -> str | None:
    return None if ms is None else rfc3339(ms)


def delivery_view(row: Any) -> DeliveryView:
    """A row of the table as the API shows it."""
    return DeliveryView(
        id=row.id,
        event_id=row.event_id,
        webhook_id=row.webhook_id,
        event_type=row.event_type,
        tenant=row.tenant,
        status=row.status,
        attempt_count=row.attempts,
        next_attempt_at=_time(row.next_attempt_at),
        next_attempt_reason=row.reason,
        last_status_code=row.last_status_code,
        last_error=row.last_error,
        created_at=rfc3339(row.created_at),
        finished_at=_time(row.finished_at),
    )


def _attempt_view(row: Any) -> AttemptView:
    return AttemptView(
        id=row.id,
        delivery_id=row.delivery_id,
        number=row.number,
        ok=row.ok,
        started_at=rfc3339(row.started_at),
        duration_ms=round(row.duration_ms, 2),
        timings=row.timings or {},
        status_code=row.status_code,
        error=row.error,
        error_detail=row.error_detail,
        request_headers=row.request_headers or {},
        response_headers=row.response_headers or {},
        response_body=row.response_body,
        response_truncated=row.response_truncated,
        remote_address=row.remote_address,
        worker=row.worker,
    )
