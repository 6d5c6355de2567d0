"""Messages, what is attached to them, and templates. Times are ms since the epoch.

Who sends a message, and when, is its job's to say (`novapulse.jobs`, task `email.send`). A message whose job ends
without it (dead, cancelled, gone) is marked by a trigger on `job`, so that the two never disagree.
"""
# pyright: reportAssignmentType=false
# SQLModel declares `__tablename__` as something to be computed; a plain string is what it documents.

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import BigInteger, Index, Text, text
from sqlmodel import Field, SQLModel

_SAID = text("content IS NOT NULL")


class EmailStatus(StrEnum):
    PENDING = "pending"  # its job is open
    SENT = "sent"  # the server took it for every recipient
    FAILED = "failed"  # at least one recipient is not sent it
    CANCELLED = "cancelled"
    KEPT = "kept"  # no SMTP server is set: nobody was sent it


class Email(SQLModel, table=True):
    """One message to one or several addresses."""

    __tablename__ = "email"
    __table_args__ = (
        Index("ix_email_status", "status", "id"),
        Index("ix_email_tenant", "tenant", "id"),
        Index("ix_email_kind", "kind", "id"),
        # What can still be read: few, beside all that is remembered.
        Index("ix_email_said", "finished_at", sqlite_where=_SAID, postgresql_where=_SAID),
    )

    id: str = Field(primary_key=True)
    tenant: str | None = None
    recipient: str = Field(sa_type=Text)  # the addresses, with ", " between
    kind: str  # what it tells, e.g. `new_sign_in`; `message` of those that were asked for by the API
    subject: str = Field(sa_type=Text)
    content: str | None = Field(default=None, sa_type=Text)  # encrypted: it may hold a link that opens doors
    private: bool = False  # its content is shown to nobody, and erased as soon as it is over
    attachments: int = 0
    status: str = EmailStatus.PENDING
    attempts: int = 0
    outcomes: str = Field(default="{}", sa_type=Text)  # JSON: address -> {state, words}
    error: str | None = Field(default=None, sa_type=Text)  # the server's words
    job_id: str | None = Field(default=None, index=True)
    template: str | None = None
    created_by: str = ""  # who asked for it, for people to read
    slot_at: int | None = Field(default=None, sa_type=BigInteger)  # when the limits of its domains let it go
    tried_at: int | None = Field(default=None, sa_type=BigInteger)  # its first attempt
    created_at: int = Field(default=0, sa_type=BigInteger)
    finished_at: int | None = Field(default=None, sa_type=BigInteger, index=True)


class EmailAttachment(SQLModel, table=True):
    """A file that goes with a message."""

    __tablename__ = "email_attachment"

    email_id: str = Field(primary_key=True, foreign_key="email.id", ondelete="CASCADE")
    number: int = Field(primary_key=True)
    name: str = Field(sa_type=Text)
    media_type: str
    size: int  # bytes, as it is sent
    content: str | None = Field(default=None, sa_type=Text)  # encrypted base64


class EmailTemplate(SQLModel, table=True):
    """A message with places to fill in."""

    __tablename__ = "email_template"

    tenant: str = Field(default="", primary_key=True)  # '': of the house
    name: str = Field(primary_key=True)
    subject: str = Field(sa_type=Text)
    text: str = Field(default="", sa_type=Text)
    html: str = Field(default="", sa_type=Text)
    example: str = Field(default="{}", sa_type=Text)  # JSON: values to try it with
    created_at: int = Field(default=0, sa_type=BigInteger)
    updated_at: int = Field(default=0, sa_type=BigInteger)
    updated_by: str = ""
