"""The tables of webhooks. They alone say what is owed; times are milliseconds since the epoch."""
# pyright: reportAssignmentType=false
# SQLModel declares `__tablename__` as something to be computed; a plain string is what it documents.

from __future__ import annotations

from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, BigInteger, Column, Index, LargeBinary, Text, text
from sqlmodel import Field, SQLModel


class WebhookStatus(StrEnum):
    ACTIVE = "active"
    PAUSED = "paused"  # by a person: deliveries are made and wait
    DISABLED = "disabled"  # by the system: deliveries are made and wait, owners are told


class DeliveryStatus(StrEnum):
    PENDING = "pending"  # no attempt yet
    SENDING = "sending"  # claimed by a worker
    RETRYING = "retrying"  # an attempt failed, another is planned
    DELIVERED = "delivered"
    FAILED = "failed"  # no attempt left
    CANCELLED = "cancelled"


OPEN_STATUSES = (DeliveryStatus.PENDING, DeliveryStatus.SENDING, DeliveryStatus.RETRYING)


def _ms(*, nullable: bool = False, index: bool = False) -> Any:
    return Field(default=None if nullable else 0, sa_type=BigInteger, nullable=nullable, index=index)


class Webhook(SQLModel, table=True):
    """A receiver: where events of some types are sent, and how."""

    __tablename__ = "webhook"

    id: str = Field(primary_key=True)
    name: str = Field(default="")
    url: str = Field(sa_type=Text)
    description: str = Field(default="", sa_type=Text)
    tenant: str | None = Field(default=None, index=True)
    event_types: list[str] = Field(sa_column=Column(JSON, nullable=False))
    headers: str = Field(default="", sa_type=Text)  # encrypted JSON object: they may hold credentials
    rate_limit: float | None = None  # deliveries per second
    timeout_s: float = 15.0
    retry_schedule: list[float] | None = Field(default=None, sa_column=Column(JSON))  # seconds; None: the default
    ordered: bool = False
    demo: bool = False  # made by `novapulse demo`, removed by `novapulse demo --remove`
    status: str = Field(default=WebhookStatus.ACTIVE, index=True)
    disabled_reason: str | None = Field(default=None, sa_type=Text)
    failing_since: int | None = _ms(nullable=True)  # first failure since the last success
    created_at: int = _ms()
    updated_at: int = _ms()


class WebhookSecret(SQLModel, table=True):
    """A signing secret; more than one during the overlap of a rotation."""

    __tablename__ = "webhook_secret"

    id: str = Field(primary_key=True)
    webhook_id: str = Field(foreign_key="webhook.id", ondelete="CASCADE", index=True)
    secret: str = Field(sa_type=Text)  # encrypted `whsec_...`
    created_at: int = _ms()
    expires_at: int | None = _ms(nullable=True)  # None: the current one


class Event(SQLModel, table=True):
    """What happened. `body` is exactly what is posted, so that a signature made once stays right."""

    __tablename__ = "event"
    __table_args__ = (
        # The sender's own id de-duplicates within its tenant ('' for none: NULLs would never collide).
        Index("uq_event_sender_id", "tenant_key", "sender_id", unique=True),
        Index("ix_event_type_id", "type", "id"),
    )

    id: str = Field(primary_key=True)
    type: str
    tenant: str | None = None
    tenant_key: str = ""
    sender_id: str | None = None
    fingerprint: bytes | None = Field(default=None, sa_column=Column(LargeBinary))  # SHA-256 of what the sender sent
    body: str = Field(sa_type=Text)
    timestamp: int = _ms()  # the sender's
    created_at: int = _ms()
    deliveries: int = 0
    trace: str | None = None  # where it belongs, as `core.trace.Place.mark`; None: a trace named by its own 128 bits


