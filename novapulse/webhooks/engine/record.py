"""Recording attempts in bulk: what happened, what follows, and the sums, in one transaction.

Attempts that finish while a transaction is running share the next one. Only the holder of the
present claim may record (fencing): a worker that was taken for dead finds its claim gone.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from sqlalchemy import and_, bindparam, insert, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from novapulse.core.clock import now_ms, rfc3339
from novapulse.core.database import table_of
from novapulse.core.ids import new_id
from novapulse.core.runtime import Runtime
from novapulse.webhooks.engine.claim import DELIVERY, Claim, release_next
from novapulse.webhooks.engine.targets import Target
from novapulse.webhooks.feed import Feed
from novapulse.webhooks.latency import bucket_of
from novapulse.webhooks.models import Attempt, DeliveryStatus, RoutingVersion, Webhook, WebhookMinute, WebhookStatus
from novapulse.webhooks.outcome import Outcome
from novapulse.webhooks.retry import decide

_ATTEMPT = table_of(Attempt)
_WEBHOOK = table_of(Webhook)
_MINUTE = table_of(WebhookMinute)
_ROUTING = table_of(RoutingVersion)

_GROUP = 100  # attempts per transaction
_BACKLOG = 100  # attempts that are made and not written; a crash has that many sent again at most
_GONE = 410  # RFC 9110, 15.5.11: the receiver asks not to be sent to any more

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Result:
    """A finished attempt and what is needed to decide what follows."""

    claim: Claim
    target: Target
    outcome: Outcome
    request_headers: dict[str, str]
    attempt_id: str = field(default_factory=lambda: new_id("att"))
    recorded: bool = False  # False after recording: the claim was lost, nothing was written
    status: str = ""
    next_attempt_at: int | None = None
    reason: str | None = None


class Recorder:
    """Writes the results of one worker process."""

    def __init__(self, rt: Runtime, owner: str, done: Callable[[Result], None]) -> None:
        """`done` is called for each result once it is committed, or found to be another's by now."""
        self._rt = rt
        self._owner = owner
        self._done = done
        self._results: list[Result] = []
        self._writer: asyncio.Task[None] | None = None
        self._room = asyncio.Event()
        self._room.set()

    async def room(self) -> None:
        """Wait until another attempt may be made: what is sent must not run ahead of what is written."""
        while len(self._results) >= _BACKLOG:
            self._room.clear()
            await self._room.wait()

    def add(self, result: Result) -> None:
        """Have a result written with the next transaction."""
        self._results.append(result)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_groups())

    async def flush(self) -> None:
        """Wait until everything that was added is written."""
        while self._writer is not None and not self._writer.done():
            await asyncio.wait([self._writer])

    async def _write_groups(self) -> None:
        wait_s = 0.1
        # Let the attempts that finish in this very turn of the loop share the first transaction.
        await asyncio.sleep(0.002)
        while self._results:
            group = self._results[:_GROUP]
            try:
                await write_results(self._rt, self._owner, group)
            except (SQLAlchemyError, OSError, TimeoutError) as error:
                # What was sent must be remembered: keep it until the database is back.
                log.warning(
                    "attempts_not_recorded", count=len(self._results), error=str(error)[:200], retry_in_s=wait_s
                )
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, 5.0)
                continue
            wait_s = 0.1
            del self._results[: len(group)]
            self._room.set()
            for result in group:
                self._done(result)
            self._rt.part(Feed).tell("delivery", [feed_item(result) for result in group if result.recorded])


async def write_results(rt: Runtime, owner: str, results: Sequence[Result]) -> None:
    """Write these results in one transaction and mark on each whether it was still ours to write."""
    now = now_ms()
    async with rt.database.write() as session:
        ours = await _fence(session, owner, results)
        if ours:
            for result in ours:
                _decide(result, now)
            await _update_deliveries(session, ours, now)
            await session.execute(insert(_ATTEMPT), [_attempt_row(result, owner) for result in ours])
            await _add_to_minutes(session, rt.database.is_sqlite, ours, now)
            await _judge_webhooks(session, ours, now, rt.settings.disable_after_s * 1000)
            for webhook_id in {r.target.id for r in ours if r.target.ordered and r.next_attempt_at is None}:
                await release_next(session, webhook_id, now=now)
    for result in ours:
        result.recorded = True


