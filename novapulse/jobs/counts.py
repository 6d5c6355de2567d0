"""The queues' numbers: exact, and read in one round trip however long the queues are. Unknown is None, never 0."""

from __future__ import annotations

from typing import Any, Literal

import orjson
from pydantic import BaseModel
from redis.exceptions import RedisError, ResponseError

from novapulse.core.actor import Actor, Permission
from novapulse.core.clock import now_ms, rfc3339
from novapulse.core.runtime import Runtime

QUEUES = ("email", "webhook", "workflow", "report")
_GROUP = "workers"
_STALLED_S = 60.0


class WorkerView(BaseModel):
    """A worker that is alive."""

    name: str
    host: str
    pid: int
    version: str
    queues: list[str]
    running: dict[str, int]
    rss_bytes: int | None
    started_at: str
    heartbeat_age_s: float


class QueueCounts(BaseModel):
    """One queue now. The webhook queue counts deliveries, whatever number of jobs they travel in."""

    name: str
    waiting: int | None
    active: int | None
    completed: int | None
    parked: int | None
    workers: int | None
    oldest_waiting_s: float | None
    health: Literal["healthy", "stalled", "down", "unknown"]
    reasons: list[str]


class QueueStats(BaseModel):
    """All queues and workers at one moment."""

    at: str
    queues: list[QueueCounts]
    workers: list[WorkerView] | None


async def queue_stats(rt: Runtime, actor: Actor) -> QueueStats:
    """The numbers of every queue."""
    actor.require(Permission.JOBS_READ)
    return await read_stats(rt)


async def read_stats(rt: Runtime) -> QueueStats:
    """The same for the system itself."""
    now = now_ms()
    try:
        workers = await _workers(rt, now)
        queues = [await _queue(rt, name, workers, now) for name in QUEUES]
    except (RedisError, OSError, TimeoutError):
        queues = [_unknown(name) for name in QUEUES]
        workers = None
    return QueueStats(at=rfc3339(now), queues=queues, workers=workers)


async def _workers(rt: Runtime, now: int) -> list[WorkerView]:
    names: list[str] = await rt.valkey.zrangebyscore("np:workers", now, "+inf")
    if not names:
        return []
    states = await rt.valkey.mget([f"np:worker:{name}" for name in names])
    return [_worker(orjson.loads(state), now) for state in states if state]


def _worker(state: dict[str, Any], now: int) -> WorkerView:
    return WorkerView(
        name=state["name"],
        host=state["host"],
        pid=state["pid"],
        version=state["version"],
        queues=state["queues"],
        running=state["running"],
        rss_bytes=state["rss_bytes"],
        started_at=rfc3339(state["started_at"]),
        heartbeat_age_s=round(max(0, now - state["at"]) / 1000, 1),
    )


async def _queue(rt: Runtime, name: str, workers: list[WorkerView], now: int) -> QueueCounts:
    stream = f"np:q:{{{name}}}"
    async with rt.valkey.pipeline(transaction=False) as pipe:
        pipe.hmget(f"{stream}:n", ["enqueued", "acked"])
        pipe.xlen(f"{stream}:parked")
        pipe.xinfo_groups(stream)
        pipe.xrange(stream, count=1)
        (enqueued, acked), parked, groups, oldest = await pipe.execute(raise_on_error=False)
    for answer in (parked, oldest):
        if isinstance(answer, ResponseError):
            raise answer
    mine = [worker for worker in workers if name in worker.queues]
    held = int(enqueued or 0) - int(acked or 0)
    active = min(held, sum(worker.running.get(name, 0) for worker in mine))
    waiting = max(0, held - active)
    last_read = (
        None
        if isinstance(groups, Exception)
        else next((g["last-delivered-id"] for g in groups if g["name"] == _GROUP), None)
    )
    oldest_s = await _oldest_waiting(rt, stream, last_read, bool(oldest), now)
    health, reasons = _judge(waiting, len(mine), oldest_s)
    return QueueCounts(
        name=name,
        waiting=waiting,
        active=active,
        completed=int(acked or 0),
        parked=parked,
        workers=len(mine),
        oldest_waiting_s=oldest_s,
        health=health,
        reasons=reasons,
    )


async def _oldest_waiting(rt: Runtime, stream: str, last_read: str | None, any_entry: bool, now: int) -> float | None:
    """Age of the oldest entry that nobody has read; None if every one was."""
    if not any_entry:
        return None
    rows = await rt.valkey.xrange(stream, min=f"({last_read}" if last_read else "-", count=1)
    return round(max(0, now - int(rows[0][0].split("-")[0])) / 1000, 1) if rows else None


def _judge(
    waiting: int, workers: int, oldest_s: float | None
) -> tuple[Literal["healthy", "stalled", "down"], list[str]]:
    if workers == 0:
        return ("down" if waiting else "healthy"), ["No worker is running for this queue."]
    if oldest_s is not None and oldest_s > _STALLED_S:
        return "stalled", [f"The oldest job has waited {oldest_s:.0f} s."]
    return "healthy", []


def _unknown(name: str) -> QueueCounts:
    return QueueCounts(
        name=name,
        waiting=None,
        active=None,
        completed=None,
        parked=None,
        workers=None,
        oldest_waiting_s=None,
        health="unknown",
        reasons=["Valkey cannot be asked."],
    )
