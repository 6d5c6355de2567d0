"""Statistics, summed from minutes: the same cost however many deliveries there were."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select

from novapulse.core.actor import Actor, Permission
from novapulse.core.clock import now_ms, rfc3339
from novapulse.core.database import table_of
from novapulse.core.runtime import Runtime
from novapulse.webhooks import deliveries, service
from novapulse.webhooks.latency import percentile
from novapulse.webhooks.models import OPEN_STATUSES, Delivery, Webhook, WebhookMinute
from novapulse.webhooks.schemas import OverviewView, Point, StatsView

_MINUTE = table_of(WebhookMinute)
_DELIVERY = table_of(Delivery)
_WEBHOOK = table_of(Webhook)

WINDOW_MAX_S = 30 * 24 * 3600
DAY_S = 24 * 3600
_POINTS = {3600: 60, DAY_S: 24}  # steps of a series, by window; others have 60
_OPEN_COUNTED = 10_000  # open deliveries are counted up to here


async def webhook_stats(rt: Runtime, actor: Actor, webhook_id: str, window_s: int = 3600) -> StatsView:
    """What one webhook did in the last `window_s` seconds; NotFoundError if there is none."""
    actor.require(Permission.WEBHOOKS_READ)
    async with rt.database.read() as session:
        await service.find(session, actor, webhook_id)
    return (await stats_of_many(rt, actor, [webhook_id], window_s))[webhook_id]


async def stats_of_many(rt: Runtime, actor: Actor, ids: Sequence[str], window_s: int = DAY_S) -> dict[str, StatsView]:
    """The same for several webhooks, in two queries."""
    actor.require(Permission.WEBHOOKS_READ)
    now = now_ms()
    d = _DELIVERY.c
    rows = await _minutes(rt, _MINUTE.c.webhook_id.in_(ids), now, window_s)
    by_webhook: dict[str, list[Any]] = {id_: [] for id_ in ids}
    for row in rows:
        by_webhook[row.webhook_id].append(row)
    async with rt.database.read() as session:
        open_rows = await session.execute(
            select(d.webhook_id, d.status, func.count())
            .where(d.webhook_id.in_(ids), d.status.in_([s.value for s in OPEN_STATUSES]))
            .group_by(d.webhook_id, d.status)
        )
        opened: dict[str, dict[str, int]] = {id_: {s.value: 0 for s in OPEN_STATUSES} for id_ in ids}
        for webhook_id, status, count in open_rows:
            opened[webhook_id][status] = count
    return {id_: _stats(own, now, window_s, opened[id_]) for id_, own in by_webhook.items()}


async def overview(rt: Runtime, actor: Actor) -> OverviewView:
    """The last 24 hours of all webhooks the actor may see."""
    actor.require(Permission.WEBHOOKS_READ)
    now = now_ms()
    visible = _WEBHOOK.c.tenant == actor.tenant if actor.tenant is not None else None
    mine = select(_WEBHOOK.c.id) if visible is None else select(_WEBHOOK.c.id).where(visible)
    stats = _stats(await _minutes(rt, _MINUTE.c.webhook_id.in_(mine), now, DAY_S), now, DAY_S, {})
    d = _DELIVERY.c
    async with rt.database.read() as session:
        webhooks = (await session.execute(select(func.count()).select_from(mine.subquery()))).scalar_one()
        some_open = (
            select(d.id)
            .where(d.status.in_([s.value for s in OPEN_STATUSES]), d.webhook_id.in_(mine))
            .limit(_OPEN_COUNTED)
        )
        open_count = (await session.execute(select(func.count()).select_from(some_open.subquery()))).scalar_one()
        any_delivery = (await session.execute(select(d.id).where(d.webhook_id.in_(mine)).limit(1))).first() is not None
    failing = await service.list_webhooks(rt, actor, health="failing", limit=5)
    failures = (
        (await deliveries.list_deliveries(rt, actor, status="failed", limit=8)).data
        if actor.may(Permission.DELIVERIES_READ)
        else []
    )
    return OverviewView(
        at=rfc3339(now),
        delivered=stats.delivered,
        failed=stats.failed,
        attempts=stats.attempts,
        success_rate=stats.success_rate,
        p95_ms=stats.p95_ms,
        open=open_count,
        webhooks=webhooks,
        failing_webhooks=failing.data,
        latest_failures=failures,
        series=stats.series,
        has_webhook=webhooks > 0,
        has_delivery=any_delivery,
    )


async def _minutes(rt: Runtime, condition: Any, now: int, window_s: int) -> list[Any]:
    since = now // 60_000 - window_s // 60 + 1
    async with rt.database.read() as session:
        rows = await session.execute(
            select(_MINUTE).where(condition, _MINUTE.c.minute >= since).order_by(_MINUTE.c.minute)
        )
        return list(rows.all())


def _stats(rows: Sequence[Any], now: int, window_s: int, opened: dict[str, int]) -> StatsView:
    latency = _latency(rows)
    attempts, failed_attempts = sum(r.attempts for r in rows), sum(r.failed_attempts for r in rows)
    return StatsView(
        window_s=window_s,
        delivered=sum(r.delivered for r in rows),
        failed=sum(r.failed for r in rows),
        attempts=attempts,
        failed_attempts=failed_attempts,
        open=opened,
        success_rate=None if attempts == 0 else (attempts - failed_attempts) / attempts,
        p50_ms=percentile(latency, 0.50),
        p95_ms=percentile(latency, 0.95),
        p99_ms=percentile(latency, 0.99),
        last_delivery_at=rfc3339(rows[-1].minute * 60_000) if rows else None,
        series=_series(rows, now, window_s),
    )


def _series(rows: Sequence[Any], now: int, window_s: int) -> list[Point]:
    points = min(_POINTS.get(window_s, 60), window_s // 60)
    step = window_s // 60 // points  # minutes
    first = now // 60_000 - points * step + 1
    steps: list[list[Any]] = [[] for _ in range(points)]
    for row in rows:
        place = (row.minute - first) // step
        if 0 <= place < points:
            steps[place].append(row)
    return [
        Point(
            at=rfc3339((first + place * step) * 60_000),
            delivered=sum(r.delivered for r in own),
            failed=sum(r.failed for r in own),
            attempts=sum(r.attempts for r in own),
            failed_attempts=sum(r.failed_attempts for r in own),
            p95_ms=percentile(_latency(own), 0.95),
        )
        for place, own in enumerate(steps)
    ]


def _latency(rows: Sequence[Any]) -> Counter[str]:
    total: Counter[str] = Counter()
    for row in rows:
        total.update(row.latency)
    return total
