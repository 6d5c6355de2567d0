"""Recording attempts in bulk: what happened, what follows, and the sums, in one transaction.

Attempts that finish while a transaction is running share the next one. Only the holder of the
present claim may record (fencing): a worker that was taken for dead finds its claim gone.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from sqlalchemy import Connection, and_, bindparam, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.exc import SQLAlchemyError

from novapulse.core import tracing
from novapulse.core.actor import SYSTEM
from novapulse.core.clock import now_ms, rfc3339
from novapulse.core.database import bulk_insert, table_of
from novapulse.core.ids import new_id
from novapulse.core.runtime import Runtime
from novapulse.jobs.observed import Observed
from novapulse.metrics.definitions import DELIVERY_ATTEMPTS, DELIVERY_ERRORS, DELIVERY_LATENCY
from novapulse.security import audit, notices
from novapulse.webhooks import traced
from novapulse.webhooks.audited import webhook_target
from novapulse.webhooks.engine.claim import DELIVERY, Claim, release_next
from novapulse.webhooks.engine.targets import Target
from novapulse.webhooks.feed import Feed
from novapulse.webhooks.latency import bucket_of
from novapulse.webhooks.models import Attempt, DeliveryStatus, RoutingVersion, Webhook, WebhookMinute, WebhookStatus
from novapulse.webhooks.outcome import ErrorCode, Outcome
from novapulse.webhooks.retry import decide

_ATTEMPT = table_of(Attempt)
_WEBHOOK = table_of(Webhook)
_MINUTE = table_of(WebhookMinute)
_ROUTING = table_of(RoutingVersion)

_GROUP = 100  # most attempts per transaction
_GATHER_S = 0.004  # how long less than half of that waits for company
_BACKLOG = 150  # attempts that are made and not written; a crash has that many sent again at most
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

    @property
    def url(self) -> str:
        """Where it was sent."""
        return self.target.url


class Recorder:
    """Writes the results of one worker process."""

    def __init__(self, rt: Runtime, owner: str, done: Callable[[Result], None]) -> None:
        """`done` is called for each result once it is committed, or found to be another's by now."""
        self._rt = rt
        self._owner = owner
        self._done = done
        self._results: list[Result] = []
        self._writer: asyncio.Task[None] | None = None
        self._observed = rt.part(Observed)
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
        while self._results:
            if len(self._results) < _GROUP // 2:
                await asyncio.sleep(_GATHER_S)
            group = self._results[:_GROUP]
            try:
                watch = None if tracing.active is None else tracing.Watch()
                await write_results(self._rt, self._owner, group, watch)
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
            self._observed.note_many("webhook", map(_observed, group))
            _count(group)
            if watch is not None:
                traced.recorded(watch, group, is_sqlite=self._rt.database.is_sqlite)
            for result in group:
                self._done(result)
            self._rt.part(Feed).tell("delivery", [result for result in group if result.recorded], feed_item)


def _count(group: Sequence[Result]) -> None:
    delivered, first_ms, latencies = 0, 0.0, list[tuple[float, int]]()
    for result in group:
        outcome, claim = result.outcome, result.claim
        if not result.recorded:
            DELIVERY_ATTEMPTS.add(1, "lost")
        elif outcome.error is None:
            delivered += 1
            if claim.attempts == 0:
                took_ms = outcome.started_at + outcome.duration_ms - claim.created_at
                first_ms += took_ms
                latencies.append((took_ms / 1000, 1))
        else:
            DELIVERY_ATTEMPTS.add(1, result.status)
            code = outcome.status_code if outcome.error in (ErrorCode.STATUS, ErrorCode.REDIRECT) else None
            DELIVERY_ERRORS.add(1, outcome.error.value if code is None else f"{code // 100}xx")
    if delivered:
        DELIVERY_ATTEMPTS.add(delivered, "delivered")
        DELIVERY_LATENCY.take_in(latencies, first_ms / 1000)


def _observed(result: Result) -> tuple[float | None, float, bool]:
    claim, outcome = result.claim, result.outcome
    # When a retry was due is not kept; a first attempt was due when its delivery was made.
    waited = None if claim.attempts else max(0, outcome.started_at - claim.created_at)
    return waited, outcome.duration_ms, outcome.ok


