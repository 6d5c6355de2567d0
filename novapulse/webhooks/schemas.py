"""What crosses the API about webhooks, events and deliveries."""

from __future__ import annotations

import re
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
from novapulse.webhooks.matching import check_event_type, check_pattern

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")  # RFC 9110, 5.6.2 token
_RESERVED_HEADERS = {
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "metadata",
    "metadata-flavor",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "traceparent",
    "tracestate",
    "upgrade",
    "user-agent",
}
_RESERVED_PREFIXES = ("webhook-", "proxy-", "x-google-", "x-aws-ec2-", "metadata")
HEADERS_MAX = 20
_ATTEMPTS_MAX = 20
# 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z: an offset can lead beyond what can be written
_MOMENT_MIN_S, _MOMENT_MAX_S = -62_135_596_800, 253_402_300_799
MASK = "••••••"  # stands for a header's value that is not shown; sent back in a change, it keeps the value
_CREDENTIAL_WORDS = ("authorization", "cookie", "token", "key", "secret", "password")


def _valid_type(name: str) -> str:
    check_event_type(name)
    return name


def _valid_pattern(pattern: str) -> str:
    check_pattern(pattern)
    return pattern


def _valid_headers(headers: dict[str, str]) -> dict[str, str]:
    if len(headers) > HEADERS_MAX:
        raise ValueError(f"at most {HEADERS_MAX} headers")
    seen: set[str] = set()
    for name, value in headers.items():
        low = name.lower()
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"{name[:64]!a} is not a header name")
        if low in _RESERVED_HEADERS or low.startswith(_RESERVED_PREFIXES):
            raise ValueError(f"the header '{name}' is set by NovaPulse or may not be sent")
        if len(value) > 1024 or not all(char == "\t" or " " <= char <= "~" for char in value):
            raise ValueError(f"the value of '{name}' must be at most 1024 printable ASCII characters")
        if low in seen:
            raise ValueError(f"the header '{name}' is given twice")
        seen.add(low)
    return headers


def _valid_changed_headers(headers: dict[str, str]) -> dict[str, str]:
    _valid_headers({name: "" if value == MASK else value for name, value in headers.items()})
    return headers


def is_credential(name: str) -> bool:
    """Whether a header of this name probably holds a credential."""
    return any(word in name.lower() for word in _CREDENTIAL_WORDS)


def _valid_schedule(delays: list[float]) -> list[float]:
    # The first attempt is always at once; whether a list says so or starts with the first retry, it means the same.
    whole = delays if delays[0] == 0 else [0.0, *delays]
    if len(whole) > _ATTEMPTS_MAX:
        raise ValueError(f"at most {_ATTEMPTS_MAX} attempts, the first included")
    return whole


def _parsed_moment(value: object) -> object:
    if not isinstance(value, str):
        return value
    parse_rfc3339(value)
    return datetime.fromisoformat(value)


def _valid_moment(moment: datetime) -> datetime:
    if not _MOMENT_MIN_S <= moment.timestamp() <= _MOMENT_MAX_S:
        raise ValueError("a time lies in the years 1 to 9999 of UTC")
    return moment


EventTypeName = Annotated[str, AfterValidator(_valid_type)]
Pattern = Annotated[str, AfterValidator(_valid_pattern)]
Tenant = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._:@/-]+$")]
Headers = Annotated[dict[str, str], AfterValidator(_valid_headers)]
ChangedHeaders = Annotated[dict[str, str], AfterValidator(_valid_changed_headers)]
Delay = Annotated[float, Field(ge=0, le=7 * 24 * 3600)]


class _Input(BaseModel):
    # Strict: "5" is not a number and 1 is not true; a sender's mistake is told, not guessed at.
    model_config = ConfigDict(extra="forbid", strict=True)

    @field_validator("*")
    @classmethod
    def _no_nul(cls, value: Any) -> Any:
        # NUL is not text for Postgres. The API's parser refuses it, but screens have no parser.
        if isinstance(value, str) and "\0" in value:
            raise ValueError("must not hold the character NUL")
        return value


