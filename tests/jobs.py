"""Running jobs within a test: what the workers and the scheduler do, in this process, until nothing is left to do."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sqlalchemy import func, select

from novapulse.core.runtime import Runtime
from novapulse.jobs.engine import Engine
from novapulse.jobs.handout import QUEUES, hand_out_jobs
from novapulse.jobs.models import Job, JobState
from novapulse.tasks import load_all_tasks

_LIMIT_S = 60.0


async def run_jobs(rt: Runtime, queues: Sequence[str] = QUEUES) -> None:
    """Run what is due, and what that makes, until nothing waits or runs. What is delayed stays: it is not due.

    To have a delayed job run, set its `run_at` to the past first: it is due then.
    """
    load_all_tasks(rt.settings)
    engines = [Engine(rt, queue, "test") for queue in queues]
    try:
        async with asyncio.timeout(_LIMIT_S):
            while True:
                await hand_out_jobs(rt)
                open_ = await _open(rt, queues)
                if not open_:
                    return
                # An engine runs as many as it is promised; which those are, it looks up.
                await asyncio.gather(
                    *(engine.run(["due"] * open_[engine.queue]) for engine in engines if engine.queue in open_)
                )
    finally:
        await asyncio.gather(*(engine.stop(1) for engine in engines))


async def _open(rt: Runtime, queues: Sequence[str]) -> dict[str, int]:
    """How many wait or run, by queue."""
    states = (JobState.WAITING.value, JobState.ACTIVE.value)
    async with rt.database.read() as session:
        rows = await session.execute(
            select(Job.queue, func.count()).where(Job.state.in_(states), Job.queue.in_(queues)).group_by(Job.queue)  # type: ignore[attr-defined]
        )
        return {row[0]: row[1] for row in rows}