async def write_results(rt: Runtime, owner: str, results: Sequence[Result], watch: tracing.Watch | None = None) -> None:
    """Write these results in one transaction and mark on each whether it was still ours to write."""
    now = now_ms()

    def write(connection: Connection) -> list[Result]:
        ours = _update_deliveries(connection, owner, results, now)
        if ours:
            bulk_insert(connection, _ATTEMPT, [_attempt_row(result, owner) for result in ours])
            _add_to_minutes(connection, rt.database.is_sqlite, ours, now)
            disabled = _judge_webhooks(connection, ours, now, rt.settings.disable_after_s * 1000)
            for webhook_id in {r.target.id for r in ours if r.target.ordered and r.next_attempt_at is None}:
                release_next(connection, webhook_id, now=now)
            for target, reason in disabled:
                facts = {"name": target[2], "reason": reason, "link": f"{rt.settings.base_url}/webhooks/{target[1]}"}
                notices.tell_admins(rt, connection, notices.Notice.WEBHOOK_DISABLED, facts)
            for target, reason in disabled:
                audit.append_on(rt, connection, SYSTEM, "webhook.disabled", target=target, detail={"reason": reason})
        return ours

    for result in await rt.database.run_write(write, watch):
        result.recorded = True


_COMMON: dict[str, Any] = {
    "attempts": DELIVERY.c.attempts + 1,
    "enqueued_at": 0,
    "crashes": 0,
    "manual": False,
    "claimed_by": None,
    "lease_until": 0,
}
_UPDATE_DELIVERED = (
    update(DELIVERY)
    .where(
        # The fence: still claimed, by us, by the very claim that was sent under.
        tuple_(DELIVERY.c.id, DELIVERY.c.claims).in_(bindparam("b_claims", expanding=True)),
        DELIVERY.c.claimed_by == bindparam("b_owner"),
        DELIVERY.c.status == DeliveryStatus.SENDING.value,
    )
    .values(
        _COMMON
        | {
            "status": DeliveryStatus.DELIVERED.value,
            "next_attempt_at": None,
            "last_status_code": bindparam("b_code"),
            "last_error": None,
            "reason": None,
            "finished_at": bindparam("b_finished"),
        }
    )
)
# Of those, the ones that the statement above did write: nobody else can have ended them under this very claim.
_WRITTEN = select(DELIVERY.c.id).where(
    tuple_(DELIVERY.c.id, DELIVERY.c.claims).in_(bindparam("b_claims", expanding=True)),
    DELIVERY.c.status == DeliveryStatus.DELIVERED.value,
)
_UPDATE_FAILED = (
    update(DELIVERY)
    .where(DELIVERY.c.id == bindparam("b_id"))
    .values(
        _COMMON
        | {
            "status": bindparam("b_status"),
            "next_attempt_at": bindparam("b_next"),
            "last_status_code": bindparam("b_code"),
            "last_error": bindparam("b_error"),
            "reason": bindparam("b_reason"),
            "finished_at": bindparam("b_finished"),
        }
    )
)


_SELECT_CLAIMED = (
    select(DELIVERY.c.id, DELIVERY.c.claims)
    .where(
        DELIVERY.c.id.in_(bindparam("b_ids", expanding=True)),
        DELIVERY.c.claimed_by == bindparam("b_owner"),
        DELIVERY.c.status == DeliveryStatus.SENDING.value,
    )
    .order_by(DELIVERY.c.id)
    .with_for_update()
)


def _update_deliveries(connection: Connection, owner: str, results: Sequence[Result], now: int) -> list[Result]:
    """Write what became of each delivery; those that were still ours, in order of their ids."""
    delivered: dict[int | None, list[Result]] = {}
    failed: list[Result] = []
    # One order for all workers: no deadlock.
    for result in sorted(results, key=lambda each: each.claim.id):
        if result.outcome.ok:
            delivered.setdefault(result.outcome.status_code, []).append(result)
        else:
            failed.append(result)
    ours: list[Result] = []
    for status_code, group in sorted(delivered.items(), key=lambda item: item[0] or 0):
        claims = [(result.claim.id, result.claim.fence) for result in group]
        values = {"b_claims": claims, "b_owner": owner, "b_code": status_code, "b_finished": now}
        if connection.execute(_UPDATE_DELIVERED, values).rowcount == len(group):
            ours += group
            continue
        written = set(connection.execute(_WRITTEN, {"b_claims": claims}).scalars().all())
        ours += [result for result in group if result.claim.id in written]
    for result in ours:
        result.status = DeliveryStatus.DELIVERED.value
    failed = _fence(connection, owner, failed)
    if failed:
        for result in failed:
            _decide(result, now)
        connection.execute(_UPDATE_FAILED, [_failed_row(result, now) for result in failed])
    return ours + failed


def _fence(connection: Connection, owner: str, results: Sequence[Result]) -> list[Result]:
    if not results:
        return []
    rows = connection.execute(_SELECT_CLAIMED, {"b_ids": [result.claim.id for result in results], "b_owner": owner})
    fences = {row.id: row.claims for row in rows}
    return [result for result in results if fences.get(result.claim.id) == result.claim.fence]


