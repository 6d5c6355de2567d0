"""Events: looking at what happened and what became of it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import or_, select

from novapulse.core import exact
from novapulse.core.actor import Actor, Permission
from novapulse.core.clock import rfc3339
from novapulse.core.database import table_of
from novapulse.core.errors import NotFoundError
from novapulse.core.ids import floor_id
from novapulse.core.pagination import LIMIT_MAX, Page, decode_cursor, page_of
from novapulse.core.runtime import Runtime
from novapulse.webhooks.deliveries import delivery_view
from novapulse.webhooks.models import Delivery, Event
from novapulse.webhooks.schemas import EventDetail, EventView

_EVENT = table_of(Event)
_DELIVERY = table_of(Delivery)


async def list_events(
    rt: Runtime,
    actor: Actor,
    *,
    type: str | None = None,  # noqa: A002 - the name in the API
    tenant: str | None = None,
    since: int | None = None,
    until: int | None = None,
    q: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[EventView]:
    """Events, newest first; `q` is an id, a sender's id, or text in the body."""
    actor.require(Permission.EVENTS_READ)
    e = _EVENT.c
    conditions: list[Any] = []
    tenant = actor.tenant if actor.tenant is not None else tenant
    if tenant is not None:
        conditions.append(e.tenant == tenant)
    if type is not None:
        conditions.append(e.type.startswith(type[:-1], autoescape=True) if type.endswith(".*") else e.type == type)
    if since is not None:
        conditions.append(e.id >= floor_id("evt", since))
    if until is not None:
        conditions.append(e.id < floor_id("evt", until))
    if q:
        conditions.append(or_(e.id == q, e.sender_id == q, e.body.contains(q, autoescape=True)))
    if cursor is not None:
        conditions.append(e.id < decode_cursor(cursor, "evt_"))
    columns = (e.id, e.sender_id, e.type, e.tenant, e.timestamp, e.created_at, e.deliveries)
    async with rt.database.read() as session:
        rows = (await session.execute(select(*columns).where(*conditions).order_by(e.id.desc()).limit(limit + 1))).all()
    return page_of(rows, limit, _view, lambda row: row.id)


async def get_event(rt: Runtime, actor: Actor, event_id: str) -> EventDetail:
    """One event with its data and deliveries.

    Raises:
        NotFoundError: none of this id that the actor may see.
    """
    actor.require(Permission.EVENTS_READ)
    d = _DELIVERY.c
    async with rt.database.read() as session:
        event = await session.get(Event, event_id)
        if event is None or actor.tenant not in (None, event.tenant):
            raise NotFoundError("event", event_id)
        rows = await session.execute(select(_DELIVERY).where(d.event_id == event_id).order_by(d.id).limit(LIMIT_MAX))
        deliveries = [delivery_view(row) for row in rows]
    return EventDetail(**_view(event).model_dump(), data=exact.loads(event.body)["data"], deliveries=deliveries)


def _view(row: Any) -> EventView:
    return EventView(
        id=row.id,
        sender_id=row.sender_id,
        type=row.type,
        tenant=row.tenant,
        timestamp=rfc3339(row.timestamp),
        created_at=rfc3339(row.created_at),
        delivery_count=row.deliveries,
    )
