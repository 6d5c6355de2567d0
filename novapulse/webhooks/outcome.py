"""What one attempt came to: a value between the sender, which does I/O, and the rules, which decide."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class ErrorCode(StrEnum):
    """Why there was no acceptable answer, in words that operators can search for."""

    REFUSED_DESTINATION = "refused_destination"  # the outbound guard said no
    DNS = "dns"
    CONNECT = "connect"
    TLS = "tls"
    TIMEOUT = "timeout"
    PROTOCOL = "protocol"  # the answer was not HTTP, or broke off
    TOO_LARGE = "response_too_large"
    REDIRECT = "redirect"  # 3xx: never followed
    STATUS = "status"  # any other answer that is not 2xx
    CRASH = "worker_crashed"  # the worker died while sending, several times
    INTERNAL = "internal"


@dataclass(slots=True)
class Outcome:
    """One finished try."""

    started_at: int  # ms since the epoch
    duration_ms: float
    status_code: int | None = None
    error: ErrorCode | None = None  # None exactly for 2xx
    error_detail: str | None = None  # one sentence a person can act on
    timings: dict[str, float] = field(default_factory=dict[str, float])  # ms: resolve, first_byte, total
    response_headers: dict[str, str] = field(default_factory=dict[str, str])
    response_body: str = ""  # at most 16 KiB, undecodable bytes replaced
    response_truncated: bool = False
    remote_address: str | None = None  # the address that was connected to
    retry_after_s: float | None = None  # as the receiver asked, for 429 and 503

    @property
    def ok(self) -> bool:
        """Whether the receiver accepted the delivery."""
        return self.error is None
