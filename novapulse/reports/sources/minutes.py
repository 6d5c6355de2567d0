"""What is kept of each minute of a webhook, piece by piece."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from sqlalchemy import select

from novapulse.core.database import Database, table_of
from novapulse.reports.content import Spec
from novapulse.webhooks.models import Webhook, WebhookMinute

_W = table_of(Webhook).c
_M = table_of(WebhookMinute).c
_BATCH = 2_000
_HOOKS = 200


async def webhooks_of(database: Database, spec: Spec) -> AsyncIterator[Sequence[Any]]:
    """The webhooks that a report is about, some at a time."""
    query = select(_W.id, _W.name, _W.url, _W.status, _W.tenant).order_by(_W.id).limit(_HOOKS)
    if spec.webhook_id is not None:
        query = query.where(_W.id == spec.webhook_id)
    if spec.tenant is not None:
        query = query.where(_W.tenant == spec.tenant)
    last = ""
    while True:
        async with database.read() as session:
            hooks = (await session.execute(query.where(_W.id > last))).all()
        if not hooks:
            return
        yield hooks
        last = hooks[-1].id


async def minutes_of(database: Database, webhook_id: str, spec: Spec) -> AsyncIterator[Sequence[Any]]:
    """The minutes of one webhook that lie in the range, which is rounded out to whole ones."""
    place, until = spec.since // 60_000, -(-spec.until // 60_000)
    while True:
        query = (
            select(_M.minute, _M.attempts, _M.failed_attempts, _M.delivered, _M.failed, _M.latency)
            .where(_M.webhook_id == webhook_id, _M.minute >= place, _M.minute < until)
            .order_by(_M.minute)
            .limit(_BATCH)
        )
        async with database.read() as session:
            rows = (await session.execute(query)).all()
        if rows:
            yield rows
        if len(rows) < _BATCH:
            return
        place = rows[-1].minute + 1
