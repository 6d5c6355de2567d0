"""What falls between two stools: a step whose job ended without it, and old runs. Done by the scheduler."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, delete, exists, or_, select, update

from novapulse.core.batches import in_batches
from novapulse.core.clock import now_ms
from novapulse.core.runtime import Runtime
from novapulse.jobs.enqueue import JOB
from novapulse.jobs.models import JobState
from novapulse.workflows.models import RunState
from novapulse.workflows.plan import StepState
from novapulse.workflows.store import ADVANCE, RUN, STEP, Moved, advance_on, begin, finish_on

_BATCH = 200
_ENDED = (JobState.DEAD.value, JobState.CANCELLED.value, JobState.COMPLETED.value)
_STUCK_AFTER_MS = 60_000
_r, _s, _j = RUN.c, STEP.c, JOB.c


async def settle_runs(rt: Runtime) -> None:
    """Have runs go on whose step's job was cancelled, killed its workers, or was deleted: that step failed."""
    now = now_ms()
    async with rt.database.read() as session:
        # Nearly always there is nothing: whoever writes is not to wait for finding that out.
        if not (await session.execute(_lost().limit(1))).all() and not (await session.execute(_stuck(now))).all():
            return
    moved = await rt.database.run_write(lambda connection: _settle(connection, now))
    for each in moved:
        await begin(rt, each)


def _lost() -> Any:
    """Steps that run no more, although nobody has said how they ended."""
    ended = or_(_j.id.is_(None), _j.state.in_(_ENDED))
    return (
        select(_s.run_id, _s.key, _s.job_id, _j.state, _j.error)
        .select_from(STEP.outerjoin(JOB, _j.id == _s.job_id))
        .where(_s.state == StepState.RUNNING.value, _s.job_id.is_not(None), ended)
        .order_by(_s.run_id)
        .limit(_BATCH)
    )


def _stuck(now: int) -> Any:
    """Runs that nobody carries on: the job that was to do it is not there any more."""
    open_job = exists(select(_j.id).where(_j.parent_id == _r.id, _j.state.not_in(_ENDED)))
    return (
        select(_r.id)
        .where(_r.state == RunState.RUNNING.value, _r.created_at < now - _STUCK_AFTER_MS, ~open_job)
        .order_by(_r.id)
        .limit(_BATCH)
    )


def _settle(connection: Connection, now: int) -> list[Moved]:
    lost = connection.execute(_lost()).all()
    moved: list[Moved | None] = []
    for row in lost:
        why = row.error or ("Its job ended without it." if row.state else "Its job is gone: somebody discarded it.")
        moved.append(finish_on(connection, row.run_id, row.key, row.job_id, now, error=why))
    return [each for each in moved if each is not None] + _carry_on(connection, now)


def _carry_on(connection: Connection, now: int) -> list[Moved]:
    stuck = connection.execute(_stuck(now))
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
    await in_batches(
        lambda: rt.database.run_write(
            lambda connection: connection.execute(delete(RUN).where(_r.id.in_(old))).rowcount
        ),
        _BATCH,
    )
