"""Every attempt to deliver that began in the time range, oldest first."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

from sqlalchemy import Select, func, select

from novapulse.core.database import Database, table_of
from novapulse.core.ids import floor_id
from novapulse.reports.content import (
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
from novapulse.reports.sources.names import webhook_names
from novapulse.webhooks.models import Attempt, Delivery

_A = table_of(Attempt).c
_D = table_of(Delivery).c
_BATCH = 2_000
_LATE_MS = 120_000  # an attempt gets its id when it has ended
_TOP = 15


def rows_between(spec: Spec, first: str, end: str) -> Select[*tuple[Any, ...]]:
    """The attempts of a report whose ids lie in a window."""
    wanted = [_A.started_at >= spec.since, _A.started_at < spec.until]
    # Wrapped, so that no index of them is used: all of a webhook's deliveries would be read for each window.
    if spec.webhook_id is not None:
        wanted.append(func.coalesce(_D.webhook_id, "") == spec.webhook_id)
    if spec.tenant is not None:
        wanted.append(func.coalesce(_D.tenant, "") == spec.tenant)
    columns = (
        _A.started_at, _D.webhook_id, _D.event_type, _A.number, _A.ok, _A.status_code, _A.error, _A.duration_ms,
        _D.status, _D.tenant, _D.event_id, _A.delivery_id, _A.id, _A.error_detail,
    )  # fmt: skip
    joined = table_of(Attempt).join(table_of(Delivery), _A.delivery_id == _D.id)
    return select(*columns).select_from(joined).where(_A.id >= first, _A.id < end, *wanted).order_by(_A.id)


class Deliveries:
    """See the module."""

    columns = (
        Column("started_at", "Started (UTC)", "time", 20),
        Column("webhook", "Webhook", width=24),
        Column("event_type", "Event type", width=22),
        Column("attempt", "Attempt", "number", 9),
        Column("result", "Result", width=11),
        Column("status_code", "Status", "number", 9),
        Column("error", "Error", width=18),
        Column("duration_ms", "Took (ms)", "number", 11),
        Column("delivery_status", "Delivery now", width=13),
        Column("tenant", "Tenant", width=12, in_pdf=False),
        Column("webhook_id", "Webhook id", width=36, in_pdf=False),
        Column("event_id", "Event id", width=36, in_pdf=False),
        Column("delivery_id", "Delivery id", width=36, in_pdf=False),
        Column("attempt_id", "Attempt id", width=36, in_pdf=False),
        Column("error_detail", "What was said", width=40, in_pdf=False),
    )

    def __init__(self, database: Database, spec: Spec) -> None:
        self._database = database
        self._spec = spec
        self._steps = Steps(spec.since, spec.until)
        self._good, self._bad = self._steps.zeros(), self._steps.zeros()
        self._slow = [Durations() for _ in range(self._steps.count)]
        self._all = Durations()
        self._errors: Counter[str] = Counter()
        self._types: Counter[str] = Counter()
        self._hooks: dict[str, list[int]] = {}  # id -> attempts, failed ones
        self._names: dict[str, str] = {}
        self._first = self._first_good = 0

    async def batches(self) -> AsyncIterator[Batch]:
        """See `Source`."""
        spec = self._spec
        self._names = await webhook_names(self._database)
        last, high = floor_id("att", spec.since), floor_id("att", spec.until + _LATE_MS)
        span = max(1, spec.until - spec.since)
        while True:
            async with self._database.read() as session:
                # The window is bounded by itself: a filter that few rows pass must not have one statement read all.
                window = select(_A.id).where(_A.id >= last, _A.id < high).order_by(_A.id).limit(1).offset(_BATCH)
                end = (await session.execute(window)).scalar_one_or_none()
                rows = (await session.execute(rows_between(spec, last, end or high))).all()
            made = [self._row(row) for row in rows]
            at = spec.until if end is None else int(end[4:16], 16)
            yield Batch(min(1.0, max(0.0, (at - spec.since) / span)), made)
            if end is None:
                return
            last = end

    def _row(self, row: Any) -> tuple[Any, ...]:
        started, hook, event_type, number, ok, code, error, took, status, tenant, event, delivery, id_, detail = row
        step = self._steps.at(started)
        (self._good if ok else self._bad)[step] += 1
        self._slow[step].add(took)
        self._all.add(took)
        self._types[event_type] += 1
        counts = self._hooks.setdefault(hook, [0, 0])
        counts[0] += 1
        if number == 1:
            self._first += 1
            self._first_good += ok
        if not ok:
            counts[1] += 1
            self._errors[f"HTTP {code}" if error == "status" else error or "unknown"] += 1
        return (
            started, self._names.get(hook, hook), event_type, number, "succeeded" if ok else "failed", code, error,
            round(took, 1), status, tenant, hook, event, delivery, id_, detail,
        )  # fmt: skip

    def summary(self) -> Summary:
        """See `Source`."""
        good, bad = sum(self._good), sum(self._bad)
        labels = self._steps.labels()
        ranked = sorted(self._hooks.items(), key=lambda each: (-each[1][1], -each[1][0]))[:_TOP]
        return Summary(
            facts=[
                ("Attempts", f"{good + bad:,}"),
                ("Succeeded", f"{good:,}"),
                ("Failed", f"{bad:,}"),
                ("Success rate", percent(share(good, good + bad))),
                ("At the first try", percent(share(self._first_good, self._first))),
                ("Took, half of all", milliseconds(self._all.percentile(0.5))),
                ("Took, 95 %", milliseconds(self._all.percentile(0.95))),
                ("Took, 99 %", milliseconds(self._all.percentile(0.99))),
            ],
            charts=[
                Chart(
                    "Attempts",
                    "bars",
                    labels,
                    [Series("Succeeded", "good", self._good), Series("Failed", "bad", self._bad)],
                ),
                Chart(
                    "How long attempts took (ms)",
                    "lines",
                    labels,
                    [
                        Series("half of all", "plain", [each.percentile(0.5) for each in self._slow]),
                        Series("95 %", "second", [each.percentile(0.95) for each in self._slow]),
                    ],
                ),
            ],
            tables=[
                Table(
                    "Webhooks, most failures first",
                    [
                        Column("webhook", "Webhook", width=40),
                        Column("attempts", "Attempts", "number"),
                        Column("failed", "Failed", "number"),
                        Column("rate", "Success rate", "share"),
                    ],
                    [(self._names.get(id_, id_), n, f, share(n - f, n)) for id_, (n, f) in ranked],
                ),
                Table(
                    "Why attempts failed",
                    [Column("error", "Error", width=40), Column("count", "Attempts", "number")],
                    self._errors.most_common(_TOP),
                ),
                Table(
                    "Event types",
                    [Column("type", "Event type", width=40), Column("count", "Attempts", "number")],
                    self._types.most_common(_TOP),
                ),
            ],
        )