class RetryIn(_Input):
    """When failed deliveries are tried again."""

    schedule_s: Annotated[
        list[Delay], Field(min_length=1, max_length=_ATTEMPTS_MAX), AfterValidator(_valid_schedule)
    ] = Field(description="Delay in seconds before each attempt; the first is at once (a leading 0 may be left out).")


class WebhookCreate(_Input):
    """A new webhook."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"url": "https://example.com/hooks", "name": "Billing", "event_types": ["invoice.*"], "timeout_s": 10}
            ]
        },
    )

    url: Annotated[str, StringConstraints(min_length=1, max_length=2048)] = Field(description="Where to POST events.")
    name: Annotated[str, StringConstraints(max_length=200)] = ""
    description: Annotated[str, StringConstraints(max_length=2000)] = ""
    tenant: Tenant | None = Field(None, description="Takes events of exactly this tenant; null: those without one.")
    event_types: Annotated[list[Pattern], Field(min_length=1, max_length=100)] = Field(
        default_factory=lambda: ["*"], description="Types, `invoice.*` for all below, or `*` for all."
    )
    headers: Headers = Field(default_factory=dict, description="Sent along with every delivery; kept encrypted.")
    rate_limit: Annotated[float, Field(ge=0.001, le=10_000)] | None = Field(None, description="Deliveries per second.")
    timeout_s: Annotated[float, Field(ge=1, le=30)] = Field(15, description="Longest wait for an answer, seconds.")
    retry: RetryIn | None = Field(None, description="Null for the default schedule.")
    ordered: bool = Field(False, description="Send one after the other, oldest first.")


class WebhookPatch(_Input):
    """Changes to a webhook; what is left out stays."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"status": "paused"}]})

    url: Annotated[str, StringConstraints(min_length=1, max_length=2048)] | None = None
    name: Annotated[str, StringConstraints(max_length=200)] | None = None
    description: Annotated[str, StringConstraints(max_length=2000)] | None = None
    tenant: Tenant | None = None
    event_types: Annotated[list[Pattern], Field(min_length=1, max_length=100)] | None = None
    headers: ChangedHeaders | None = Field(None, description="All of them; a masked value keeps what it was.")
    rate_limit: Annotated[float, Field(ge=0.001, le=10_000)] | None = None
    timeout_s: Annotated[float, Field(ge=1, le=30)] | None = None
    retry: RetryIn | None = None
    ordered: bool | None = None
    status: Literal["active", "paused"] | None = None


class WebhookView(BaseModel):
    """A webhook as it is."""

    id: str
    name: str
    url: str
    description: str
    tenant: str | None
    event_types: list[str]
    headers: dict[str, str] = Field(description="Values that look like credentials are masked.")
    rate_limit: float | None
    timeout_s: float
    retry: RetryIn
    ordered: bool
    status: Literal["active", "paused", "disabled"]
    disabled_reason: str | None
    health: Literal["healthy", "degraded", "failing", "idle"]
    demo: bool
    created_at: str
    updated_at: str


class CreatedWebhook(WebhookView):
    """A webhook just made, with its signing secret."""

    secret: str = Field(description="Shown here and at `/secret` only.")


class SecretView(BaseModel):
    """The signing secrets of a webhook."""

    secret: str
    previous: list[PreviousSecret] = Field(default_factory=list["PreviousSecret"])


class PreviousSecret(BaseModel):
    """A secret that still signs, until its overlap ends."""

    secret: str
    expires_at: str


class RotateIn(_Input):
    """How long the old secret goes on signing beside the new one."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"overlap_s": 3600}]})

    overlap_s: Annotated[int, Field(ge=0, le=30 * 24 * 3600)] = 86_400


class TestIn(_Input):
    """What to send as a test."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"event_type": "invoice.paid", "data": {"invoice": "in_42"}}]},
    )

    __test__ = False  # not a test class, whatever its name says to pytest

    event_type: EventTypeName | None = None
    data: Any = None


