"""How reliable each webhook was in the time range: one row per webhook, summed from what is kept of each minute."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from novapulse.core.database import Database
from novapulse.reports.content import (
    Cell,
    Chart,
    Column,
    Durations,
    Series,
    Spec,
    Steps,
    Summary,
    Table,
    milliseconds,
    percent,
    share,
)
from novapulse.reports.sources import Batch
from novapulse.reports.sources.minutes import minutes_of, webhooks_of

_TOP = 15


@dataclass(slots=True)
class _Sum:
    attempts: int = 0
    failed_attempts: int = 0
    delivered: int = 0
    failed: int = 0
    busy: int = 0  # minutes with attempts
    dark: int = 0  # of those, with none that succeeded
    last_minute: int = 0
    latency: Durations = field(default_factory=Durations)


class Endpoints:
    """See the module."""

    columns = (
        Column("webhook", "Webhook", width=26),
        Column("host", "Host", width=26),
        Column("status", "Status now", width=11),
        Column("attempts", "Attempts", "number", 11),
        Column("success_rate", "Success", "share", 10),
        Column("delivered", "Delivered", "number", 11),
        Column("failed", "Given up", "number", 10),
        Column("availability", "Reachable", "share", 11),
        Column("p50_ms", "Half (ms)", "number", 10),
        Column("p95_ms", "95 % (ms)", "number", 10),
        Column("p99_ms", "99 % (ms)", "number", 10, in_pdf=False),
        Column("dark_minutes", "Minutes without success", "number", 14, in_pdf=False),
        Column("last_attempt_at", "Last attempt (UTC)", "time", 20, in_pdf=False),
        Column("tenant", "Tenant", width=12, in_pdf=False),
        Column("webhook_id", "Webhook id", width=36, in_pdf=False),
    )

    def __init__(self, database: Database, spec: Spec) -> None:
        self._database = database
        self._spec = spec
        self._steps = Steps(spec.since, spec.until)
        self._good, self._bad = self._steps.zeros(), self._steps.zeros()
        self._total = _Sum()
        self._hooks = 0
        self._worst: list[tuple[float, str, int, float | None]] = []

    async def batches(self) -> AsyncIterator[Batch]:
        """See `Source`."""
        async for hooks in webhooks_of(self._database, self._spec):
            rows: list[tuple[Cell, ...]] = []
            for hook in hooks:
                own = _Sum()
                async for minutes in minutes_of(self._database, hook.id, self._spec):
                    for minute in minutes:
                        self._add(own, minute)
                rows.append(self._row(hook, urlsplit(hook.url).hostname or "", own))
            self._hooks += len(hooks)
            yield Batch(0.0, rows)  # how many webhooks come is not known, and they are few

    def _add(self, own: _Sum, row: Any) -> None:
        good = row.attempts - row.failed_attempts
        for each in (own, self._total):
            each.attempts += row.attempts
            each.failed_attempts += row.failed_attempts
            each.delivered += row.delivered
            each.failed += row.failed
            each.busy += row.attempts > 0
            each.dark += row.attempts > 0 and good == 0
            each.last_minute = max(each.last_minute, row.minute)
            each.latency.merge(row.latency)
        step = self._steps.at(row.minute * 60_000)
        self._good[step] += good
        self._bad[step] += row.failed_attempts

    def _row(self, hook: Any, host: str, own: _Sum) -> tuple[Cell, ...]:
        rate = share(own.attempts - own.failed_attempts, own.attempts)
        reachable = share(own.busy - own.dark, own.busy)
        name = hook.name or host or hook.id
        if rate is not None and rate < 1:
            self._worst = sorted([*self._worst, (rate, name, own.failed_attempts, reachable)])[:_TOP]
        return (
            name, host, hook.status, own.attempts, rate, own.delivered, own.failed, reachable,
            own.latency.percentile(0.5), own.latency.percentile(0.95), own.latency.percentile(0.99), own.dark,
            own.last_minute * 60_000 if own.last_minute else None, hook.tenant, hook.id,
        )  # fmt: skip

    def summary(self) -> Summary:
        """See `Source`."""
        total, labels = self._total, self._steps.labels()
        tried = [good + bad for good, bad in zip(self._good, self._bad, strict=True)]
        rates = [share(good, n) for good, n in zip(self._good, tried, strict=True)]
        return Summary(
            facts=[
                ("Webhooks", f"{self._hooks:,}"),
                ("Attempts", f"{total.attempts:,}"),
                ("Success rate", percent(share(total.attempts - total.failed_attempts, total.attempts))),
                ("Delivered", f"{total.delivered:,}"),
                ("Given up", f"{total.failed:,}"),
                ("Reachable", percent(share(total.busy - total.dark, total.busy))),
                ("Took, half of all", milliseconds(total.latency.percentile(0.5))),
                ("Took, 95 %", milliseconds(total.latency.percentile(0.95))),
            ],
            charts=[
                Chart(
                    "Success rate of attempts (%)",
                    "lines",
                    labels,
                    [Series("Success rate", "plain", [None if r is None else round(r * 100, 2) for r in rates])],
                ),
                Chart(
                    "Attempts",
                    "bars",
                    labels,
                    [Series("Succeeded", "good", self._good), Series("Failed", "bad", self._bad)],
                ),
            ],
            tables=[
                Table(
                    "Least reliable",
                    [
                        Column("webhook", "Webhook", width=40),
                        Column("rate", "Success", "share"),
                        Column("failed", "Failed attempts", "number"),
                        Column("reachable", "Reachable", "share"),
                    ],
                    [(name, rate, failed, reachable) for rate, name, failed, reachable in self._worst],
                )
            ],
            notes=[
                "Reachable: of the minutes in which something was sent, those in which at least one attempt succeeded.",
                "Summed from what is kept of each minute: the range is rounded out to whole minutes.",
            ],
        )
