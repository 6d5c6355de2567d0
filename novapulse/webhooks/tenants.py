"""The tenants there are: nobody makes them, webhooks and events name them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, literal, select

from novapulse.core.actor import Actor, Permission
from novapulse.core.database import table_of
from novapulse.core.runtime import Runtime
from novapulse.webhooks.models import Event, Webhook

_MAX = 200


async def list_tenants(rt: Runtime, actor: Actor) -> list[str]:
    """The tenants of webhooks and of events, by name, up to 200; for an actor of one tenant, that one."""
    actor.require(Permission.WEBHOOKS_READ)
    if actor.tenant is not None:
        return [actor.tenant]
    async with rt.database.read() as session:
        of_webhooks = (await session.execute(_distinct(table_of(Webhook).c.tenant))).scalars()
        of_events = (await session.execute(_distinct(table_of(Event).c.tenant_key))).scalars()
    return sorted({*of_webhooks, *of_events})[:_MAX]


def _distinct(column: Any) -> Any:
    """Each value by one look-up in the column's index: however many rows there are, only values cost."""
    found = select(func.min(column).label("name"), literal(1).label("n")).where(column > "").cte(recursive=True)
    following = select(func.min(column)).where(column > found.c.name).scalar_subquery()
    further = select(following, found.c.n + 1).where(found.c.name.is_not(None), found.c.n < _MAX)
    every = found.union_all(further)
    return select(every.c.name).where(every.c.name.is_not(None))
