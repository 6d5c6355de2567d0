"""The queues' numbers now: exact, and at the same cost however long the queues are. Unknown is None, never 0.

Counts are sums of the few rows of `queue_count`, which triggers keep with every change of a job or delivery. Workers
tell of themselves in Valkey. What only shows over time (rates, percentiles) is what the sampler found a second ago.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from novapulse.core.actor import Actor, Permission
from novapulse.core.clock import now_ms, rfc3339
from novapulse.core.errors import NotFoundError
from novapulse.core.runtime import Runtime
from novapulse.jobs.health import judge
from novapulse.jobs.shapes import Percentiles, QueueStats, QueueView, Totals, WorkerView

__all__ = ["QUEUES", "QueueStats", "WorkerView", "queue_stats", "read_stats", "read_workers"]

QUEUES = ("email", "webhook", "workflow", "report")
SAMPLED = "{np}:queues:1:now"  # what the sampler found last, and the number of its format
_SAMPLED_MAX_MS = 5_000  # older than this it tells nothing about now
_ENDED = ("completed", "dead", "cancelled")
STATES = ("waiting", "active", "delayed", *_ENDED)

_OLDEST_JOB = "(SELECT min(run_at) FROM job WHERE queue = '{0}' AND state = 'waiting')"
_OLDEST_DELIVERY = """(SELECT min(at) FROM (
    SELECT at FROM (
        SELECT next_attempt_at AS at FROM delivery {by_index}
        WHERE status IN ('pending', 'sending', 'retrying') AND status <> 'sending'
            AND enqueued_at = 0 AND next_attempt_at <= :now
        ORDER BY next_attempt_at LIMIT 1
    ) AS not_queued
    UNION ALL SELECT at FROM (
        SELECT next_attempt_at AS at FROM delivery {by_index}
        WHERE status IN ('pending', 'sending', 'retrying') AND status <> 'sending'
            AND enqueued_at > 0 AND next_attempt_at IS NOT NULL
        ORDER BY enqueued_at, next_attempt_at LIMIT 1
    ) AS queued
) AS due)"""


def counts_statement(sqlite: bool) -> str:
    """One statement, so one moment. Each part is a few rows, or the first row of an index."""
    # SQLite would rather look at all deliveries of a status.
    oldest = _OLDEST_DELIVERY.format(by_index="INDEXED BY ix_delivery_due" if sqlite else "")
    parts = [
        "SELECT queue, state, CAST(sum(n) AS BIGINT) FROM queue_count GROUP BY queue, state",
        f"SELECT 'webhook', 'oldest', {oldest}",
        *(f"SELECT '{name}', 'oldest', {_OLDEST_JOB.format(name)}" for name in QUEUES if name != "webhook"),
    ]
    return " UNION ALL ".join(parts)


_COUNTS = {sqlite: text(counts_statement(sqlite)) for sqlite in (True, False)}
_MODES = text("SELECT name, mode, note, changed_by, changed_at FROM queue")


@dataclass(slots=True)
class Counted:
    """What the database says of one queue."""

    numbers: dict[str, int]  # of `QueueCount`
    oldest_at: int | None
    mode: str
    note: str
    by: str
    since: int

    @property
    def ended(self) -> int:
        """Attempts that have ended, ever; grows, but for completed jobs that are retried."""
        return self["completed"] + self["gone_completed"] + self["failed"]

    @property
    def gone(self) -> int:
        """Jobs that were deleted."""
        return sum(self[f"gone_{state}"] for state in _ENDED)

    @property
    def drift(self) -> int:
        """Jobs that were made and are nowhere; 0, or something is wrong."""
        return self["enqueued"] - sum(self[state] for state in STATES) - self.gone

    def __getitem__(self, number: str) -> int:
        return self.numbers.get(number, 0)


@dataclass(slots=True)
class Sampled:
    """What the sampler knows of one queue from looking at it again and again."""

    throughput_per_s: float | None = None
    error_rate: float | None = None
    attempts: int = 0  # of the last minute: what the error rate is made of
    wait: tuple[float | None, float | None] = (None, None)
    run: tuple[float | None, float | None] = (None, None)
    quiet_s: float | None = None  # since when jobs wait and none has ended
    growing: int | None = None  # by how many the backlog grew, if it grew all along


@dataclass(slots=True)
class Board:
    """Everything that is known at one moment."""

    at: int
    counts: dict[str, Counted] | None  # None: the database cannot be asked
    workers: list[WorkerView] | None  # None: Valkey cannot be asked


def queue_name(name: str) -> str:
    """A queue's name as it came in.

    Raises:
        NotFoundError: there is no such queue.
    """
    if name not in QUEUES:
        raise NotFoundError("queue", name)
    return name


async def queue_stats(rt: Runtime, actor: Actor) -> QueueStats:
    """The numbers of every queue."""
    actor.require(Permission.JOBS_READ)
    return await read_stats(rt)


async def read_stats(rt: Runtime) -> QueueStats:
    """The same for the system itself."""
    board = await read_board(rt)
    return stats_of(rt, board, await _read_sampled(rt, board.at))


async def read_board(rt: Runtime) -> Board:
    """Counts and workers; whatever cannot be asked is None."""
    now = now_ms()
    try:
        counts = await read_counts(rt, now)
    except (SQLAlchemyError, OSError, TimeoutError):
        counts = None
    try:
        workers = await read_workers(rt, now)
    except (RedisError, OSError, TimeoutError):
        workers = None
    return Board(now, counts, workers)


async def read_counts(rt: Runtime, now: int) -> dict[str, Counted]:
    """What the database says of each queue."""
    async with rt.database.read() as session:
        numbers = (await session.execute(_COUNTS[rt.database.is_sqlite], {"now": now})).all()
        modes = {row.name: row for row in (await session.execute(_MODES)).all()}
    found: dict[str, Counted] = {}
    for name in QUEUES:
        own = {state: n for queue, state, n in numbers if queue == name}
        oldest = own.pop("oldest")
        mode = modes[name]
        found[name] = Counted(own, oldest, mode.mode, mode.note, mode.changed_by, mode.changed_at)
    return found


async def read_workers(rt: Runtime, now: int) -> list[WorkerView]:
    """The workers that are alive, by name."""
    names: list[str] = await rt.valkey.zrangebyscore("{np}:workers", now, "+inf")
    if not names:
        return []
    states = await rt.valkey.mget([f"{{np}}:worker:{name}" for name in sorted(names)])
    return [_worker(rt, orjson.loads(state), now) for state in states if state]


def stats_of(rt: Runtime, board: Board, sampled: dict[str, Sampled]) -> QueueStats:
    """A board, with what the sampler knows, as the API shows it."""
    queues = [_queue(rt, name, board, sampled.get(name, Sampled())) for name in QUEUES]
    sums = {
        number: _sum([getattr(queue, number) for queue in queues]) for number in (*STATES, "failed", "throughput_per_s")
    }
    return QueueStats(at=rfc3339(board.at), queues=queues, totals=Totals(**sums), workers=board.workers)


def _sum(values: list[Any]) -> Any:
    return None if None in values else round(sum(values), 1)


def _queue(rt: Runtime, name: str, board: Board, sampled: Sampled) -> QueueView:
    counted = board.counts[name] if board.counts is not None else None
    mine = None if board.workers is None else [worker for worker in board.workers if name in worker.queues]
    slots = None if mine is None else sum(worker.slots.get(name, 0) for worker in mine)
    oldest_s = (
        None if counted is None or counted.oldest_at is None else round(max(0, board.at - counted.oldest_at) / 1000, 1)
    )
    health, reasons = judge(
        rt.settings,
        counted=counted,
        workers=None if mine is None else len(mine),
        slots=slots,
        oldest_s=oldest_s,
        sampled=sampled,
    )
    said = None if counted is None or counted.mode == "running" else counted
    return QueueView(
        name=name,
        **{state: None if counted is None else counted[state] for state in (*STATES, "failed")},
        paused=None if counted is None else counted.mode == "paused",
        mode=None if counted is None else counted.mode,  # pyright: ignore[reportArgumentType] - pydantic checks it
        mode_by=None if said is None else said.by,
        mode_since=None if said is None else rfc3339(said.since),
        mode_note=None if said is None else said.note,
        workers=None if mine is None else len(mine),
        slots=slots,
        throughput_per_s=sampled.throughput_per_s,
        wait_ms=Percentiles(p50=sampled.wait[0], p99=sampled.wait[1]),
        run_ms=Percentiles(p50=sampled.run[0], p99=sampled.run[1]),
        error_rate=sampled.error_rate,
        oldest_waiting_s=oldest_s,
        drift=None if counted is None else counted.drift,
        health=health,
        reasons=reasons,
    )


def _worker(rt: Runtime, state: dict[str, Any], now: int) -> WorkerView:
    at_once = rt.settings.job_concurrency, rt.settings.worker_concurrency
    return WorkerView(
        name=state["name"],
        host=state["host"],
        pid=state["pid"],
        version=state["version"],
        queues=state["queues"],
        running=state["running"],
        # A worker of the version before does not tell.
        slots=state.get("slots") or {queue: at_once[queue == "webhook"] for queue in state["queues"]},
        rss_bytes=state["rss_bytes"],
        cpu_s=state.get("cpu_s"),
        started_at=rfc3339(state["started_at"]),
        heartbeat_age_s=round(max(0, now - state["at"]) / 1000, 1),
    )


async def _read_sampled(rt: Runtime, now: int) -> dict[str, Sampled]:
    try:
        found = await rt.valkey.get(SAMPLED)
    except (RedisError, OSError, TimeoutError):
        return {}
    if not found:
        return {}
    said: dict[str, Any] = orjson.loads(found)
    if now - said["at"] > _SAMPLED_MAX_MS:
        return {}
    return {name: Sampled(**own) for name, own in said["queues"].items()}
