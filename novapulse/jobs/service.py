"""What people do to one job, and making jobs by name.

`cancel_job` of a job that waits, and `discard_job`, can be taken back for ten seconds. A cancelled job is cancelled at
once, so that it is not begun meanwhile: `undo_job` puts it back as it was. A discarded one stays, marked, until the ten
seconds are over, and then leaves. A running job is stopped at once: what it has not done cannot be put back, only
retried.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import orjson
from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from novapulse.core.actor import Actor, Permission
from novapulse.core.clock import now_ms
from novapulse.core.errors import ConflictError, FieldError, InvalidError
from novapulse.core.runtime import Runtime
from novapulse.jobs import bulk
from novapulse.jobs.acts import BULK, TOUCHES, UNDO_MS, WAITS, cancel_on, note, retry_on
from novapulse.jobs.enqueue import JOB, NewJob, kick, make_job
from novapulse.jobs.listing import UNDO, find_job, get_job, list_jobs, view_of
from novapulse.jobs.models import JobState
from novapulse.jobs.schemas import JobIn, JobView, TaskView
from novapulse.jobs.tasks import TASKS, Task, require_needs
from novapulse.security import audit
from novapulse.webhooks import deliveries

__all__ = [
    "cancel_job", "create_job", "discard_job", "get_job", "list_jobs", "list_tasks", "pin_job", "retry_job", "undo_job",
]  # fmt: skip

T = TypeVar("T")
_TOO_LATE = "There is nothing to take back: that goes for ten seconds."
_j = JOB.c


async def create_job(rt: Runtime, actor: Actor, given: JobIn) -> JobView:
    """Make a job of a task that may be asked for by name.

    Raises:
        InvalidError: no such task, or a payload that it does not take; with the place.
        ForbiddenError: the task does what the actor may not.
        ConflictError: a job with the same unique key is open.
    """
    actor.require(Permission.JOBS_WRITE)
    task = find_open_task(given.task)
    require_needs(actor, task.name, task.check(given.payload))
    new = NewJob(
        task=task.name,
        payload=given.payload,
        run_at=None if given.run_at is None else round(given.run_at.timestamp() * 1000),
        priority=given.priority,
        unique_key=given.unique_key,
        tenant=tenant_for(actor, given.tenant),
        created_by=actor.name,
        max_attempts=given.max_attempts,
        timeout_s=given.timeout_s,
    )
    try:
        id_ = await make_job(rt, new)
    except IntegrityError:  # somebody was faster, between the look and the insert
        raise ConflictError(f"A job with the key '{given.unique_key}' is open already.") from None
    return await view_of(rt, id_)


def list_tasks(actor: Actor) -> list[TaskView]:
    """The kinds of jobs there are."""
    actor.require(Permission.JOBS_READ)
    return [
        TaskView(
            name=task.name,
            queue=task.queue,
            about=task.about,
            max_attempts=task.max_attempts,
            timeout_s=task.timeout_s,
            api=task.api,
            payload_schema=task.payload.model_json_schema(),
        )
        for _, task in sorted(TASKS.items())
    ]


def find_open_task(name: str) -> Task:
    """A task that anybody with the permission may ask for.

    Raises:
        InvalidError: there is none of this name, or NovaPulse alone asks for it.
    """
    task = TASKS.get(name)
    if task is None or not task.api:
        why = f"there is no task '{name}'" if task is None else f"'{name}' is made by NovaPulse itself"
        offered = ", ".join(sorted(each.name for each in TASKS.values() if each.api)) or "none"
        raise InvalidError.at("/task", f"{why}; those to ask for are {offered}")
    return task


def tenant_for(actor: Actor, wanted: str | None) -> str | None:
    """The tenant of what an actor makes.

    Raises:
        InvalidError: another than the actor's own.
    """
    if actor.tenant is None or wanted in (None, actor.tenant):
        return actor.tenant or wanted
    raise InvalidError([FieldError("/tenant", "must be your own, or left out")])


async def retry_job(rt: Runtime, actor: Actor, job_id: str) -> JobView:
    """Run now: a delayed job without waiting on, an ended one once more.

    Raises:
        NotFoundError: none of this id that the actor may see.
        ForbiddenError: it does what the actor may not.
        ConflictError: it waits or runs already, or another open job has its unique key.
    """
    actor.require(Permission.JOBS_WRITE)
    if job_id.startswith("dlv_"):
        await deliveries.retry_delivery(rt, actor, job_id)
        return await view_of(rt, job_id)
    async with rt.database.write() as session:
        row = await find_job(session, actor, job_id, lock=True)
        require_needs(actor, row.task, row.payload)
        if row.state not in TOUCHES["retry"]:
            raise ConflictError(
                "This job is running now." if row.state == JobState.ACTIVE else "This job waits for its turn already."
            )
        done = await _on(session, lambda sync: retry_on(sync, [job_id], [row.state], now=now_ms(), by=actor.name))
        if not done:
            raise ConflictError(f"Another job with the key '{row.unique_key}' is open; this one has to wait for it.")
        detail = {"task": row.task, "from": row.state}
        await audit.append(rt, session, actor, "job.retried", target=_target(row), detail=detail)
    await kick(rt, row.queue, [job_id])
    return await view_of(rt, job_id)


async def cancel_job(rt: Runtime, actor: Actor, job_id: str) -> JobView:
    """Call off a job that waits, to be taken back within ten seconds; have a running one stopped.

    Raises:
        NotFoundError: none of this id that the actor may see.
        ConflictError: it has ended.
    """
    actor.require(Permission.JOBS_WRITE)
    if job_id.startswith("dlv_"):
        delivery, was = await deliveries.cancel_and_tell(rt, actor, job_id)
        async with rt.database.write() as session:
            await _remember(session, job_id, "cancel", was, done_at=delivery.finished_at or 0)
        return await view_of(rt, job_id)
    now = now_ms()
    async with rt.database.write() as session:
        row = await find_job(session, actor, job_id, lock=True)
        if row.state not in TOUCHES["cancel"]:
            raise ConflictError(f"This job has ended: it is {row.state}.")
        called_off, _ = await _on(session, lambda sync: cancel_on(sync, [job_id], now=now, by=actor.name))
        if called_off:
            await _remember(session, job_id, "cancel", _as_it_was(row), done_at=now)
        detail = {"task": row.task, "from": row.state}
        await audit.append(rt, session, actor, "job.cancelled", target=_target(row), detail=detail)
    return await view_of(rt, job_id)


async def discard_job(rt: Runtime, actor: Actor, job_id: str) -> JobView:
    """Have a job leave in ten seconds, unless that is taken back; one that waits is not begun meanwhile.

    Raises:
        NotFoundError: none of this id that the actor may see.
        ConflictError: it runs, or it is a delivery.
    """
    actor.require(Permission.JOBS_WRITE)
    now = now_ms()
    async with rt.database.write() as session:
        if job_id.startswith("dlv_"):
            raise ConflictError("A delivery is the record of what was sent: it is kept. Cancel it instead.")
        row = await find_job(session, actor, job_id, lock=True)
        if row.state not in TOUCHES["discard"]:
            raise ConflictError("This job is running: cancel it first.")
        leaving = select(UNDO.c.job_id).where(UNDO.c.job_id == job_id, UNDO.c.act == "discard")
        if (await session.execute(leaving)).first() is not None:
            raise ConflictError("This job is discarded already.")
        if row.state in WAITS:
            await _on(session, lambda sync: cancel_on(sync, [job_id], now=now, by=actor.name))
        await _remember(session, job_id, "discard", _as_it_was(row), done_at=now)
        await _on(session, lambda sync: note(sync, [job_id], f"Discarded by {actor.name}.", now=now))
        detail = {"task": row.task, "from": row.state}
        await audit.append(rt, session, actor, "job.discarded", target=_target(row), detail=detail)
    return await view_of(rt, job_id)


async def undo_job(rt: Runtime, actor: Actor, job_id: str) -> JobView:
    """Take back a cancel or a discard of the last ten seconds. Of a bulk cancel: all that it called off, by a job.

    A bulk cancel can be taken back while it goes on and for ten seconds after it; what is returned is that job.

    Raises:
        NotFoundError: none of this id that the actor may see.
        ForbiddenError: it does what the actor may not.
        ConflictError: there is nothing to take back, it is too late, or the job has gone on since.
    """
    actor.require(Permission.JOBS_WRITE)
    now = now_ms()
    if job_id.startswith("dlv_"):
        return await _undo_delivery(rt, actor, job_id, now)
    back_id: str | None = None
    async with rt.database.write() as session:
        # Who deletes the row is who takes it back: once.
        taken = await session.execute(
            delete(UNDO)
            .where(UNDO.c.job_id == job_id, UNDO.c.until > now, UNDO.c.act != BULK)
            .returning(UNDO.c.was, UNDO.c.done_at)
        )
        undo = taken.one_or_none()
        row = await find_job(session, actor, job_id, lock=True)
        require_needs(actor, row.task, row.payload)
        if undo is None:
            raise ConflictError(_TOO_LATE)
        was: dict[str, Any] = orjson.loads(undo.was)
        if BULK in was:
            back_id = await bulk.undo_bulk(session, actor, row)
        elif was["state"] in WAITS:
            # Cancelled by that act, and by nothing since.
            back = update(JOB).where(_j.id == job_id, _j.state == JobState.CANCELLED.value)
            back = back.where(_j.finished_at == undo.done_at).values(was | {"finished_at": None, "enqueued_at": 0})
            try:
                async with session.begin_nested():
                    moved = await session.execute(back.returning(_j.id))
            except IntegrityError:
                raise ConflictError(f"Another job with the key '{row.unique_key}' is open by now.") from None
            if moved.one_or_none() is None:
                raise ConflictError("This job has gone on since: there is nothing to take back.")
        await _on(session, lambda sync: note(sync, [job_id], f"Taken back by {actor.name}.", now=now))
        await audit.append(rt, session, actor, "job.undone", target=_target(row), detail={"task": row.task})
    if back_id is not None:
        await kick(rt, row.queue, [back_id])
        return await view_of(rt, back_id)
    if was["state"] == JobState.WAITING:
        await kick(rt, row.queue, [job_id])
    return await view_of(rt, job_id)


async def pin_job(rt: Runtime, actor: Actor, job_id: str, pinned: bool) -> JobView:
    """Keep a job beyond its time and on top of lists, or no longer.

    Raises:
        NotFoundError: none of this id that the actor may see.
        ConflictError: it is a delivery.
    """
    actor.require(Permission.JOBS_WRITE)
    async with rt.database.write() as session:
        if job_id.startswith("dlv_"):
            raise ConflictError("Deliveries cannot be pinned.")
        row = await find_job(session, actor, job_id, lock=True)
        if row.pinned != pinned:
            await session.execute(update(JOB).where(_j.id == job_id).values(pinned=pinned))
            action = "job.pinned" if pinned else "job.unpinned"
            await audit.append(rt, session, actor, action, target=_target(row), detail={"task": row.task})
    return await view_of(rt, job_id)


async def _undo_delivery(rt: Runtime, actor: Actor, id_: str, now: int) -> JobView:
    u = UNDO.c
    async with rt.database.read() as session:
        undo = (await session.execute(select(UNDO).where(u.job_id == id_, u.until > now, u.act != BULK))).one_or_none()
    if undo is None:
        await deliveries.get_delivery(rt, actor, id_)  # 404 of what they may not see
        raise ConflictError(_TOO_LATE)
    await deliveries.restore_delivery(rt, actor, id_, orjson.loads(undo.was), undo.done_at)
    async with rt.database.write() as session:
        await session.execute(delete(UNDO).where(u.job_id == id_))
    return await view_of(rt, id_)


async def _remember(session: AsyncSession, id_: str, act: str, was: Mapping[str, Any], *, done_at: int) -> None:
    await session.execute(delete(UNDO).where(UNDO.c.job_id == id_))
    row = {"job_id": id_, "act": act, "until": done_at + UNDO_MS, "done_at": done_at}
    await session.execute(insert(UNDO).values(row | {"was": orjson.dumps(dict(was)).decode()}))


def _as_it_was(row: Any) -> dict[str, Any]:
    return {"state": row.state, "run_at": row.run_at, "error": row.error}


async def _on(session: AsyncSession, work: Callable[[Connection], T]) -> T:
    return await (await session.connection()).run_sync(work)


def _target(row: Any) -> tuple[str, str, str]:
    return ("job", row.id, row.task)
