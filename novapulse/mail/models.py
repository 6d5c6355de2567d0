"""The outbox. Times are ms since the epoch."""
# pyright: reportAssignmentType=false
# SQLModel declares `__tablename__` as something to be computed; a plain string is what it documents.

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import BigInteger, Index, Text
from sqlmodel import Field, SQLModel


class EmailStatus(StrEnum):
    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"
    KEPT = "kept"  # no SMTP server is set: nobody was sent it


class Email(SQLModel, table=True):
    """One message to one address."""

    __tablename__ = "email"
    __table_args__ = (Index("ix_email_due", "status", "next_attempt_at"),)

    id: str = Field(primary_key=True)
    recipient: str
    kind: str = Field(index=True)  # what it tells, e.g. `new_sign_in`
    subject: str
    content: str | None = Field(default=None, sa_type=Text)  # encrypted: it may hold a link that opens doors
    status: str = EmailStatus.PENDING
    attempts: int = 0
    next_attempt_at: int | None = Field(default=None, sa_type=BigInteger)
    enqueued_at: int = Field(default=0, sa_type=BigInteger)  # 0: not in the queue
    claims: int = 0  # the fence: whoever claims later has a larger one
    claimed_by: str | None = None
    lease_until: int = Field(default=0, sa_type=BigInteger)
    error: str | None = Field(default=None, sa_type=Text)  # the server's words
    created_at: int = Field(default=0, sa_type=BigInteger)
    finished_at: int | None = Field(default=None, sa_type=BigInteger)
