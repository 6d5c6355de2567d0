"""What crosses the API about reports."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
)

from novapulse.core.clock import parse_rfc3339
from novapulse.reports.content import Format, Kind
from novapulse.reports.ranges import Range

Status = Literal["queued", "making", "ready", "failed", "cancelled", "expired"]
Words = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Tenant = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._:@/-]+$")]
Address = Annotated[str, StringConstraints(min_length=3, max_length=254)]
MAIL_TO_MAX = 10
_EPOCH_S, _END_S = 0, 253_402_300_799  # what can be written as a number of ms and as a date


def _parsed(value: object) -> object:
    if not isinstance(value, str):
        return value
    parse_rfc3339(value)
    return datetime.fromisoformat(value)


def _possible(moment: datetime) -> datetime:
    if not _EPOCH_S <= moment.timestamp() <= _END_S:
        raise ValueError("a time lies in the years 1970 to 9999")
    return moment


Moment = Annotated[AwareDatetime, BeforeValidator(_parsed), AfterValidator(_possible)]


class _Input(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    @field_validator("*")
    @classmethod
    def _no_nul(cls, value: Any) -> Any:
        # NUL is not text for Postgres. The API's parser refuses it, but screens have no parser.
        if isinstance(value, str) and "\0" in value:
            raise ValueError("must not hold the character NUL")
        return value


class ReportParams(_Input):
    """Of what a report tells: a range of time, from `since` up to and without `until`, or one that has a name."""

    since: Moment | None = None
    until: Moment | None = None
    range: Range | None = Field(None, description="In place of `since` and `until`.")
    timezone: Words = Field("UTC", description="Whose days a `range` is made of, e.g. Europe/Paris.")
    webhook_id: Words | None = Field(None, description="Of this webhook only; for `deliveries` and `endpoints`.")
    tenant: Tenant | None = Field(None, description="Of this tenant only; not for `audit`.")


class ReportIn(_Input):
    """A report to be made."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "kind": "deliveries",
                    "format": "pdf",
                    "params": {"since": "2026-11-17T00:00:00Z", "until": "2026-11-24T00:00:00Z"},
                },
                {"kind": "endpoints", "format": "xlsx", "params": {"range": "last_7_days"}},
            ]
        },
    )

    kind: Kind
    format: Format
    params: ReportParams
    mail_to: Annotated[list[Address], Field(max_length=MAIL_TO_MAX)] = Field(
        default_factory=list[Address], description="Who is sent it; needs `emails:write`."
    )


class ReportScheduleIn(_Input):
    """A report to be made, and mailed, again and again."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "name": "Weekly reliability",
                    "cron": "0 7 * * MON",
                    "timezone": "Europe/Paris",
                    "kind": "endpoints",
                    "format": "pdf",
                    "range": "last_week",
                    "mail_to": ["ops@example.com"],
                }
            ]
        },
    )

    name: Words
    cron: Words = Field(description="Five fields: minute, hour, day of month, month, day of week.")
    timezone: Words = Field("UTC", description="Of the cron expression and of the range.")
    kind: Kind
    format: Format
    range: Range
    webhook_id: Words | None = None
    tenant: Tenant | None = None
    mail_to: Annotated[list[Address], Field(max_length=MAIL_TO_MAX)] = Field(default_factory=list[Address])


class ReportView(BaseModel):
    """A report."""

    id: str
    kind: Kind
    format: Format
    params: dict[str, Any] = Field(description="`since`, `until`, `webhook_id`, `tenant`.")
    status: Status
    progress: float | None = Field(description="From 0 to 1, while it is being made.")
    progress_text: str | None
    error: str | None = Field(description="Why it could not be made.")
    rows: int | None
    bytes: int | None
    peak_memory_bytes: int | None = Field(description="The most that its process had while it was made.")
    mail_to: list[str]
    created_by: str
    created_at: str
    finished_at: str | None
    expires_at: str | None = Field(description="Its file is deleted then.")
    job_id: str
    schedule_id: str | None


class ReportScheduleView(BaseModel):
    """A report that is made again and again."""

    id: str
    name: str
    cron: str
    timezone: str
    explanation: str = Field(description="The cron expression in words.")
    kind: Kind
    format: Format
    range: Range
    webhook_id: str | None
    tenant: str | None
    mail_to: list[str]
    enabled: bool
    created_by: str
    next_run_at: str | None
    last_run_at: str | None
    last_job_id: str | None
    last_error: str | None = Field(description="Why the last time made no report.")
