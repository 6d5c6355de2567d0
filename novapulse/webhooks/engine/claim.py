"""Claiming deliveries: one guarded UPDATE says who sends them, and fences off whoever did before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Connection, Executable, Update, and_, bindparam, case, func, or_, select, update

from novapulse.core.database import table_of
from novapulse.core.trace import Place, marked
from novapulse.webhooks.models import OPEN_STATUSES, Delivery, DeliveryStatus, Event

DELIVERY = table_of(Delivery)
_EVENT = table_of(Event)

LEASE_MS = 90_000  # renewed while a worker lives; the backstop when nothing else tells of its death
_WAITING = (DeliveryStatus.PENDING.value, DeliveryStatus.RETRYING.value)
_EARLY_MS = 50  # clocks of processes differ; a delivery this close to due is due


@dataclass(slots=True)
class Claim:
    """A delivery this process may send, until its lease ends."""

    id: str
    event_id: str
    webhook_id: str
    event_type: str
    attempts: int
    schedule_from: int
    manual: bool
    crashes: int
    fence: int  # the value of `claims`: whoever claims later has a larger one
    created_at: int
    body: bytes = b""
    trace: str | None = None  # of the event: see its table
    held: tuple[str, int] | None = None  # where spans are written: the id of its span, and since when (ns)

    @property
    def place(self) -> Place:
        """Where it belongs. All attempts of an event are of one trace, if need be named by the event's own 128 bits."""
        return marked(self.trace or self.event_id.removeprefix("evt_"))


_SENDING = DELIVERY.c.status == DeliveryStatus.SENDING.value
_OPEN_TO_CLAIM = or_(
    and_(DELIVERY.c.status.in_(_WAITING), DELIVERY.c.next_attempt_at <= bindparam("b_soon")),
    and_(_SENDING, or_(DELIVERY.c.lease_until < bindparam("b_now"), DELIVERY.c.claimed_by == bindparam("b_dead"))),
)
_HEAD = (
    select(DELIVERY.c.id)
    .where(DELIVERY.c.webhook_id == bindparam("b_webhook"), DELIVERY.c.status.in_([s.value for s in OPEN_STATUSES]))
    .order_by(DELIVERY.c.id)
    .limit(1)
    .scalar_subquery()
)
_HELD = and_(DELIVERY.c.status.in_(_WAITING), DELIVERY.c.next_attempt_at.is_(None))


def _taking(condition: ColumnElement[bool]) -> Update:
    d = DELIVERY.c
    return (
        update(DELIVERY)
        .where(condition)
        .values(
            # Claimed while somebody else was sending: that one died without recording.
            crashes=d.crashes + case((_SENDING, 1), else_=0),
            status=DeliveryStatus.SENDING.value,
            claimed_by=bindparam("b_owner"),
            claims=d.claims + 1,
            lease_until=bindparam("b_lease"),
        )
    )


_FIELDS = tuple(
    DELIVERY.c[name]
    for name in (
        "id", "event_id", "webhook_id", "event_type", "attempts", "schedule_from", "manual", "crashes", "claims",
        "created_at",
    )
)  # fmt: skip
# Built once: building and comparing them costs more than running them.
_TAKE = _taking(and_(DELIVERY.c.id.in_(bindparam("b_ids", expanding=True)), _OPEN_TO_CLAIM))
_TAKE_HEAD = _taking(and_(DELIVERY.c.id == _HEAD, or_(_OPEN_TO_CLAIM, _HELD)))
_TAKE_RETURNING = _TAKE.returning(*_FIELDS)
_TAKE_HEAD_RETURNING = _TAKE_HEAD.returning(*_FIELDS)
_BODIES = select(_EVENT.c.id, _EVENT.c.body, _EVENT.c.trace).where(_EVENT.c.id.in_(bindparam("b_ids", expanding=True)))
# All of a claim as one JSON text: one row is one step of SQLite, and each step gives the interpreter's lock away.
_TAKEN = (
    select(func.json_group_array(func.json_array(*_FIELDS, _EVENT.c.body, _EVENT.c.trace)))
    .join_from(DELIVERY, _EVENT, _EVENT.c.id == DELIVERY.c.event_id)
    .where(
        DELIVERY.c.id.in_(bindparam("b_ids", expanding=True)),
        DELIVERY.c.lease_until == bindparam("b_lease"),
        DELIVERY.c.claimed_by == bindparam("b_owner"),
    )
)


