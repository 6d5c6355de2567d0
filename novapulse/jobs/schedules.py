"""Schedules: jobs that are made again and again, by a cron expression in a time zone.

A time that nobody was there for is made up for once, not as often as it was missed. One time is one job, whoever
fires it how often: who moves the schedule on makes the job, and its id follows from schedule and time.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import hashlib
from typing import Any

import structlog
from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from novapulse.core import exact
from novapulse.core.actor import Actor, Permission
from novapulse.core.clock import now_ms, rfc3339
from novapulse.core.database import table_of
from novapulse.core.errors import ConflictError, FieldError, InvalidError, NotFoundError, ProblemError
from novapulse.core.ids import new_id
from novapulse.core.pagination import LIMIT_DEFAULT, Page, decode_cursor, page_of
from novapulse.core.runtime import Runtime
from novapulse.jobs import cron
from novapulse.jobs.enqueue import JOB, PAYLOAD_MAX, NewJob, add_job, kick
from novapulse.jobs.hidden import MASK, hide_credentials
from novapulse.jobs.listing import view_of
from novapulse.jobs.models import Schedule
from novapulse.jobs.schemas import CronIn, CronView, JobView, ScheduleIn, SchedulePatch, ScheduleView
from novapulse.jobs.service import find_open_task, tenant_for
from novapulse.jobs.tasks import TASKS, Task, find_task, require_needs
from novapulse.security import audit

SCHEDULE = table_of(Schedule)
_s = SCHEDULE.c
_FIRED_AT_ONCE = 100
_SHOWN = 5
# Whose schedules these are may change them; for the schedules of jobs, `jobs:write` is enough.
_OWNERS = {"report.make": Permission.REPORTS_WRITE, "workflow.start": Permission.WORKFLOWS_WRITE}

log = structlog.get_logger(__name__)


async def list_schedules(
    rt: Runtime, actor: Actor, *, task: str | None = None, limit: int = LIMIT_DEFAULT, cursor: str | None = None
) -> Page[ScheduleView]:
    """Schedules, newest first."""
    actor.require(Permission.JOBS_READ)
    conditions: list[Any] = []
    if actor.tenant is not None:
        conditions.append(_s.tenant == actor.tenant)
    if task is not None:
        conditions.append(_s.task == task)
    if cursor is not None:
        conditions.append(_s.id < decode_cursor(cursor, "sch_"))
    async with rt.database.read() as session:
        statement = _with_last_state().where(*conditions).order_by(_s.id.desc()).limit(limit + 1)
        rows = (await session.execute(statement)).all()
    return page_of(rows, limit, _view, lambda row: row.id)


async def get_schedule(rt: Runtime, actor: Actor, schedule_id: str) -> ScheduleView:
    """One schedule.

    Raises:
        NotFoundError: none of this id that the actor may see.
    """
    actor.require(Permission.JOBS_READ)
    async with rt.database.read() as session:
        return _view(await _find(session, actor, schedule_id))


async def create_schedule(rt: Runtime, actor: Actor, given: ScheduleIn) -> ScheduleView:
    """Make a schedule of a task that may be asked for by name.

    Raises:
        InvalidError: task, payload, cron expression or time zone are not what they have to be; with the place.
        ForbiddenError: the task does what the actor may not.
    """
    actor.require(Permission.JOBS_WRITE)
    task = find_open_task(given.task)
    require_needs(actor, task.name, task.check(given.payload))
    async with rt.database.write() as session:
        id_ = await add_schedule(session, actor, given)
        await audit.append(rt, session, actor, "schedule.created", **_facts(id_, given.name, given.task, given.cron))
    return await _seen(rt, id_)


async def add_schedule(session: AsyncSession, actor: Actor, given: ScheduleIn) -> str:
    """Add a schedule of any task within a transaction; its id. For features, which check the actor and audit it.

    Raises:
        InvalidError: as `create_schedule`.
    """
    task = find_task(given.task)
    row = {
        "id": new_id("sch"),
        "name": given.name,
        "task": task.name,
        "payload": _checked(task, given.payload),
        "cron": " ".join(given.cron.split()),
        "timezone": given.timezone,
        "enabled": given.enabled,
        "overlap": given.overlap,
        "tenant": tenant_for(actor, given.tenant),
        "created_by": actor.name,
        "created_at": now_ms(),
        "next_run_at": _next(given.cron, given.timezone) if given.enabled else None,
    }
    await session.execute(insert(SCHEDULE).values(row))
    return str(row["id"])


async def update_schedule(rt: Runtime, actor: Actor, schedule_id: str, patch: SchedulePatch) -> ScheduleView:
    """Change what the patch names.

    Raises:
        NotFoundError: none of this id that the actor may see.
        InvalidError: as `create_schedule`.
    """
    actor.require(Permission.JOBS_WRITE)
    changes: dict[str, Any] = patch.model_dump(exclude_unset=True)
    if nulls := [name for name, value in changes.items() if value is None]:
        raise InvalidError([FieldError(f"/{name}", "must not be null; leave it out to keep it") for name in nulls])
    async with rt.database.write() as session:
        row = await _find(session, actor, schedule_id, lock=True)
        if "payload" in changes:
            if MASK in exact.dumps(changes["payload"]):
                raise InvalidError.at("/payload", "holds a value that is not shown: leave it out, or write it anew")
            changes["payload"] = _checked(find_open_task(row.task), changes["payload"])
            require_needs(actor, row.task, changes["payload"])
        if changes.get("enabled"):
            require_needs(actor, row.task, row.payload)
        if "cron" in changes:
            changes["cron"] = " ".join(changes["cron"].split())
        after = {name: changes.get(name, getattr(row, name)) for name in ("cron", "timezone", "enabled")}
        fires = _next(after["cron"], after["timezone"])
        if changes.keys() & after.keys():
            changes["next_run_at"] = fires if after["enabled"] else None
            changes["last_error"] = None
        if changes:
            await session.execute(update(SCHEDULE).where(_s.id == schedule_id).values(changes))
        facts = _facts(schedule_id, changes.get("name", row.name), row.task, after["cron"])
        facts["detail"] |= {"fields": sorted(patch.model_fields_set), "enabled": after["enabled"]}
        await audit.append(rt, session, actor, "schedule.changed", **facts)
    return await _seen(rt, schedule_id)


async def delete_schedule(rt: Runtime, actor: Actor, schedule_id: str) -> None:
    """Make no further jobs by it; those that it made stay.

    Raises:
        NotFoundError: none of this id that the actor may see.
    """
    actor.require(Permission.JOBS_WRITE)
    async with rt.database.write() as session:
        row = await _find(session, actor, schedule_id, lock=True)
        await session.execute(delete(SCHEDULE).where(_s.id == schedule_id))
        await audit.append(rt, session, actor, "schedule.deleted", **_facts(schedule_id, row.name, row.task, row.cron))


async def run_schedule(rt: Runtime, actor: Actor, schedule_id: str) -> JobView:
    """Make its job now, beside its times.

    Raises:
        NotFoundError: none of this id that the actor may see.
        ConflictError: the job before it is open, and they must not overlap.
    """
    actor.require(Permission.JOBS_WRITE)
    async with rt.database.write() as session:
        row = await _find(session, actor, schedule_id, lock=True)
        require_needs(actor, row.task, row.payload)
        try:
            id_ = await add_job(session, _job(row, new_id("job"), by=actor.name))
        except ConflictError:
            raise ConflictError(f"Its job before this one is still open: {row.last_job_id}.") from None
        await session.execute(update(SCHEDULE).where(_s.id == schedule_id).values(last_job_id=id_, last_error=None))
        facts = _facts(schedule_id, row.name, row.task, row.cron)
        facts["detail"]["job_id"] = id_
        await audit.append(rt, session, actor, "schedule.run", **facts)
    view = await view_of(rt, id_)
    await kick(rt, view.queue, [id_])
    return view


def look_at_cron(actor: Actor, given: CronIn) -> CronView:
    """What an expression means and when it fires next.

    Raises:
        InvalidError: it is none, or never fires; or there is no such time zone.
    """
    actor.require(Permission.JOBS_READ)
    times = _times(given.cron, given.timezone, now_ms(), _SHOWN)
    return CronView(explanation=cron.explain(given.cron), next=[rfc3339(at) for at in times])


async def fire_schedules(rt: Runtime) -> int:
    """Make the jobs whose time has come; how many. By the scheduler."""
    now = now_ms()
    due = select(SCHEDULE).where(_s.next_run_at <= now, _s.enabled.is_(True)).order_by(_s.next_run_at)
    async with rt.database.read() as session:
        rows = (await session.execute(due.limit(_FIRED_AT_ONCE))).all()
    fired = 0
    for row in rows:
        id_ = await _fire(rt, row, now)
        if id_ is not None:
            fired += 1
            await kick(rt, find_task(row.task).queue, [id_])
    return fired


async def _fire(rt: Runtime, row: Any, now: int) -> str | None:
    id_ = tick_id(row.id, row.next_run_at)
    try:
        after, why = _next(row.cron, row.timezone, now), None
    except InvalidError as error:  # a time zone may leave the database of time zones
        after, why = None, error.detail
    async with rt.database.write() as session:
        # Who moves it on makes its job.
        moved = await session.execute(
            update(SCHEDULE)
            .where(_s.id == row.id, _s.next_run_at == row.next_run_at, _s.enabled.is_(True))
            .values(next_run_at=after)
            .returning(_s.id)
        )
        if moved.one_or_none() is None:
            return None
        try:
            if why is None:
                async with session.begin_nested():
                    await add_job(session, _job(row, id_, by=f"schedule {row.name}"))
        except (ProblemError, IntegrityError) as error:
            why = error.detail if isinstance(error, ProblemError) else "Its job was there already."
        done: dict[str, Any] = {"last_run_at": row.next_run_at, "last_error": why and f"{rfc3339(now)}: {why}"}
        if why is None:
            done["last_job_id"] = id_
        await session.execute(update(SCHEDULE).where(_s.id == row.id).values(done))
    if why is not None:
        log.warning("schedule_made_no_job", schedule=row.id, name=row.name, why=why)
        return None
    return id_


def tick_id(schedule_id: str, at: int) -> str:
    """The id of the job that a schedule makes at a time: the same whoever makes it, and in order like any other."""
    rest = hashlib.sha256(f"{schedule_id}:{at}".encode()).hexdigest()
    return f"job_{at:012x}7{rest[:3]}8{rest[3:18]}"


def _job(row: Any, id_: str, *, by: str) -> NewJob:
    return NewJob(
        id=id_,
        task=row.task,
        payload=exact.loads(row.payload),
        unique_key=f"schedule:{row.id}" if row.overlap == "skip" else None,
        tenant=row.tenant,
        created_by=by,
        schedule_id=row.id,
    )


def _checked(task: Task, payload: Any) -> str:
    try:
        text = exact.dumps(task.check(payload).model_dump(mode="json"))
    except (TypeError, ValueError) as error:
        raise InvalidError.at("/payload", f"cannot be written as JSON: {error}"[:300]) from None
    if len(text.encode()) > PAYLOAD_MAX:
        raise InvalidError.at("/payload", f"larger than {PAYLOAD_MAX // 1024} KiB")
    return text


def _next(expression: str, timezone: str, after: int | None = None) -> int:
    return _times(expression, timezone, now_ms() if after is None else after, 1)[0]


def _times(expression: str, timezone: str, after: int, count: int) -> list[int]:
    try:
        cron.check_timezone(timezone)
    except ValueError as error:
        raise InvalidError.at("/timezone", str(error)) from None
    try:
        return cron.next_fires(expression, timezone, after, count)
    except cron.BadCronError as error:
        raise InvalidError.at("/cron", str(error)) from None


def _with_last_state() -> Any:
    return select(SCHEDULE, JOB.c.state.label("last_state")).outerjoin(JOB, JOB.c.id == _s.last_job_id)


async def _find(session: AsyncSession, actor: Actor, id_: str, *, lock: bool = False) -> Any:
    statement = _with_last_state().where(_s.id == id_)
    if lock:
        statement = statement.with_for_update(of=SCHEDULE)
    row = (await session.execute(statement)).one_or_none()
    if row is None or actor.tenant not in (None, row.tenant):
        raise NotFoundError("schedule", id_)
    if lock and row.task in _OWNERS:
        actor.require(_OWNERS[row.task])
    return row


async def _seen(rt: Runtime, id_: str) -> ScheduleView:
    async with rt.database.read() as session:
        return _view((await session.execute(_with_last_state().where(_s.id == id_))).one())


def _facts(id_: str, name: str, task: str, expression: str) -> dict[str, Any]:
    return {"target": ("schedule", id_, name), "detail": {"task": task, "cron": expression}}


def _view(row: Any) -> ScheduleView:
    task = TASKS.get(row.task)
    return ScheduleView(
        id=row.id,
        name=row.name,
        task=row.task,
        queue=task.queue if task else None,
        payload=hide_credentials(exact.loads(row.payload)),
        cron=row.cron,
        timezone=row.timezone,
        explanation=cron.explain(row.cron),
        enabled=row.enabled,
        overlap=row.overlap,
        tenant=row.tenant,
        created_by=row.created_by,
        created_at=rfc3339(row.created_at),
        next_run_at=_time(row.next_run_at),
        last_run_at=_time(row.last_run_at),
        last_job_id=row.last_job_id,
        last_state=row.last_state,
        last_error=row.last_error,
    )


def _time(ms: int | None) -> str | None:
    return None if ms is None else rfc3339(ms)