async def _fence(session: AsyncSession, owner: str, results: Sequence[Result]) -> list[Result]:
    d = DELIVERY.c
    rows = await session.execute(
        select(d.id, d.claims)
        .where(
            d.id.in_([result.claim.id for result in results]),
            d.claimed_by == owner,
            d.status == DeliveryStatus.SENDING.value,
        )
        .order_by(d.id)
        .with_for_update()
    )
    fences = dict(rows.all())
    return [result for result in results if fences.get(result.claim.id) == result.claim.fence]


def _decide(result: Result, now: int) -> None:
    outcome, claim = result.outcome, result.claim
    if outcome.ok:
        result.status = DeliveryStatus.DELIVERED.value
    elif outcome.status_code == _GONE:
        result.status = DeliveryStatus.FAILED.value
        result.reason = "The receiver answered 410 Gone, which asks for no further deliveries."
    else:
        decision = decide(
            outcome,
            failures_in_schedule=claim.attempts - claim.schedule_from + 1,
            schedule=result.target.schedule,
            manual=claim.manual,
            now=now,
            random=random.random,
        )
        result.next_attempt_at, result.reason = decision.next_attempt_at, decision.reason
        retrying = decision.next_attempt_at is not None
        result.status = (DeliveryStatus.RETRYING if retrying else DeliveryStatus.FAILED).value


async def _update_deliveries(session: AsyncSession, results: Sequence[Result], now: int) -> None:
    d = DELIVERY.c
    common: dict[str, Any] = {
        "attempts": d.attempts + 1,
        "enqueued_at": 0,
        "crashes": 0,
        "manual": False,
        "claimed_by": None,
        "lease_until": 0,
    }
    delivered: dict[int | None, list[str]] = {}
    for result in results:
        if result.outcome.ok:
            delivered.setdefault(result.outcome.status_code, []).append(result.claim.id)
    for status_code, ids in delivered.items():
        await session.execute(
            update(DELIVERY)
            .where(d.id.in_(ids))
            .values(
                common
                | {
                    "status": DeliveryStatus.DELIVERED.value,
                    "next_attempt_at": None,
                    "last_status_code": status_code,
                    "last_error": None,
                    "reason": None,
                    "finished_at": now,
                }
            )
        )
    failed = [
        {
            "b_id": result.claim.id,
            "b_status": result.status,
            "b_next": result.next_attempt_at,
            "b_code": result.outcome.status_code,
            "b_error": result.outcome.error.value if result.outcome.error else None,
            "b_reason": result.reason,
            "b_finished": None if result.next_attempt_at is not None else now,
        }
        for result in results
        if not result.outcome.ok
    ]
    if failed:
        connection = await session.connection()
        await connection.execute(
            update(DELIVERY)
            .where(d.id == bindparam("b_id"))
            .values(
                common
                | {
                    "status": bindparam("b_status"),
                    "next_attempt_at": bindparam("b_next"),
                    "last_status_code": bindparam("b_code"),
                    "last_error": bindparam("b_error"),
                    "reason": bindparam("b_reason"),
                    "finished_at": bindparam("b_finished"),
                }
            ),
            failed,
        )


def _attempt_row(result: Result, owner: str) -> dict[str, Any]:
    outcome = result.outcome
    return {
        "id": result.attempt_id,
        "delivery_id": result.claim.id,
        "number": result.claim.attempts + 1,
        "ok": outcome.ok,
        "started_at": outcome.started_at,
        "duration_ms": outcome.duration_ms,
        "timings": outcome.timings,
        "status_code": outcome.status_code,
        "error": outcome.error.value if outcome.error else None,
        "error_detail": outcome.error_detail,
        "request_headers": result.request_headers,
        "response_headers": outcome.response_headers,
        "response_body": outcome.response_body,
        "response_truncated": outcome.response_truncated,
        "remote_address": outcome.remote_address,
        "worker": owner,
    }


