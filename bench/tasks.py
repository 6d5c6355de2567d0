"""The task that `bench.jobs` measures, loaded by the NovaPulse under test with `NOVAPULSE_TASK_MODULES`."""

from __future__ import annotations

from pydantic import BaseModel

from novapulse.jobs.tasks import JobContext, task


class Nothing(BaseModel):
    """What a job carries."""

    n: int = 0


@task("bench.nothing", queue="report", payload=Nothing)
async def nothing(job: JobContext, payload: Nothing) -> None:
    """Do nothing."""