def claim(
    connection: Connection, ids: Sequence[str], *, owner: str, takeover_from: str | None, now: int
) -> list[Claim]:
    """Claim those of `ids` that are due, or whose last owner's lease is over.

    `takeover_from` names a worker known to be dead: its claims need not run out first.
    """
    values = {"b_ids": list(ids), "b_dead": takeover_from, **_terms(owner, now)}
    if connection.dialect.name == "sqlite":
        claims = _take_at_once(connection, values)
    else:
        claims = _take(connection, _TAKE_RETURNING, values)
    claims.sort(key=lambda item: item.id)
    return claims


def claim_head(connection: Connection, webhook_id: str, *, owner: str, now: int) -> Claim | None:
    """Claim the oldest open delivery of an ordered webhook, unless it is being sent or not due yet."""
    values = {"b_webhook": webhook_id, "b_dead": None, **_terms(owner, now)}
    claims = _take(connection, _TAKE_HEAD_RETURNING, values)
    return claims[0] if claims else None


def _terms(owner: str, now: int) -> dict[str, Any]:
    return {"b_owner": owner, "b_now": now, "b_soon": now + _EARLY_MS, "b_lease": _next_lease(now)}


def _next_lease(now: int) -> int:
    """When a lease that begins now ends (ms); no two of this process are the same, so it names what was claimed."""
    global _last_lease  # noqa: PLW0603 - one per process
    _last_lease = max(now + LEASE_MS, _last_lease + 1)
    return _last_lease


_last_lease = 0


def _take_at_once(connection: Connection, values: dict[str, Any]) -> list[Claim]:
    if connection.execute(_TAKE, values).rowcount == 0:
        return []
    taken = orjson.loads(connection.execute(_TAKEN, values).scalar_one())
    return [Claim(*row[:-2], body=row[-2].encode(), trace=row[-1]) for row in taken]


def _take(connection: Connection, statement: Executable, values: dict[str, Any]) -> list[Claim]:
    claims = [Claim(*row) for row in connection.execute(statement, values).all()]
    if not claims:
        return []
    found = connection.execute(_BODIES, {"b_ids": list({item.event_id for item in claims})}).all()
    events = {row[0]: (row[1], row[2]) for row in found}
    for item in claims:
        body, item.trace = events[item.event_id]
        item.body = body.encode()
    return claims


def renew(connection: Connection, ids: Sequence[str], *, owner: str, now: int) -> None:
    """Extend the leases of what this process still holds."""
    d = DELIVERY.c
    connection.execute(
        update(DELIVERY)
        .where(d.id.in_(ids), d.claimed_by == owner, d.status == DeliveryStatus.SENDING.value)
        .values(lease_until=now + LEASE_MS)
    )


def give_back(
    connection: Connection, claims: Sequence[Claim], *, owner: str, until: Sequence[int | None], reason: str | None
) -> None:
    """Undo claims without an attempt: due at `until` (ms), or held (None) until somebody lets them go."""
    d = DELIVERY.c
    groups: dict[int | None, list[Claim]] = {}
    for item, at in zip(claims, until, strict=True):
        groups.setdefault(at, []).append(item)
    for at, members in groups.items():
        connection.execute(
            update(DELIVERY)
            .where(
                or_(*(and_(d.id == item.id, d.claims == item.fence) for item in members)),
                d.claimed_by == owner,
                d.status == DeliveryStatus.SENDING.value,
            )
            .values(
                status=case((d.attempts == 0, DeliveryStatus.PENDING.value), else_=DeliveryStatus.RETRYING.value),
                next_attempt_at=at,
                enqueued_at=0,
                claimed_by=None,
                lease_until=0,
                reason=reason,
            )
        )


def release_held(connection: Connection, webhook_id: str, *, now: int) -> None:
    """Let go what was held while a webhook was not active. For the transaction that makes it active."""
    d = DELIVERY.c
    connection.execute(
        update(DELIVERY)
        .where(d.webhook_id == webhook_id, _HELD)
        .values(next_attempt_at=now, enqueued_at=0, reason=None)
    )


def release_next(connection: Connection, webhook_id: str, *, now: int) -> None:
    """Let the oldest open delivery of an ordered webhook go, if it is held. After its predecessor ended."""
    connection.execute(_RELEASE_NEXT, {"b_webhook": webhook_id, "b_next": now})


_RELEASE_NEXT = (
    update(DELIVERY)
    .where(DELIVERY.c.id == _HEAD, _HELD)
    .values(next_attempt_at=bindparam("b_next"), enqueued_at=0, reason=None)
)
