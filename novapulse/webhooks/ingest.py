"""Taking events in: an answer means that the event and its deliveries are on disk.

Requests that arrive while a transaction is being committed share the next one (group commit), so
that the cost of the disk's flush is divided among them. Delivery ids go to the queue after the
commit; when that fails nothing is lost, because `handout` finds what is owed in the database.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog
from redis.exceptions import RedisError
from sqlalchemy import Connection, select, tuple_
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.exc import IntegrityError

from novapulse.core import exact, trace, tracing
from novapulse.core.actor import Actor, Permission
from novapulse.core.clock import now_ms, rfc3339
from novapulse.core.database import bulk_insert, table_of
from novapulse.core.errors import ConflictError, ForbiddenError, ProblemError, TooLargeError, UnavailableError
from novapulse.core.ids import new_id
from novapulse.core.runtime import Runtime
from novapulse.jobs.enqueue import count_enqueued
from novapulse.metrics.definitions import INGEST_DELIVERIES, INGEST_WAITING, INGESTED
from novapulse.webhooks import traced
from novapulse.webhooks.feed import Feed
from novapulse.webhooks.models import Delivery, DeliveryStatus, Event, EventType
from novapulse.webhooks.routing import Route, RoutingTable, current_table
from novapulse.webhooks.schemas import EventAccepted, EventIn

_GROUP_ROWS = 500  # events per transaction
_WAITING_MAX = 20_000  # events in memory before the answer is 503
BATCH_IDS = 200  # deliveries per job

_EVENT = table_of(Event)
_DELIVERY = table_of(Delivery)
_EVENT_TYPE = table_of(EventType)

log = structlog.get_logger(__name__)


async def accept(rt: Runtime, actor: Actor, event: EventIn) -> EventAccepted:
    """Store one event and its deliveries durably.

    Raises:
        ForbiddenError: no `events:write`, or another tenant's event.
        ConflictError: the sender used this id before, for something else.
        UnavailableError: too much is waiting already.
    """
    (answer,) = await accept_batch(rt, actor, [event])
    if isinstance(answer, ProblemError):
        raise answer
    return answer


async def accept_batch(rt: Runtime, actor: Actor, events: Sequence[EventIn]) -> list[EventAccepted | ProblemError]:
    """Store several events in one transaction; an event that cannot be taken gets an error of its own."""
    actor.require(Permission.EVENTS_WRITE)
    with tracing.span("create event", "producer", traced.CREATE) as span:
        place = trace.current()
        mark = None if place is None else place.mark
        taken = [_prepare(actor, event, rt.settings.max_body_bytes, mark) for event in events]
        if span is not None:
            traced.taken(span, taken)
        return await rt.part(Ingest).submit(taken)


class StoredEvent(Protocol):
    """An event that a transaction has just stored."""

    @property
    def id(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def tenant(self) -> str | None: ...
    @property
    def sender_id(self) -> str | None: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def body(self) -> str: ...
    @property
    def trace(self) -> str | None: ...


After = Callable[[], Awaitable[None]]
# What else is done with new events, within the transaction that stores them; given the version of the routing, and
# answers what is to be done once it is committed.
STORED: list[Callable[[Runtime, Connection, int, Sequence[StoredEvent]], After | None]] = []


@dataclass(slots=True)
class _Incoming:
    """One event on its way into the database."""

    id: str
    type: str
    tenant: str | None
    sender_id: str | None
    fingerprint: bytes | None
    timestamp: int
    created_at: int
    body: str
    trace: str | None = None
    span: tracing.Span | None = None
    answer: EventAccepted | ProblemError | None = None
    routes: list[Route] = field(default_factory=list[Route])


def _prepare(actor: Actor, event: EventIn, max_bytes: int, mark: str | None) -> _Incoming:
    tenant = event.tenant if actor.tenant is None else actor.tenant
    now = now_ms()
    timestamp = now if event.timestamp is None else round(event.timestamp.timestamp() * 1000)
    data = exact.dumps(event.data)
    body = f'{{"type":{exact.dumps(event.type)},"timestamp":"{rfc3339(timestamp)}","data":{data}}}'
    fingerprint = None
    if event.id is not None:
        # Without a timestamp of the sender's own, a repeated call must still count as the same.
        sent = event.timestamp.isoformat() if event.timestamp else ""
        fingerprint = hashlib.sha256("\0".join((event.type, tenant or "", sent, data)).encode()).digest()
    incoming = _Incoming(new_id("evt"), event.type, tenant, event.id, fingerprint, timestamp, now, body, mark)
    if event.tenant not in (None, tenant):
        incoming.answer = ForbiddenError(f"This key may only send events of tenant '{tenant}'.")
    elif len(data) > max_bytes:
        incoming.answer = TooLargeError(f"An event has at most {max_bytes} bytes of data.")
    return incoming


class Ingest:
    """The group commit of one process. Made by `Runtime.part`."""

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt
        self._table: RoutingTable | None = None
        self._known_types: set[str] = set()
        self._waiting: list[tuple[list[_Incoming], asyncio.Future[None]]] = []
        self._waiting_rows = 0
        self._committer: asyncio.Task[None] | None = None
        self._outgoing: list[str] = []
        self._sent_for: list[trace.Place] = []  # the spans that what goes out belongs to
        self._afters: list[After] = []
        self._following: set[asyncio.Task[None]] = set()
        self._handing_over: asyncio.Task[None] | None = None

    async def submit(self, events: list[_Incoming]) -> list[EventAccepted | ProblemError]:
        """Wait until these events are committed, in one transaction."""
        if self._waiting_rows + len(events) > _WAITING_MAX:
            INGESTED.add(len(events), "refused")
            raise UnavailableError("Too many events are waiting for the database; send this one again shortly.")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((events, done))
        self._waiting_rows += len(events)
        if self._committer is None or self._committer.done():
            self._committer = asyncio.create_task(self._commit_groups(), context=trace.apart())
        # A caller that hangs up must not take the others' transaction down.
        await asyncio.shield(done)
        return [_answer(event) for event in events]

    async def _commit_groups(self) -> None:
        while self._waiting:
            group: list[tuple[list[_Incoming], asyncio.Future[None]]] = []
            rows = 0
            while self._waiting and (not group or rows + len(self._waiting[0][0]) <= _GROUP_ROWS):
                group.append(self._waiting.pop(0))
                rows += len(group[-1][0])
            self._waiting_rows -= rows
            events = [event for unit, _ in group for event in unit]
            try:
                ids = await self._commit(events)
            except Exception as error:
                for _, done in group:
                    if not done.done():
                        done.set_exception(error)
                        done.exception()  # the caller may be gone: no "never retrieved" warning
                continue
            for _, done in group:
                if not done.done():
                    done.set_result(None)
            self._outgoing.extend(ids)
            self._follow()
            stored = [e for e in events if isinstance(e.answer, EventAccepted) and e.routes is not _DUPLICATE]
            _count(events, stored)
            INGEST_WAITING.set(self._waiting_rows)
            self._rt.part(Feed).tell("event", stored, _feed_item)
            if self._handing_over is None or self._handing_over.done():
                self._handing_over = asyncio.create_task(self._hand_over(), context=trace.apart())

    async def _commit(self, events: list[_Incoming]) -> list[str]:
        try:
            return await self._store(events)
        except IntegrityError:
            # Another process stored the same sender id in the same moment: now it is there to be found.
            self._known_types.clear()
            return await self._store(events)

    async def _store(self, events: list[_Incoming]) -> list[str]:
        watch = None if tracing.active is None else tracing.Watch()
        fresh, queued = await self._rt.database.run_write(lambda connection: self._write(connection, events), watch)
        if watch is not None:
            self._sent_for += traced.committed(watch, events, is_sqlite=self._rt.database.is_sqlite)
        for event in fresh:
            event.answer = EventAccepted(
                id=event.id, type=event.type, timestamp=rfc3339(event.timestamp), deliveries=len(event.routes)
            )
        return queued

    def _write(self, connection: Connection, events: list[_Incoming]) -> tuple[list[_Incoming], list[str]]:
        self._table = table = current_table(connection, self._table)
        self._find_duplicates(connection, events)
        fresh = [event for event in events if event.answer is None]
        deliveries: list[dict[str, Any]] = []
        queued: list[str] = []
        now = now_ms()
        for event in fresh:
            event.routes = table.match(event.tenant, event.type)
            for route in event.routes:
                row = _delivery_row(event, route, now)
                deliveries.append(row)
                if not route.held:
                    queued.append(row["id"])
        if fresh:
            self._learn_types(connection, {event.type for event in fresh}, now)
            bulk_insert(connection, _EVENT, [_event_row(event) for event in fresh])
        if deliveries:
            bulk_insert(connection, _DELIVERY, deliveries)
            count_enqueued(connection, "webhook", len(deliveries))
        afters = (each(self._rt, connection, table.version, fresh) for each in STORED) if fresh else ()
        self._afters = [after for after in afters if after is not None]
        return fresh, queued

    def _follow(self) -> None:
        """Do what the commit was for, apart from the commits."""
        afters, self._afters = self._afters, []
        for after in afters:
            task = asyncio.ensure_future(after())
            self._following.add(task)
            task.add_done_callback(self._following.discard)

    def _find_duplicates(self, connection: Connection, events: list[_Incoming]) -> None:
        """Answer what was sent before, here or in an earlier call."""
        open_ = [event for event in events if event.sender_id is not None and event.answer is None]
        named = {(event.tenant or "", event.sender_id): event for event in reversed(open_)}
        if not named:
            return
        rows = connection.execute(
            select(
                _EVENT.c.tenant_key,
                _EVENT.c.sender_id,
                _EVENT.c.id,
                _EVENT.c.fingerprint,
                _EVENT.c.timestamp,
                _EVENT.c.deliveries,
            ).where(tuple_(_EVENT.c.tenant_key, _EVENT.c.sender_id).in_(list(named)))
        )
        known = {(row.tenant_key, row.sender_id): row for row in rows}
        for event in open_:
            key = (event.tenant or "", event.sender_id)
            row, first = known.get(key), named[key]
            if row is None and first is event:
                continue
            if event.fingerprint != (first.fingerprint if row is None else row.fingerprint):
                event.answer = ConflictError(f"The id '{event.sender_id}' was used before for a different event.")
            elif row is None:
                event.routes = _DUPLICATE
                event.answer = _SameAsError(first)
            else:
                event.routes = _DUPLICATE
                event.answer = EventAccepted(
                    id=row.id, type=event.type, timestamp=rfc3339(row.timestamp), deliveries=row.deliveries
                )

    def _learn_types(self, connection: Connection, types: set[str], now: int) -> None:
        new = types - self._known_types
        if not new:
            return
        build = sqlite_insert if self._rt.database.is_sqlite else pg_insert
        rows = [
            {"name": name, "description": "", "archived": False, "created_at": now, "updated_at": now}
            for name in sorted(new)  # one order for all processes: no deadlock
        ]
        connection.execute(build(_EVENT_TYPE).on_conflict_do_nothing(), rows)
        self._known_types |= new

    async def _hand_over(self) -> None:
        """Queue what was committed, apart from the commits: a Valkey that hangs must not slow them."""
        while self._outgoing:
            ids, self._outgoing = self._outgoing, []
            places, self._sent_for = self._sent_for, []
            try:
                with traced.sending(places, len(ids)):
                    await enqueue_deliveries(self._rt, ids)
            except (RedisError, OSError) as error:
                log.warning("deliveries_not_enqueued", count=len(ids), error=str(error), then="the scheduler will")


def _count(events: Sequence[_Incoming], stored: Sequence[_Incoming]) -> None:
    INGESTED.add(len(stored), "stored")
    INGEST_DELIVERIES.add(sum(len(event.routes) for event in stored))
    if len(stored) < len(events):
        duplicates = sum(event.routes is _DUPLICATE for event in events)
        INGESTED.add(duplicates, "duplicate")
        INGESTED.add(len(events) - len(stored) - duplicates, "refused")


def _feed_item(event: _Incoming) -> dict[str, Any]:
    return {
        "event_id": event.id,
        "type": event.type,
        "deliveries": len(event.routes),
        "webhook_ids": [route.webhook_id for route in event.routes],
        "at": rfc3339(event.created_at),
    }


async def enqueue_deliveries(rt: Runtime, ids: Sequence[str]) -> None:
    """Put deliveries on the queue, in jobs of up to `BATCH_IDS`.

    Raises:
        redis.exceptions.RedisError: Valkey is away.
    """
    batches = [ids[start : start + BATCH_IDS] for start in range(0, len(ids), BATCH_IDS)]
    await rt.enqueue("webhook", "webhook.deliver", batches)


class _SameAsError(ProblemError):
    """Placeholder for an event that repeats one of its own group; replaced once that one is stored."""

    def __init__(self, first: _Incoming) -> None:
        super().__init__("")
        self.first = first


_DUPLICATE: list[Route] = []  # marks, by identity, an event that was stored before


def _answer(event: _Incoming) -> EventAccepted | ProblemError:
    answer = event.answer.first.answer if isinstance(event.answer, _SameAsError) else event.answer
    if answer is None:
        raise RuntimeError("an event was committed without an answer")
    return answer


def _event_row(event: _Incoming) -> dict[str, Any]:
    return {
        "id": event.id,
        "type": event.type,
        "tenant": event.tenant,
        "tenant_key": event.tenant or "",
        "sender_id": event.sender_id,
        "fingerprint": event.fingerprint,
        "body": event.body,
        "timestamp": event.timestamp,
        "created_at": event.created_at,
        "deliveries": len(event.routes),
        "trace": event.trace,
    }


def _delivery_row(event: _Incoming, route: Route, now: int) -> dict[str, Any]:
    return {
        "id": new_id("dlv"),
        "event_id": event.id,
        "webhook_id": route.webhook_id,
        "event_type": event.type,
        "tenant": event.tenant,
        "status": DeliveryStatus.PENDING.value,
        "attempts": 0,
        "schedule_from": 0,
        "manual": False,
        "next_attempt_at": None if route.held else now,
        "enqueued_at": 0 if route.held else now,
        "claims": 0,
        "crashes": 0,
        "claimed_by": None,
        "lease_until": 0,
        "created_at": now,
    }
