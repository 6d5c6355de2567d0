"""What leaves: discarded jobs when they can no longer be taken back, ended ones when their time is over."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, and_, delete, false, select

from novapulse.core.batches import AT_ONCE, in_batches
from novapulse.core.clock import now_ms
from novapulse.core.ids import floor_id
from novapulse.core.runtime import Runtime
from novapulse.jobs.enqueue import JOB
from novapulse.jobs.listing import UNDO
from novapulse.jobs.models import JobState
from novapulse.jobs.selecting import QUEUES

_DAY_MS = 24 * 3600 * 1000
_DEAD_TIMES = 4  # dead jobs are kept so many times as long: somebody has to look at them
_ENDED = (JobState.COMPLETED.value, JobState.CANCELLED.value, JobState.DEAD.value)
_j = JOB.c


async def finish_discards(rt: Runtime) -> None:
    """Delete what was discarded ten seconds ago and not taken back."""
    now = now_ms()
    u = UNDO.c
    over = select(u.job_id).where(u.act == "discard", u.until <= now).limit(AT_ONCE)
    async with rt.database.read() as session:
        if (await session.execute(select(u.job_id).where(u.until <= now).limit(1))).first() is None:
            return

    def leave(connection: Connection) -> None:
        ids = list(connection.execute(over).scalars())
        connection.execute(delete(JOB).where(_j.id.in_(ids), _j.state.in_(_ENDED)))
        connection.execute(delete(UNDO).where(u.job_id.in_(ids) | and_(u.act != "discard", u.until <= now)))

    await rt.database.run_write(leave)


async def delete_old_jobs(rt: Runtime) -> int:
    """Delete ended jobs that are older than they are kept, but not pinned ones; how many."""
    now, days = now_ms(), rt.settings.job_retention_days
    deleted = 0
    for state in _ENDED:
        kept_days = days * _DEAD_TIMES if state == JobState.DEAD else days
        before = now - kept_days * _DAY_MS
        for queue in QUEUES:
            # What ended before then was made before then: of the index of state, queue and id, only that part is read.
            old = and_(_j.state == state, _j.queue == queue, _j.id < floor_id("job", before), _j.finished_at < before)
            deleted += await in_batches(lambda: _delete(rt, and_(old, _j.pinned == false())))  # noqa: B023 - run at once
    return deleted


async def _delete(rt: Runtime, old: ColumnElement[bool]) -> int:
    async with rt.database.read() as session:
        ids = list((await session.execute(select(_j.id).where(old).order_by(_j.id).limit(AT_ONCE))).scalars())
    if not ids:
        return 0
    going = delete(JOB).where(_j.id.in_(ids), old)
    return await rt.database.run_write(lambda connection: connection.execute(going).rowcount)