async def _add_to_minutes(session: AsyncSession, is_sqlite: bool, results: Sequence[Result], now: int) -> None:
    minute = now // 60_000
    by_webhook: dict[str, list[Result]] = {}
    for result in results:
        by_webhook.setdefault(result.target.id, []).append(result)
    ids = sorted(by_webhook)  # one order for all workers: no deadlock
    build = sqlite_insert if is_sqlite else pg_insert
    empty = [
        {
            "webhook_id": i,
            "minute": minute,
            "delivered": 0,
            "failed": 0,
            "attempts": 0,
            "failed_attempts": 0,
            "latency": {},
        }
        for i in ids
    ]
    await session.execute(build(_MINUTE).values(empty).on_conflict_do_nothing())
    m = _MINUTE.c
    rows = (
        await session.execute(
            select(_MINUTE).where(m.minute == minute, m.webhook_id.in_(ids)).order_by(m.webhook_id).with_for_update()
        )
    ).all()
    changes: list[dict[str, Any]] = []
    for row in rows:
        latency: dict[str, int] = dict(row.latency)
        own = by_webhook[row.webhook_id]
        for result in own:
            key = str(bucket_of(result.outcome.duration_ms))
            latency[key] = latency.get(key, 0) + 1
        changes.append(
            {
                "b_webhook": row.webhook_id,
                "delivered": row.delivered + sum(r.status == DeliveryStatus.DELIVERED for r in own),
                "failed": row.failed + sum(r.status == DeliveryStatus.FAILED for r in own),
                "attempts": row.attempts + len(own),
                "failed_attempts": row.failed_attempts + sum(not r.outcome.ok for r in own),
                "latency": latency,
            }
        )
    connection = await session.connection()
    await connection.execute(
        update(_MINUTE).where(and_(m.minute == minute, m.webhook_id == bindparam("b_webhook"))), changes
    )


async def _judge_webhooks(session: AsyncSession, results: Sequence[Result], now: int, disable_after_ms: int) -> None:
    """Keep `failing_since`, and disable what is gone or has only failed for too long."""
    w = _WEBHOOK.c
    succeeded = {result.target.id for result in results if result.outcome.ok}
    failed = {result.target.id for result in results if not result.outcome.ok} - succeeded
    if succeeded:
        await session.execute(
            update(_WEBHOOK).where(w.id.in_(succeeded), w.failing_since.is_not(None)).values(failing_since=None)
        )
    if not failed:
        return
    await session.execute(update(_WEBHOOK).where(w.id.in_(failed), w.failing_since.is_(None)).values(failing_since=now))
    gone = {result.target.id for result in results if result.outcome.status_code == _GONE}
    days = disable_after_ms / 86_400_000
    reasons = (
        (w.id.in_(gone), "The receiver answered 410 Gone."),
        (
            and_(w.id.in_(failed), w.failing_since < now - disable_after_ms),
            f"Every delivery failed for {days:.3g} days.",
        ),
    )
    disabled = 0
    for condition, reason in reasons:
        found = await session.execute(
            update(_WEBHOOK)
            .where(condition, w.status == WebhookStatus.ACTIVE.value)
            .values(status=WebhookStatus.DISABLED.value, disabled_reason=reason, updated_at=now)
            .returning(w.id)
        )
        for (webhook_id,) in found.all():
            disabled += 1
            log.warning("webhook_disabled", webhook_id=webhook_id, reason=reason)
    if disabled:
        await session.execute(update(_ROUTING).values(version=_ROUTING.c.version + 1))


def feed_item(result: Result) -> dict[str, Any]:
    """What the screens are told of a recorded attempt."""
    outcome, claim = result.outcome, result.claim
    return {
        "delivery_id": claim.id,
        "event_id": claim.event_id,
        "webhook_id": claim.webhook_id,
        "event_type": claim.event_type,
        "status": result.status,
        "attempts": claim.attempts + 1,
        "status_code": outcome.status_code,
        "error": outcome.error.value if outcome.error else None,
        "duration_ms": round(outcome.duration_ms, 1),
        "at": rfc3339(outcome.started_at),
    }
