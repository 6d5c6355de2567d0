"""The catalogue of event types. Types that events bring along are added by ingest."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from novapulse.core.actor import Actor, Permission
from novapulse.core.clock import now_ms, rfc3339
from novapulse.core.database import table_of
from novapulse.core.errors import ConflictError, InvalidError, NotFoundError
from novapulse.core.pagination import Page, decode_cursor, page_of
from novapulse.core.runtime import Runtime
from novapulse.security import audit
from novapulse.webhooks.models import EventType
from novapulse.webhooks.schemas import EventTypeIn, EventTypePatch, EventTypeView

_TYPE = table_of(EventType)


async def create_event_type(rt: Runtime, actor: Actor, data: EventTypeIn) -> EventTypeView:
    """Add a type.

    Raises:
        ConflictError: it is there already.
    """
    actor.require(Permission.WEBHOOKS_WRITE)
    now = now_ms()
    row = EventType(name=data.name, description=data.description, example=data.example, created_at=now, updated_at=now)
    try:
        async with rt.database.write() as session:
            session.add(row)
            await audit.append(rt, session, actor, "event_type.created", target=_target(row.name))
    except IntegrityError:
        raise ConflictError(f"There is an event type '{data.name}' already.") from None
    return _view(row)


async def list_event_types(
    rt: Runtime, actor: Actor, *, limit: int = 50, cursor: str | None = None, archived: bool | None = None
) -> Page[EventTypeView]:
    """Types by name."""
    actor.require(Permission.WEBHOOKS_READ)
    conditions: list[Any] = [] if archived is None else [_TYPE.c.archived.is_(archived)]
    if cursor is not None:
        conditions.append(_TYPE.c.name > decode_cursor(cursor, ""))
    async with rt.database.read() as session:
        rows = (await session.execute(select(_TYPE).where(*conditions).order_by(_TYPE.c.name).limit(limit + 1))).all()
    return page_of(rows, limit, _view, lambda row: row.name)


async def get_event_type(rt: Runtime, actor: Actor, name: str) -> EventTypeView:
    """One type; NotFoundError if there is none."""
    actor.require(Permission.WEBHOOKS_READ)
    async with rt.database.read() as session:
        row = await session.get(EventType, name)
    if row is None:
        raise NotFoundError("event type", name)
    return _view(row)


async def update_event_type(rt: Runtime, actor: Actor, name: str, patch: EventTypePatch) -> EventTypeView:
    """Change what the patch names; NotFoundError if there is no such type."""
    actor.require(Permission.WEBHOOKS_WRITE)
    for field in patch.model_fields_set - {"example"}:
        if getattr(patch, field) is None:
            raise InvalidError.at(f"/{field}", "must not be null; leave it out to keep it")
    async with rt.database.write() as session:
        row = await session.get(EventType, name)
        if row is None:
            raise NotFoundError("event type", name)
        changed = sorted(name for name in patch.model_fields_set if getattr(patch, name) != getattr(row, name))
        for field in patch.model_fields_set:
            setattr(row, field, getattr(patch, field))
        row.updated_at = now_ms()
        session.add(row)
        if changed:
            facts = {"fields": changed}
            await audit.append(rt, session, actor, "event_type.changed", target=_target(name), detail=facts)
    return _view(row)


async def delete_event_type(rt: Runtime, actor: Actor, name: str) -> None:
    """Take a type out of the catalogue; events of it are accepted as before, and would add it again."""
    actor.require(Permission.WEBHOOKS_WRITE)
    async with rt.database.write() as session:
        row = await session.get(EventType, name)
        if row is None:
            raise NotFoundError("event type", name)
        await session.delete(row)
        await audit.append(rt, session, actor, "event_type.deleted", target=_target(name))


def _target(name: str) -> audit.Target:
    return ("event_type", name, name)


def _view(row: Any) -> EventTypeView:
    return EventTypeView(
        name=row.name,
        description=row.description,
        example=row.example,
        archived=row.archived,
        created_at=rfc3339(row.created_at),
        updated_at=rfc3339(row.updated_at),
    )
