"""Making jobs: within the transaction of what they belong to, so that neither is there without the other."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import PydanticSerializationError
from redis.exceptions import RedisError
from sqlalchemy import Connection, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from novapulse.core import exact, trace, tracing
from novapulse.core.clock import now_ms
from novapulse.core.database import bulk_insert, table_of
from novapulse.core.errors import ConflictError, InvalidError
from novapulse.core.ids import new_id
from novapulse.core.runtime import Runtime
from novapulse.jobs.hidden import hide_credentials
from novapulse.jobs.models import OPEN_STATES, Job, JobState, QueueCount
from novapulse.jobs.tasks import Task, find_task

JOB = table_of(Job)
_COUNT = table_of(QueueCount)
PAYLOAD_MAX = 256 * 1024
RUN_TASK = "job.run"  # the Taskiq task that runs any of them
_BATCH = 100
_SENDING: dict[str, tracing.Value] = {
    "messaging.system": "novapulse",
    "messaging.operation.type": "send",
    "messaging.operation.name": "send",
}
_MARK_AFTER_S = 0.5
_MARKED = 500  # at once
UNMARKED_MS = 2_000  # what waits for so long without a mark was not put on its queue


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job that is to be made."""

    task: str
    payload: Mapping[str, Any] = field(default_factory=dict[str, Any])
    run_at: int | None = None  # ms; None: now
    priority: int = 5
    unique_key: str | None = None  # of jobs with the same key one may be open
    tenant: str | None = None
    created_by: str = "NovaPulse"
    schedule_id: str | None = None
    parent_id: str | None = None
    max_attempts: int | None = None  # None: as the task says
    timeout_s: float | None = None
    place: trace.Place | None = None  # in a trace; None: where what makes it belongs
    id: str | None = None  # where it must be known before, or be the same at each try to make it


async def add_job(session: AsyncSession, new: NewJob) -> str:
    """Add a job within the transaction of `session`; its id. It is begun within a second, or at once after `kick`.

    Raises:
        InvalidError: unknown task, or a payload that does not fit or is too large.
        ConflictError: a job with the same unique key is open.
    """
    return await (await session.connection()).run_sync(lambda connection: _add_one(connection, new))


async def make_job(rt: Runtime, new: NewJob) -> str:
    """Make a job in a transaction of its own and have it begun at once; its id.

    Quicker than `add_job` and `kick`, which wait for a turn of the event loop after each statement.

    Raises:
        InvalidError, ConflictError: as `add_job`.
        IntegrityError: somebody was faster with the same unique key.
    """
    id_ = await rt.database.run_write(lambda connection: _add_one(connection, new))
    await kick(rt, find_task(new.task).queue, [id_])
    return id_


def _add_one(connection: Connection, new: NewJob) -> str:
    if new.unique_key is not None:
        open_ = select(JOB.c.id).where(
            JOB.c.unique_key == new.unique_key, JOB.c.state.in_([state.value for state in OPEN_STATES])
        )
        existing = connection.execute(open_).scalar_one_or_none()
        if existing is not None:
            raise ConflictError(f"A job with the key '{new.unique_key}' is open already: {existing}.")
    return add_jobs_on(connection, [new])[0]


def add_jobs_on(connection: Connection, jobs: Sequence[NewJob]) -> list[str]:
    """Add many jobs of any tasks in one statement; their ids, in order. See `add_job`."""
    if not jobs:
        return []
    now = now_ms()
    rows = [_row(new, find_task(new.task), now) for new in jobs]
    bulk_insert(connection, JOB, rows)
    for queue in sorted({row["queue"] for row in rows}):
        count_enqueued(connection, queue, sum(row["queue"] == queue for row in rows))
    return [row["id"] for row in rows]


