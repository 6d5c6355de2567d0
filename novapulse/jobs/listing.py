"""Looking at jobs: lists of any length, one job with all that is known of it."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from novapulse.core.actor import Actor, Permission
from novapulse.core.clock import now_ms, rfc3339
from novapulse.core.database import table_of
from novapulse.core.errors import InvalidError, NotFoundError
from novapulse.core.pagination import LIMIT_DEFAULT, decode_cursor, encode_cursor
from novapulse.core.runtime import Runtime
from novapulse.jobs.acts import BULK
from novapulse.jobs.enqueue import JOB
from novapulse.jobs.models import JobAttempt, JobLog, JobUndo
from novapulse.jobs.schemas import JobDetail, JobPage, JobView
from novapulse.jobs.selecting import DELIVERY, WINDOW, Branch, Wanted, branches, key_of
from novapulse.jobs.views import delivery_detail, delivery_job, job_detail, job_view
from novapulse.webhooks import deliveries

UNDO = table_of(JobUndo)
_ATTEMPT = table_of(JobAttempt)
_LOG = table_of(JobLog)
_LINES_MAX = 500
_ATTEMPTS_MAX = 200
_KEY = re.compile(r"[0-9a-f]{32}")


async def list_jobs(
    rt: Runtime,
    actor: Actor,
    *,
    queue: str | None = None,
    state: str | None = None,
    task: str | None = None,
    q: str | None = None,
    fingerprint: str | None = None,
    schedule_id: str | None = None,
    parent_id: str | None = None,
    pinned: bool | None = None,
    since: int | None = None,
    until: int | None = None,
    limit: int = LIMIT_DEFAULT,
    cursor: str | None = None,
) -> JobPage:
    """Jobs and deliveries, newest first; `since` and `until` bound when they were made, in ms.

    `q` is an id, or text in task, payload or unique key. It is looked for in a bounded number of jobs per page: a page
    may hold less than `limit`, or nothing, and still have a next one (`searched_back_to`).

    Raises:
        ForbiddenError: jobs may not be read, or `queue` is `webhook` and deliveries may not.
    """
    actor.require(Permission.JOBS_READ)
    if queue == "webhook":
        actor.require(Permission.DELIVERIES_READ)
    wanted = Wanted(
        queue=queue,
        state=state,
        task=task,
        q=q,
        fingerprint=fingerprint,
        schedule_id=schedule_id,
        parent_id=parent_id,
        pinned=pinned,
        since=since,
        until=until,
        tenant=actor.tenant,
        deliveries=actor.may(Permission.DELIVERIES_READ),
    )
    below = None if cursor is None else _read_cursor(cursor)
    found: list[Any] = []
    floor = ""  # below this key, a branch was not looked at
    async with rt.database.read() as session:
        for branch in branches(wanted):
            rows = await _rows(session, branch, limit + 1, below)
            found += rows
            if branch.others and len(rows) <= limit:
                last = branch.last_of_window(window=WINDOW, below=below, above=None)
                end = (await session.execute(last)).scalar_one_or_none()
                floor = max(floor, key_of(end) if end else "")
        found.sort(key=lambda row: key_of(row.id), reverse=True)
        page = [row for row in found if key_of(row.id) >= floor][:limit]
        views = await _views(session, page)
    if len(page) == limit and len(found) > limit:
        return JobPage(data=views, next_cursor=encode_cursor(f"at_{key_of(page[-1].id)}"), searched_back_to=None)
    if floor:
        back_to = rfc3339(int(floor[:12], 16))
        return JobPage(data=views, next_cursor=encode_cursor(f"at_{floor}"), searched_back_to=back_to)
    return JobPage(data=views, next_cursor=None, searched_back_to=None)


async def get_job(rt: Runtime, actor: Actor, job_id: str) -> JobDetail:
    """One job, or delivery, with all that is known of it.

    Raises:
        NotFoundError: none of this id that the actor may see.
    """
    actor.require(Permission.JOBS_READ)
    if job_id.startswith("dlv_"):
        detail = await deliveries.get_delivery(rt, actor, job_id)
        return delivery_detail(await view_of(rt, job_id), detail)
    async with rt.database.read() as session:
        row = await find_job(session, actor, job_id)
        undo = await _undos(session, [job_id])
        tries = select(_ATTEMPT).where(_ATTEMPT.c.job_id == job_id).order_by(_ATTEMPT.c.number.desc())
        attempts = (await session.execute(tries.limit(_ATTEMPTS_MAX))).all()
        written = select(_LOG).where(_LOG.c.job_id == job_id).order_by(_LOG.c.id.desc())
        lines = (await session.execute(written.limit(_LINES_MAX))).all()
        family = select(JOB.c.state, func.count()).where(JOB.c.parent_id == job_id).group_by(JOB.c.state)
        children = {row[0]: row[1] for row in (await session.execute(family)).all()}
    return job_detail(row, undo.get(job_id), attempts[::-1], lines[::-1], children)


async def view_of(rt: Runtime, job_id: str) -> JobView:
    """One job or delivery, whoever asks.

    Raises:
        NotFoundError: there is none of this id.
    """
    async with rt.database.read() as session:
        table = DELIVERY if job_id.startswith("dlv_") else JOB
        row = (await session.execute(select(table).where(table.c.id == job_id))).one_or_none()
        if row is None:
            raise NotFoundError("job", job_id)
        return (await _views(session, [row]))[0]


async def find_job(session: AsyncSession, actor: Actor, job_id: str, *, lock: bool = False) -> Any:
    """The row of a job; locked before a change, so that a worker's claim and a person's act do not cross.

    Raises:
        NotFoundError: none of this id that the actor may see.
    """
    statement = select(JOB).where(JOB.c.id == job_id)
    row = (await session.execute(statement.with_for_update() if lock else statement)).one_or_none()
    if row is None or actor.tenant not in (None, row.tenant):
        raise NotFoundError("job", job_id)
    return row


async def _rows(session: AsyncSession, branch: Branch, limit: int, below: str | None) -> list[Any]:
    statement = branch.rows(list(branch.table.c), limit=limit, window=WINDOW, below=below, above=None)
    return list((await session.execute(statement)).all())


async def _views(session: AsyncSession, rows: list[Any]) -> list[JobView]:
    undos = await _undos(session, [row.id for row in rows])
    return [
        (delivery_job if row.id.startswith("dlv_") else job_view)(row, undos.get(row.id))  # one shape for both
        for row in rows
    ]


async def _undos(session: AsyncSession, ids: list[str]) -> dict[str, Any]:
    u = UNDO.c
    live = and_(or_(u.until > now_ms(), u.act == "discard"), u.act != BULK)
    return {row.job_id: row for row in (await session.execute(select(UNDO).where(u.job_id.in_(ids), live))).all()}


def _read_cursor(cursor: str) -> str:
    key = key_of(decode_cursor(cursor, "at_"))
    if not _KEY.fullmatch(key):
        raise InvalidError.at("/cursor", "this cursor is not one of this list; start without one")
    return key
