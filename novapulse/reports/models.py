"""The table of reports. Times are ms since the epoch."""
# pyright: reportAssignmentType=false
# SQLModel declares `__tablename__` as something to be computed; a plain string is what it documents.

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, Column, Index
from sqlmodel import Field, SQLModel


class Report(SQLModel, table=True):
    """A report: asked for, and made once `finished_at` is set. How far its making is, is told by its job."""

    __tablename__ = "report"
    __table_args__ = (Index("ix_report_kind", "kind", "id"),)

    id: str = Field(primary_key=True)
    job_id: str = Field(unique=True)  # no foreign key: jobs leave earlier
    kind: str
    format: str
    since: int = Field(default=0, sa_type=BigInteger)
    until: int = Field(default=0, sa_type=BigInteger)
    webhook_id: str | None = None
    tenant: str | None = Field(default=None, index=True)
    mail_to: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    schedule_id: str | None = Field(default=None, index=True)
    created_by: str = ""
    created_at: int = Field(default=0, sa_type=BigInteger)
    finished_at: int | None = Field(default=None, sa_type=BigInteger)
    expires_at: int | None = Field(default=None, sa_type=BigInteger, index=True)  # of a finished one: kept until then
    expired_at: int | None = Field(default=None, sa_type=BigInteger)  # its file was deleted
    rows: int | None = Field(default=None, sa_type=BigInteger)
    bytes: int | None = Field(default=None, sa_type=BigInteger)
    peak_bytes: int | None = Field(default=None, sa_type=BigInteger)  # of memory, while it was made


def file_name(report: Any) -> str:
    """The name of a report's file, by nothing that anybody sent."""
    return f"{report.id}.{report.format}"