def count_enqueued(connection: Connection, queue: str, n: int) -> None:
    """Count jobs that are made, beside the triggers that count rows: a row that went missing shows as a drift."""
    c = _COUNT.c
    if connection.dialect.name == "sqlite":
        connection.execute(
            update(_COUNT).where(c.queue == queue, c.state == "enqueued", c.shard == 0).values(n=c.n + n)
        )
        return
    from sqlalchemy import func
    from sqlalchemy.dialects.postgresql import insert

    row = insert(_COUNT).values(queue=queue, state="enqueued", shard=func.pg_backend_pid(), n=n)
    connection.execute(
        row.on_conflict_do_update(index_elements=["queue", "state", "shard"], set_={"n": c.n + row.excluded.n})
    )


async def kick(rt: Runtime, queue: str, ids: Sequence[str]) -> None:
    """Have jobs begun at once, after the commit that made them. Without it, or Valkey, workers find them soon."""
    if not ids:
        return
    with contextlib.suppress(RedisError, OSError, TimeoutError):
        with tracing.span(f"send {queue}", "producer", _SENDING | {"messaging.destination.name": queue}):
            await rt.enqueue(queue, RUN_TASK, [ids[at : at + _BATCH] for at in range(0, len(ids), _BATCH)])
        rt.part(_Marks).add(ids)


class _Marks:
    """Marks what was put on a queue, a moment later and in bulk: by then most of it is done and needs no mark.

    What this process does not come to mark is handed out once more, which does no harm.
    """

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt
        self._ids: list[str] = []
        self._marker: asyncio.Task[None] | None = None

    def add(self, ids: Sequence[str]) -> None:
        self._ids += ids
        if self._marker is None or self._marker.done():
            self._marker = asyncio.create_task(self._mark(), context=trace.apart())

    async def _mark(self) -> None:
        while self._ids:
            await asyncio.sleep(_MARK_AFTER_S)
            ids, self._ids = self._ids, []
            with contextlib.suppress(SQLAlchemyError, OSError, TimeoutError):
                for at in range(0, len(ids), _MARKED):
                    await self._mark_waiting(ids[at : at + _MARKED])

    async def _mark_waiting(self, ids: list[str]) -> None:
        unmarked = JOB.c.id.in_(ids), JOB.c.enqueued_at == 0, JOB.c.state == JobState.WAITING.value
        async with self._rt.database.read() as session:
            waiting = list((await session.execute(select(JOB.c.id).where(*unmarked))).scalars())
        if waiting:
            async with self._rt.database.write() as session:
                await session.execute(update(JOB).where(*unmarked).values(enqueued_at=now_ms()))


def _row(new: NewJob, task: Task, now: int) -> dict[str, Any]:
    checked = task.check(new.payload)
    try:
        given = checked.model_dump(mode="json")
        payload, shown = exact.dumps(given), exact.dumps(hide_credentials(given))
    except (PydanticSerializationError, TypeError, ValueError) as error:
        raise InvalidError.at("/payload", f"cannot be written as JSON: {error}"[:300]) from None
    if len(payload.encode()) > PAYLOAD_MAX:
        raise InvalidError.at("/payload", f"larger than {PAYLOAD_MAX // 1024} KiB; pass an id and read the rest there")
    if not 0 <= new.priority <= 9:
        raise InvalidError.at("/priority", "from 0 (first) to 9 (last)")
    run_at = now if new.run_at is None else new.run_at
    place = new.place or trace.here()
    return {
        "id": new.id or new_id("job"),
        "queue": task.queue,
        "task": task.name,
        "payload": payload,
        "searched": None if shown == payload else shown,
        "state": (JobState.WAITING if run_at <= now else JobState.DELAYED).value,
        "priority": new.priority,
        "unique_key": new.unique_key,
        "tenant": new.tenant,
        "created_by": new.created_by,
        "schedule_id": new.schedule_id,
        "parent_id": new.parent_id,
        "trace_id": place.trace_id,
        "parent_span": place.parent,
        "pinned": False,
        "run_at": run_at,
        "max_attempts": task.max_attempts if new.max_attempts is None else new.max_attempts,
        "timeout_s": task.timeout_s if new.timeout_s is None else new.timeout_s,
        "attempts": 0,
        "crashes": 0,
        "enqueued_at": 0,
        "claims": 0,
        "lease_until": 0,
        "cancel_asked": False,
        "created_at": now,
    }
