"""What the queues did in the time range: one row per hour or day, queue and task.

Jobs count when they end. Deliveries are the jobs of the queue `webhook`; of them the minutes are summed that are kept
of each webhook, so that how long they waited is not known here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import or_, select

from novapulse.core.database import Database, table_of
from novapulse.jobs.models import Job, JobState
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

_J = table_of(Job).c
_BATCH = 2_000
_HOUR_MS = 3_600_000
_HOURS_MAX_MS = 7 * 24 * _HOUR_MS  # of a longer range there is a row per day
_DELIVERING = ("webhook", "webhook.deliver")


@dataclass(slots=True)
class _Sum:
    completed: int = 0
    dead: int = 0
    cancelled: int = 0
    attempts: int = 0
    failed_attempts: int = 0
    wait: Durations = field(default_factory=Durations)
    run: Durations = field(default_factory=Durations)


class Queues:
    """See the module."""

    columns = (
        Column("from", "From (UTC)", "time", 20),
        Column("queue", "Queue", width=11),
        Column("task", "Task", width=22),
        Column("completed", "Completed", "number", 11),
        Column("dead", "Dead", "number", 8),
        Column("cancelled", "Cancelled", "number", 11),
        Column("attempts", "Attempts", "number", 11),
        Column("failed_attempts", "Failed attempts", "number", 12),
        Column("wait_p50_ms", "Waited, half (ms)", "number", 12),
        Column("wait_p99_ms", "Waited, 99 % (ms)", "number", 12),
        Column("run_p50_ms", "Ran, half (ms)", "number", 12),
        Column("run_p99_ms", "Ran, 99 % (ms)", "number", 12),
    )

    def __init__(self, database: Database, spec: Spec) -> None:
        self._database = database
        self._spec = spec
        self._period = _HOUR_MS if spec.until - spec.since <= _HOURS_MAX_MS else 24 * _HOUR_MS
        self._steps = Steps(spec.since, spec.until)
        self._ended: dict[str, tuple[Any, Any]] = {}  # queue -> how many ended well or not, by step
        self._by_period: dict[tuple[int, str, str], _Sum] = {}
        self._by_task: dict[tuple[str, str], _Sum] = {}

    async def batches(self) -> AsyncIterator[Batch]:
        """See `Source`."""
        async for hooks in webhooks_of(self._database, self._spec):
            for hook in hooks:
                async for minutes in minutes_of(self._database, hook.id, self._spec):
                    for minute in minutes:
                        self._add_minute(minute)
            yield Batch(0.0, [])
        span = max(1, self._spec.until - self._spec.since)
        async for at in self._read_jobs():
            yield Batch((at - self._spec.since) / span, [])
        yield Batch(1.0, [self._row(key, own) for key, own in sorted(self._by_period.items())])

    async def _read_jobs(self) -> AsyncIterator[int]:
        """Reads all jobs; yields how far it is."""
        query = (
            select(_J.id, _J.queue, _J.task, _J.state, _J.attempts, _J.run_at, _J.started_at, _J.finished_at)
            .where(_J.finished_at < self._spec.until)
            .order_by(_J.finished_at, _J.id)
            .limit(_BATCH)
        )
        if self._spec.tenant is not None:
            query = query.where(_J.tenant == self._spec.tenant)
        at, id_ = self._spec.since, ""
        while True:
            async with self._database.read() as session:
                rows = (
                    await session.execute(query.where(_J.finished_at >= at, or_(_J.finished_at > at, _J.id > id_)))
                ).all()
            for row in rows:
                self._add_job(row)
            if len(rows) < _BATCH:
                return
            at, id_ = rows[-1].finished_at, rows[-1].id
            yield at

    def _sums(self, at: int, queue: str, task: str) -> tuple[_Sum, _Sum]:
        period = at // self._period * self._period
        return (
            self._by_period.setdefault((period, queue, task), _Sum()),
            self._by_task.setdefault((queue, task), _Sum()),
        )

    def _add_job(self, row: Any) -> None:
        failed = row.attempts - (row.state == JobState.COMPLETED)
        for own in self._sums(row.finished_at, row.queue, row.task):
            own.completed += row.state == JobState.COMPLETED
            own.dead += row.state == JobState.DEAD
            own.cancelled += row.state == JobState.CANCELLED
            own.attempts += row.attempts
            own.failed_attempts += max(0, failed)
            if row.started_at is not None:
                own.wait.add(max(0, row.started_at - row.run_at))
                own.run.add(max(0, row.finished_at - row.started_at))
        self._count(row.queue, row.finished_at, 1, row.state == JobState.DEAD)

    def _add_minute(self, row: Any) -> None:
        at = row.minute * 60_000
        for own in self._sums(at, *_DELIVERING):
            own.completed += row.delivered
            own.dead += row.failed
            own.attempts += row.attempts
            own.failed_attempts += row.failed_attempts
            own.run.merge(row.latency)
        self._count(_DELIVERING[0], at, row.delivered + row.failed, row.failed)

    def _count(self, queue: str, at: int, count: int, dead: int) -> None:
        step = self._steps.at(at)
        well, badly = self._ended.setdefault(queue, (self._steps.zeros(), self._steps.zeros()))
        well[step] += count - dead
        badly[step] += dead

    def _row(self, key: tuple[int, str, str], own: _Sum) -> tuple[Cell, ...]:
        return (
            *key, own.completed, own.dead, own.cancelled, own.attempts, own.failed_attempts,
            own.wait.percentile(0.5), own.wait.percentile(0.99), own.run.percentile(0.5), own.run.percentile(0.99),
        )  # fmt: skip

    def summary(self) -> Summary:
        """See `Source`."""
        tasks = sorted(self._by_task.items())
        sums = [own for _, own in tasks]
        attempts, failed = sum(s.attempts for s in sums), sum(s.failed_attempts for s in sums)
        labels = self._steps.labels()
        return Summary(
            facts=[
                ("Completed", f"{sum(s.completed for s in sums):,}"),
                ("Dead", f"{sum(s.dead for s in sums):,}"),
                ("Cancelled", f"{sum(s.cancelled for s in sums):,}"),
                ("Attempts that succeeded", percent(share(attempts - failed, attempts))),
            ],
            charts=[
                Chart(
                    f"Ended: {queue}",
                    "bars",
                    labels,
                    [Series("Well, or cancelled", "good", well), Series("Dead", "bad", dead)],
                )
                for queue, (well, dead) in sorted(self._ended.items())
            ],
            tables=[
                Table(
                    "By task",
                    [
                        Column("queue", "Queue", width=12),
                        Column("task", "Task", width=24),
                        Column("completed", "Completed", "number"),
                        Column("dead", "Dead", "number"),
                        Column("cancelled", "Cancelled", "number"),
                        Column("wait", "Waited, 99 %"),
                        Column("run", "Ran, 99 %"),
                    ],
                    [
                        (
                            queue,
                            task,
                            own.completed,
                            own.dead,
                            own.cancelled,
                            milliseconds(own.wait.percentile(0.99)),
                            milliseconds(own.run.percentile(0.99)),
                        )
                        for (queue, task), own in tasks
                    ],
                )
            ],
            notes=[
                "Jobs count in the hour or on the day they ended; those that retention has deleted are not here.",
                "Deliveries: summed from what is kept of each minute; how long they waited is not kept.",
            ],
        )