class Delivery(SQLModel, table=True):
    """One event owed to one webhook: the outbox and the log in one row."""

    __tablename__ = "delivery"
    __table_args__ = (
        Index("ix_delivery_webhook_id", "webhook_id", "id"),
        Index("ix_delivery_webhook_status", "webhook_id", "status", "id"),
        Index("ix_delivery_status", "status", "id"),
        # Due is `enqueued_at = 0 AND next_attempt_at <= now`; lost is a small `enqueued_at` that is not 0.
        # Both are the head of this index, however many rows wait; finished rows are not in it.
        Index(
            "ix_delivery_due",
            "enqueued_at",
            "next_attempt_at",
            sqlite_where=text("status IN ('pending', 'sending', 'retrying')"),
            postgresql_where=text("status IN ('pending', 'sending', 'retrying')"),
        ),
    )

    id: str = Field(primary_key=True)
    event_id: str = Field(foreign_key="event.id", ondelete="CASCADE", index=True)
    webhook_id: str = Field(foreign_key="webhook.id", ondelete="CASCADE")
    event_type: str
    tenant: str | None = None
    status: str = DeliveryStatus.PENDING
    attempts: int = 0  # recorded ones
    schedule_from: int = 0  # attempts before the last manual retry: the schedule counts from here
    manual: bool = False  # the next attempt was asked for by a person: it is the only one
    next_attempt_at: int | None = _ms(nullable=True)  # None while open: held (webhook not active, or in order)
    enqueued_at: int = _ms()  # when it was last put on the queue; 0: not since it became due
    claims: int = 0  # how often it was claimed; the fencing token of the present claim
    crashes: int = 0  # claims since the last recorded attempt that ended with the worker's death
    claimed_by: str | None = None
    lease_until: int = _ms()
    last_status_code: int | None = None
    last_error: str | None = None
    reason: str | None = Field(default=None, sa_type=Text)  # why the next attempt is when it is
    created_at: int = _ms()
    finished_at: int | None = _ms(nullable=True)


class Attempt(SQLModel, table=True):
    """One try, as it was: never overwritten."""

    __tablename__ = "attempt"
    __table_args__ = (Index("uq_attempt_number", "delivery_id", "number", unique=True),)

    id: str = Field(primary_key=True)
    delivery_id: str = Field(foreign_key="delivery.id", ondelete="CASCADE")
    number: int
    ok: bool
    started_at: int = _ms()
    duration_ms: float = 0.0
    timings: dict[str, float] | None = Field(default=None, sa_column=Column(JSON))
    status_code: int | None = None
    error: str | None = None  # one of novapulse.webhooks.outcome.ErrorCode
    error_detail: str | None = Field(default=None, sa_type=Text)
    request_headers: dict[str, str] | None = Field(default=None, sa_column=Column(JSON))
    response_headers: dict[str, str] | None = Field(default=None, sa_column=Column(JSON))
    response_body: str | None = Field(default=None, sa_type=Text)
    response_truncated: bool = False
    remote_address: str | None = None
    worker: str | None = None


class WebhookMinute(SQLModel, table=True):
    """What one webhook did in one minute; sums of these answer every statistic without a scan."""

    __tablename__ = "webhook_minute"

    webhook_id: str = Field(foreign_key="webhook.id", ondelete="CASCADE", primary_key=True)
    minute: int = Field(primary_key=True, sa_type=BigInteger)  # minutes since the epoch
    delivered: int = 0
    failed: int = 0  # deliveries that ended without success
    attempts: int = 0
    failed_attempts: int = 0
    latency: dict[str, int] = Field(sa_column=Column(JSON, nullable=False))  # bucket -> count, see stats.py


class EventType(SQLModel, table=True):
    """The catalogue of what may happen; events of unknown types are accepted and added to it."""

    __tablename__ = "event_type"

    name: str = Field(primary_key=True)
    description: str = Field(default="", sa_type=Text)
    example: Any = Field(default=None, sa_column=Column(JSON))
    archived: bool = False
    created_at: int = _ms()
    updated_at: int = _ms()


class RoutingVersion(SQLModel, table=True):
    """One row; it changes in the transaction that changes what an event would be matched with."""

    __tablename__ = "routing_version"

    id: int = Field(default=1, primary_key=True)
    version: int = 0
