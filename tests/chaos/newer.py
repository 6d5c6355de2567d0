"""A task that only workers of the newer version know."""

from __future__ import annotations

from novapulse.jobs.tasks import JobContext, task
from tests.chaos.tasks import Work, _work


@task("chaos.newer", queue="workflow", payload=Work, max_attempts=1)
async def newer(job: JobContext, payload: Work) -> dict[str, int]:
    """As `chaos.work`."""
    return await _work(job, payload)
