"""Time. Stored as whole milliseconds since the epoch, shown as RFC 3339 UTC with milliseconds."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)


def now_ms() -> int:
    """The wall clock, in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def rfc3339(ms: int) -> str:
    """`ms` as RFC 3339 UTC with milliseconds, e.g. `2026-11-23T12:00:00.000Z`."""
    moment = _EPOCH + timedelta(milliseconds=ms)
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def parse_rfc3339(text: str) -> int:
    """Milliseconds since the epoch of an RFC 3339 time; a time without an offset is refused.

    Raises:
        ValueError: not an RFC 3339 date-time with an offset.
    """
    if not _RFC3339.fullmatch(text):
        raise ValueError("a time has a date, a time and an offset, e.g. 2026-11-23T12:00:00Z")
    moment = datetime.fromisoformat(text)
    return round(moment.timestamp() * 1000)
