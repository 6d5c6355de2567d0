"""Ranges of time that have a name. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal, get_args
from zoneinfo import ZoneInfo

Range = Literal[
    "today", "yesterday", "last_24_hours", "last_7_days", "last_30_days", "this_month", "last_week", "last_month"
]
RANGES: tuple[Range, ...] = get_args(Range)
WORDS: dict[Range, str] = {
    "today": "Today so far",
    "yesterday": "Yesterday",
    "last_24_hours": "Last 24 hours",
    "last_7_days": "Last 7 days",
    "last_30_days": "Last 30 days",
    "this_month": "This month so far",
    "last_week": "Last week, from Monday",
    "last_month": "Last month",
}
SPAN_MAX_MS = 366 * 24 * 3_600_000


def resolve(range_: Range, now_ms: int, timezone: str = "UTC") -> tuple[int, int]:
    """Begin and end (ms) of a range as of `now_ms`; days are those of the time zone.

    Raises:
        ZoneInfoNotFoundError, ValueError: there is no such time zone.
    """
    if range_ == "last_24_hours":
        return now_ms - 24 * 3_600_000, now_ms
    now = datetime.fromtimestamp(now_ms / 1000, ZoneInfo(timezone))
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    month = today.replace(day=1)
    begin, end = {
        "today": (today, now),
        "yesterday": (today - timedelta(days=1), today),
        "last_7_days": (today - timedelta(days=7), now),
        "last_30_days": (today - timedelta(days=30), now),
        "this_month": (month, now),
        "last_week": (today - timedelta(days=today.weekday() + 7), today - timedelta(days=today.weekday())),
        "last_month": ((month - timedelta(days=1)).replace(day=1), month),
    }[range_]
    return _ms(begin), _ms(end)


def words(since: int, until: int) -> str:
    """A range for people, in UTC."""
    return f"{_day(since)} to {_day(until)} UTC"


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _day(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%-d %b %Y %H:%M")
