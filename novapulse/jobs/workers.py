"""What the workers are doing: their own signs of life, and the jobs that the database knows them to run."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field
from redis.exceptions import RedisError
from sqlalchemy import ColumnElement, select

from novapulse.core.actor import Actor, Permission
from novapulse.core.clock import now_ms, rfc3339
from novapulse.core.errors import UnavailableError
from novapulse.core.runtime import Runtime
from novapulse.jobs.counts import queue_stats
from novapulse.jobs.enqueue import JOB
from novapulse.jobs.models import JobState
from novapulse.jobs.shapes import WorkerView

_JOBS_MAX = 20  # named of each worker
_ROWS = 2_000
_GONE_MS = 3_600_000  # how long a worker that died is remembered
_GONE_MAX = 20
_AWAY = "Valkey, which workers report to, does not answer."
_j = JOB.c


class DoingView(BaseModel):
    """A job that a worker runs now."""

    id: str
    queue: str
    task: str
    started_at: str
    run_ms: int


class WorkerDetail(WorkerView):
    """A worker that is alive, and what it is doing."""

    jobs: list[DoingView] = Field(
        description="What it runs, the longest first, 20 at most; deliveries are only counted, in `running`."
    )


class GoneView(BaseModel):
    """A worker that stopped giving signs of life, without having said that it ends."""

    name: str
    last_heartbeat_at: str
    jobs: list[DoingView] = Field(description="What it ran and nobody has taken over yet; 20 at most.")


class WorkersView(BaseModel):
    """The workers that are alive, and those that died in the last hour."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"data": [], "gone": [], "next_cursor": None}]})

    data: list[WorkerDetail]
    gone: list[GoneView]
    next_cursor: None = None


async def list_workers(rt: Runtime, actor: Actor) -> WorkersView:
    """The workers that are alive, and that died lately, with what each of them runs, as far as the actor may see it.

    Raises:
        UnavailableError: Valkey, which they report to, is away: whether any is alive is not known.
    """
    actor.require(Permission.JOBS_READ)
    workers = (await queue_stats(rt, actor)).workers
    if workers is None:
        raise UnavailableError(_AWAY)
    now = now_ms()
    gone = await _gone(rt, {worker.name for worker in workers}, now)
    jobs = await _running(rt, actor, [worker.name for worker in workers] + list(gone), now)
    return WorkersView(
        data=[WorkerDetail(**worker.model_dump(), jobs=jobs[worker.name]) for worker in workers],
        gone=[GoneView(name=name, last_heartbeat_at=rfc3339(at), jobs=jobs[name]) for name, at in gone.items()],
    )


async def _gone(rt: Runtime, alive: set[str], now: int) -> dict[str, int]:
    """Whose sign of life has run out, and when the last one was; the latest first."""
    try:
        ran_out: list[tuple[str, float]] = await rt.valkey.zrevrangebyscore(
            "{np}:workers", now, now - _GONE_MS, start=0, num=_GONE_MAX, withscores=True
        )
    except (RedisError, OSError):
        raise UnavailableError(_AWAY) from None
    ttl = round(rt.settings.heartbeat_ttl_s * 1000)
    return {name: int(at) - ttl for name, at in ran_out if name not in alive}


async def _running(rt: Runtime, actor: Actor, names: list[str], now: int) -> dict[str, list[DoingView]]:
    """What each of these workers runs, the longest first."""
    mine: list[ColumnElement[bool]] = [] if actor.tenant is None else [_j.tenant == actor.tenant]
    active = (
        select(_j.id, _j.queue, _j.task, _j.claimed_by, _j.started_at)
        .where(_j.state == JobState.ACTIVE.value, _j.claimed_by.in_(names), *mine)
        .order_by(_j.id)
        .limit(_ROWS)
    )
    async with rt.database.read() as session:
        rows = (await session.execute(active)).all()
    jobs: dict[str, list[DoingView]] = {name: [] for name in names}
    for row in sorted(rows, key=lambda row: row.started_at or now):
        if len(jobs[row.claimed_by]) < _JOBS_MAX:
            since = row.started_at or now
            jobs[row.claimed_by].append(
                DoingView(
                    id=row.id, queue=row.queue, task=row.task, started_at=rfc3339(since), run_ms=max(0, now - since)
                )
            )
    return jobs
