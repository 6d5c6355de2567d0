"""What leaves when its time is over: attempts, deliveries that have ended, their events, and the oldest statistics.

Nothing that is still owed leaves, however old it is: an event goes only after the last of its deliveries. Triggers keep
the counts (see `jobs.conservation`): a delivery that leaves is counted as gone. Run by the elected scheduler.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import time

from sqlalchemy import ColumnElement, Table, and_, delete, exists, func, select

from novapulse.core.batches import AT_ONCE, in_batches
from novapulse.core.clock import now_ms
from novapulse.core.database import table_of
from novapulse.core.ids import floor_id
from novapulse.core.runtime import Runtime
from novapulse.webhooks.models import Attempt, Delivery, DeliveryStatus, Event, Webhook, WebhookMinute

_DAY_MS = 24 * 3600 * 1000
_ENDED = (DeliveryStatus.DELIVERED.value, DeliveryStatus.FAILED.value, DeliveryStatus.CANCELLED.value)
_STATISTICS_DAYS = 400  # a year, and what it is compared with
_PAUSE_S = 600.0  # between two looks through the old events, of which some may be owed for as long as they are old
_ATTEMPT, _DELIVERY, _EVENT, _MINUTE = table_of(Attempt), table_of(Delivery), table_of(Event), table_of(WebhookMinute)
_a, _d, _e, _m = _ATTEMPT.c, _DELIVERY.c, _EVENT.c, _MINUTE.c


async def delete_old_events(rt: Runtime) -> int:
    """Delete attempts, deliveries and events that are older than they are kept; how many rows, without statistics."""
    now, settings = now_ms(), rt.settings
    deleted = 0
    if settings.attempt_retention_days < settings.event_retention_days:
        # An id says when it was made.
        old = _a.id < floor_id("att", now - settings.attempt_retention_days * _DAY_MS)
        deleted += await in_batches(lambda: _delete(rt, _ATTEMPT, old))
    before = now - settings.event_retention_days * _DAY_MS
    for status in _ENDED:
        # What ended before then was made before then: of the index of status and id, only that part is read.
        over = and_(_d.status == status, _d.id < floor_id("dlv", before), _d.finished_at < before)
        deleted += await in_batches(lambda: _delete(rt, _DELIVERY, over))  # noqa: B023 - run at once
    deleted += await rt.part(_Events).delete(before)
    await rt.part(_Statistics).delete(now - _STATISTICS_DAYS * _DAY_MS)
    return deleted


async def _delete(rt: Runtime, table: Table, old: ColumnElement[bool]) -> int:
    async with rt.database.read() as session:
        ids = list((await session.execute(select(table.c.id).where(old).order_by(table.c.id).limit(AT_ONCE))).scalars())
    if not ids:
        return 0
    # Looked at again: a delivery may have been taken up once more in between.
    going = delete(table).where(table.c.id.in_(ids), old)
    await rt.database.run_write(lambda connection: connection.execute(going))
    return len(ids)


class _Events:
    """Goes through the old events, from where it stopped the last time. Made by `Runtime.part`."""

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt
        self._after = ""
        self._next = 0.0
        self._deleted = 0

    async def delete(self, before: int) -> int:
        """Delete those that nothing is owed of; how many."""
        if not self._after and time.monotonic() < self._next:
            return 0
        self._deleted = 0
        await in_batches(lambda: self._step(floor_id("evt", before)))
        return self._deleted

    async def _step(self, end: str) -> int:
        owed = exists(select(_d.id).where(_d.event_id == _e.id))
        window = select(_e.id, owed.label("owed")).where(_e.id > self._after, _e.id < end).order_by(_e.id)
        async with self._rt.database.read() as session:
            rows = (await session.execute(window.limit(AT_ONCE))).all()
        ids = [row.id for row in rows if not row.owed]
        if ids:
            going = delete(_EVENT).where(_e.id.in_(ids), ~owed)
            self._deleted += await self._rt.database.run_write(lambda connection: connection.execute(going).rowcount)
        if len(rows) == AT_ONCE:
            self._after = rows[-1].id
        else:
            self._after, self._next = "", time.monotonic() + _PAUSE_S
        return len(rows)


class _Statistics:
    """Deletes the oldest minutes of each webhook, once an hour. Made by `Runtime.part`."""

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt
        self._next = 0.0

    async def delete(self, before: int) -> None:
        """Delete the minutes before that time."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + 3600.0
        w = table_of(Webhook).c
        first = select(func.min(_m.minute)).where(_m.webhook_id == w.id).scalar_subquery()
        async with self._rt.database.read() as session:
            ids = (await session.execute(select(w.id).where(first < before // 60_000))).scalars().all()
        for webhook_id in ids:
            await in_batches(lambda: self._step(webhook_id, before // 60_000))  # noqa: B023 - run at once

    async def _step(self, webhook_id: str, before: int) -> int:
        old = select(_m.minute).where(_m.webhook_id == webhook_id, _m.minute < before).order_by(_m.minute)
        async with self._rt.database.read() as session:
            minutes = (await session.execute(old.limit(AT_ONCE))).scalars().all()
        if minutes:
            going = delete(_MINUTE).where(_m.webhook_id == webhook_id, _m.minute <= minutes[-1])
            await self._rt.database.run_write(lambda connection: connection.execute(going))
        return len(minutes)