def _decide(result: Result, now: int) -> None:
    outcome, claim = result.outcome, result.claim
    if outcome.status_code == _GONE:
        result.status = DeliveryStatus.FAILED.value
        result.reason = "The receiver answered 410 Gone, which asks for no further deliveries."
        return
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


def _failed_row(result: Result, now: int) -> dict[str, Any]:
    return {
        "b_id": result.claim.id,
        "b_status": result.status,
        "b_next": result.next_attempt_at,
        "b_code": result.outcome.status_code,
        "b_error": result.outcome.error.value if result.outcome.error else None,
        "b_reason": result.reason,
        "b_finished": None if result.next_attempt_at is not None else now,
    }


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


_EMPTY_MINUTE: dict[str, Any] = {"delivered": 0, "failed": 0, "attempts": 0, "failed_attempts": 0, "latency": {}}


_SELECT_MINUTES = (
    select(_MINUTE)
    .where(_MINUTE.c.minute == bindparam("b_minute"), _MINUTE.c.webhook_id.in_(bindparam("b_webhooks", expanding=True)))
    .order_by(_MINUTE.c.webhook_id)
    .with_for_update()
)
_UPDATE_MINUTE = update(_MINUTE).where(
    _MINUTE.c.minute == bindparam("b_minute"), _MINUTE.c.webhook_id == bindparam("b_webhook")
)


def _minute_rows(connection: Connection, minute: int, webhook_ids: Iterable[str]) -> Sequence[Any]:
    return connection.execute(_SELECT_MINUTES, {"b_minute": minute, "b_webhooks": sorted(webhook_ids)}).all()


def _add_to_minutes(connection: Connection, is_sqlite: bool, results: Sequence[Result], now: int) -> None:
    minute = now // 60_000
    by_webhook: dict[str, list[Result]] = {}
    for result in results:
        by_webhook.setdefault(result.target.id, []).append(result)
    rows = _minute_rows(connection, minute, by_webhook)
    if missing := sorted(by_webhook.keys() - {row.webhook_id for row in rows}):
        build = sqlite_insert if is_sqlite else pg_insert
        connection.execute(
            build(_MINUTE).on_conflict_do_nothing(),
            [_EMPTY_MINUTE | {"webhook_id": webhook_id, "minute": minute} for webhook_id in missing],
        )
        rows = _minute_rows(connection, minute, by_webhook)
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
                "b_minute": minute,
                "delivered": row.delivered + sum(r.status == DeliveryStatus.DELIVERED for r in own),
                "failed": row.failed + sum(r.status == DeliveryStatus.FAILED for r in own),
                "attempts": row.attempts + len(own),
                "failed_attempts": row.failed_attempts + sum(not r.outcome.ok for r in own),
                "latency": latency,
            }
        )
    connection.execute(_UPDATE_MINUTE, changes)


_END_FAILING = (
    update(_WEBHOOK)
    .where(_WEBHOOK.c.id.in_(bindparam("b_ids", expanding=True)), _WEBHOOK.c.failing_since.is_not(None))
    .values(failing_since=None)
)


def _judge_webhooks(
    connection: Connection, results: Sequence[Result], now: int, disable_after_ms: int
) -> list[tuple[audit.Target, str]]:
    """Keep `failing_since`, and disable what is gone or has only failed for too long: which, and why."""
    w = _WEBHOOK.c
    succeeded = {result.target.id for result in results if result.outcome.ok}
    failed = {result.target.id for result in results if not result.outcome.ok} - succeeded
    if succeeded:
        connection.execute(_END_FAILING, {"b_ids": list(succeeded)})
    if not failed:
        return []
    connection.execute(update(_WEBHOOK).where(w.id.in_(failed), w.failing_since.is_(None)).values(failing_since=now))
    gone = {result.target.id for result in results if result.outcome.status_code == _GONE}
    days = disable_after_ms / 86_400_000
    reasons = (
        (w.id.in_(gone), "The receiver answered 410 Gone."),
        (
            and_(w.id.in_(failed), w.failing_since < now - disable_after_ms),
            f"Every delivery failed for {days:.3g} days.",
        ),
    )
    disabled: list[tuple[audit.Target, str]] = []
    for condition, reason in reasons:
        found = connection.execute(
            update(_WEBHOOK)
            .where(condition, w.status == WebhookStatus.ACTIVE.value)
            .values(status=WebhookStatus.DISABLED.value, disabled_reason=reason, updated_at=now)
            .returning(w.id, w.name, w.url)
        )
        for webhook in found.all():
            disabled.append((webhook_target(webhook), reason))
            log.warning("webhook_disabled", webhook_id=webhook.id, reason=reason)
    if disabled:
        connection.execute(update(_ROUTING).values(version=_ROUTING.c.version + 1))
    return disabled


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