class EventIn(_Input):
    """Something that happened."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"type": "invoice.paid", "data": {"invoice": "in_42", "amount": 1999}}]},
    )

    type: EventTypeName
    data: Any = Field(description="Any JSON; sent as it is.")
    tenant: Tenant | None = None
    id: Annotated[str, StringConstraints(min_length=1, max_length=128)] | None = Field(
        None, description="The sender's own id: the same id twice is one event."
    )
    timestamp: Annotated[AwareDatetime, BeforeValidator(_parsed_moment), AfterValidator(_valid_moment)] | None = None


class EventBatchIn(_Input):
    """Up to 1,000 events, stored in one transaction."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"events": [{"type": "invoice.paid", "data": {"invoice": "in_42"}}]}]},
    )

    events: list[Any] = Field(min_length=1, max_length=1000, description="As in `POST /events`; each on its own.")


class EventAccepted(BaseModel):
    """An event that is on disk."""

    id: str
    type: str
    timestamp: str
    deliveries: int


class DeliveryView(BaseModel):
    """One event owed to one webhook."""

    id: str
    event_id: str
    webhook_id: str
    event_type: str
    tenant: str | None
    status: Literal["pending", "sending", "delivered", "retrying", "failed", "cancelled"]
    attempt_count: int
    next_attempt_at: str | None
    next_attempt_reason: str | None
    last_status_code: int | None
    last_error: str | None
    created_at: str
    finished_at: str | None


class AttemptView(BaseModel):
    """One try."""

    id: str
    delivery_id: str
    number: int
    ok: bool
    started_at: str
    duration_ms: float
    timings: dict[str, float]
    status_code: int | None
    error: str | None
    error_detail: str | None
    request_headers: dict[str, str]
    response_headers: dict[str, str]
    response_body: str | None
    response_truncated: bool
    remote_address: str | None
    worker: str | None


class EventView(BaseModel):
    """An event without its data."""

    id: str
    sender_id: str | None
    type: str
    tenant: str | None
    timestamp: str
    created_at: str
    delivery_count: int


class EventDetail(EventView):
    """An event with its data and what became of it."""

    data: Any
    deliveries: list[DeliveryView]


class DeliveryDetail(DeliveryView):
    """A delivery with every attempt and the body that is sent."""

    body: str
    webhook_url: str
    trace_id: str
    attempts: list[AttemptView]


class EventTypeIn(_Input):
    """A type for the catalogue."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"name": "invoice.paid", "description": "An invoice was paid."}]},
    )

    name: EventTypeName
    description: Annotated[str, StringConstraints(max_length=2000)] = ""
    example: Any = None


class EventTypePatch(_Input):
    """Changes to a type; what is left out stays."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"archived": True}]})

    description: Annotated[str, StringConstraints(max_length=2000)] | None = None
    example: Any = None
    archived: bool | None = None


class EventTypeView(BaseModel):
    """A type of the catalogue."""

    name: str
    description: str
    example: Any
    archived: bool
    created_at: str
    updated_at: str


class Point(BaseModel):
    """What happened in one step of a series."""

    at: str
    delivered: int
    failed: int
    attempts: int
    failed_attempts: int
    p95_ms: float | None


class StatsView(BaseModel):
    """What a webhook did in a window."""

    window_s: int
    delivered: int
    failed: int
    attempts: int
    failed_attempts: int
    open: dict[str, int] = Field(description="Deliveries that are pending, sending or retrying now.")
    success_rate: float | None = Field(description="Share of attempts that succeeded; null without any.")
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    last_delivery_at: str | None
    series: list[Point]


class OverviewView(BaseModel):
    """The last 24 hours at a glance."""

    at: str
    delivered: int
    failed: int
    attempts: int
    success_rate: float | None
    p95_ms: float | None
    open: int
    webhooks: int
    failing_webhooks: list[WebhookView]
    latest_failures: list[DeliveryView]
    series: list[Point]
    has_webhook: bool
    has_delivery: bool
