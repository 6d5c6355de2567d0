"""What a report consists of, whatever its kind and its format: rows, and what they sum up to. Pure."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from novapulse.core.clock import rfc3339
from novapulse.webhooks.latency import bucket_of, percentile

Kind = Literal["deliveries", "endpoints", "queues", "audit"]
Format = Literal["pdf", "csv", "xlsx"]
TITLES: dict[Kind, str] = {
    "deliveries": "Deliveries",
    "endpoints": "Reliability of webhooks",
    "queues": "Queues",
    "audit": "Audit log",
}
Cell = str | int | float | None

_MINUTE_MS = 60_000
_STEPS_MIN = (1, 5, 15, 30, 60, 180, 360, 720, 1440, 7 * 1440, 30 * 1440)  # minutes of one step of a chart
_POINTS_MAX = 62


@dataclass(frozen=True, slots=True)
class Spec:
    """What is asked for; times in ms."""

    kind: Kind
    format: Format
    since: int
    until: int
    webhook_id: str | None = None
    tenant: str | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """One value of each row. Times are ms, shares are from 0 to 1."""

    name: str  # in CSV, for programs
    title: str  # elsewhere, for people
    type: Literal["text", "time", "number", "share"] = "text"
    width: int = 16  # characters
    in_pdf: bool = True  # a page is narrow


@dataclass(frozen=True, slots=True)
class Series:
    """One line or one part of the bars of a chart."""

    name: str
    tone: Literal["good", "bad", "plain", "second"]
    values: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Chart:
    """Numbers over time."""

    title: str
    shape: Literal["bars", "lines"]  # bars are stacked
    labels: Sequence[str]
    series: Sequence[Series]


@dataclass(frozen=True, slots=True)
class Table:
    """A few rows that sum something up."""

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]


@dataclass(slots=True)
class Summary:
    """What all rows come to."""

    facts: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    charts: list[Chart] = field(default_factory=list[Chart])
    tables: list[Table] = field(default_factory=list[Table])
    notes: list[str] = field(default_factory=list[str])


class Steps:
    """A span of time cut into the steps of a chart."""

    def __init__(self, since: int, until: int) -> None:
        span = max(1, until - since)
        self.step = (
            next(
                (m for m in _STEPS_MIN if span / (m * _MINUTE_MS) <= _POINTS_MAX),
                math.ceil(span / _POINTS_MAX / (1440 * _MINUTE_MS)) * 1440,
            )
            * _MINUTE_MS
        )
        self._first = since // self.step
        self.count = (max(since, until - 1)) // self.step - self._first + 1

    def at(self, ms: int) -> int:
        """Which step a time is in; one outside is in the nearest."""
        return min(self.count - 1, max(0, ms // self.step - self._first))

    def labels(self) -> list[str]:
        """The beginnings of the steps, for people, in UTC."""
        shape = "%d %b %H:%M" if self.step < 1440 * _MINUTE_MS else "%d %b"
        return [
            datetime.fromtimestamp((self._first + n) * self.step / 1000, UTC).strftime(shape) for n in range(self.count)
        ]

    def zeros(self) -> array[int]:
        """A count for each step."""
        return array("q", bytes(8 * self.count))


class Durations:
    """Durations of which only percentiles are asked."""

    __slots__ = ("_buckets",)

    def __init__(self) -> None:
        self._buckets: Counter[str] = Counter()

    def add(self, ms: float) -> None:
        """One more."""
        self._buckets[str(bucket_of(ms))] += 1

    def merge(self, buckets: dict[str, int]) -> None:
        """More, counted already."""
        self._buckets.update(buckets)

    def percentile(self, share: float) -> float | None:
        """See `latency.percentile`."""
        return percentile(self._buckets, share)


def share(part: float, whole: float) -> float | None:
    """A part of a whole; None of nothing."""
    return None if whole == 0 else part / whole


def shown(value: Cell, type_: str) -> str:
    """A value for people."""
    if value is None:
        return "–"
    if type_ == "time":
        return rfc3339(int(value))[:19].replace("T", " ")
    if type_ == "share":
        return percent(float(value))
    if type_ == "number":
        return f"{value:,.0f}" if isinstance(value, int) or abs(float(value)) >= 100 else f"{value:,.1f}"
    return str(value)


def percent(value: float | None) -> str:
    """A share for people: 100 % is said of nothing less."""
    if value is None:
        return "–"
    rounded = f"{value * 100:.2f}"
    if rounded == "100.00":
        return "100 %" if value == 1 else "99.99 %"
    if rounded == "0.00":
        return "0 %" if value == 0 else "0.01 %"
    return f"{rounded} %"


def milliseconds(value: float | None) -> str:
    """A duration for people."""
    if value is None:
        return "–"
    return f"{value:,.0f} ms" if value < 10_000 else f"{value / 1000:,.1f} s"
