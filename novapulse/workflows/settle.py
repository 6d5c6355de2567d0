"""What falls between two stools: a step whose job ended without it, and old runs. Done by the scheduler."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from sqlalchemy import Connection, delete, exists, or_, select, update

from novapulse.core.clock import now_ms
from novapulse.core.runtime import Runtime
from novapulse.jobs.enqueue import JOB
from novapulse.jobs.models import JobState
from novapulse.workflows.models import RunState
from novapulse.workflows.plan import StepState
from novapulse.workflows.store import ADVANCE, RUN, STEP, Moved, advance_on, begin, finish_on

_BATCH = 200
_STUCK_AFTER_MS = 60_000
_r, _s, _j = RUN.c, STEP.c, JOB.c


async def settle_runs(rt: Runtime) -> None:
    """Have runs go on whose step's job was cancelled, killed its workers, or was deleted: that step failed."""
    now = now_ms()
    moved = await rt.database.run_write(lambda connection: _settle(connection, now))
    for each in moved:
        await begin(rt, each)


def _settle(connection: Connection, now: int) -> list[Moved]:
    ended = (JobState.DEAD.value, JobState.CANCELLED.value, JobState.COMPLETED.value)
    lost = connection.execute(
        select(_s.run_id, _s.key, _s.job_id, _j.state, _j.error)
        .select_from(STEP.outerjoin(JOB, _j.id == _s.job_id))
        .where(_s.state == StepState.RUNNING.value, _s.job_id.is_not(None), or_(_j.id.is_(None), _j.state.in_(ended)))
        .order_by(_s.run_id)
        .limit(_BATCH)
    ).all()
    moved: list[Moved | None] = []
    for row in lost:
        why = row.error or ("Its job ended without it." if row.state else "Its job is gone: somebody discarded it.")
        moved.append(finish_on(connection, row.run_id, row.key, row.job_id, now, error=why))
    return [each for each in moved if each is not None] + _carry_on(connection, now)


def _carry_on(connection: Connection, now: int) -> list[Moved]:
    """Runs that nobody carries on: the job that was to do it is not there any more."""
    open_jobs = exists(
        select(_j.id).where(
            _j.parent_id == _r.id, _j.state.not_in((JobState.DEAD.value, JobState.CANCELLED.value, "completed"))
        )
    )
    stuck = connection.execute(
        select(_r.id)
        .where(_r.state == RunState.RUNNING.value, _r.created_at < now - _STUCK_AFTER_MS, ~open_jobs)
        .order_by(_r.id)
        .limit(_BATCH)
    )
    moved: list[Moved] = []
    for run_id in stuck.scalars().all():
        dead = connection.execute(
            select(_j.error).where(_j.parent_id == run_id, _j.task == ADVANCE, _j.state == JobState.DEAD.value)
        ).first()
        if dead is not None:
            # It failed again and again: what is wrong is in its job.
            why = f"It could not be carried on: {dead.error}"[:2_000]
            connection.execute(
                update(RUN).where(_r.id == run_id).values(state=RunState.FAILED.value, error=why, finished_at=now)
            )
        else:
            each = advance_on(connection, run_id, now)
            moved += [] if each is None else [each]
    return moved


async def delete_old_runs(rt: Runtime) -> None:
    """Delete runs that ended long ago, with their steps."""
    before = now_ms() - rt.settings.run_retention_days * 86_400_000
    old = select(_r.id).where(_r.finished_at < before).limit(_BATCH)
    await rt.database.run_write(lambda connection: connection.execute(delete(RUN).where(_r.id.in_(old))))
