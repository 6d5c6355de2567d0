"""Tasks for the pages about jobs, which the NovaPulse under test loads by `NOVAPULSE_TASK_MODULES`."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import BaseModel, Field

from novapulse.jobs.tasks import Backoff, JobContext, task

MODULE = "tests.e2e.tasks"


class Cake(BaseModel):
    """What is to be baked."""

    cake: str = "plain"
    password: str = ""
    slices: int = Field(8, ge=1)


class Slow(BaseModel):
    """How long it takes."""

    seconds: float = 30.0


@task("kitchen.bake", queue="report", payload=Cake, max_attempts=2, api=True)
async def bake(job: JobContext, payload: Cake) -> dict[str, Any]:
    """Bakes a cake."""
    await job.log(f"Baking {payload.cake}.")
    return {"cake": payload.cake, "slices": payload.slices}


@task("kitchen.burn", queue="report", payload=Cake, max_attempts=1, api=True)
async def burn(job: JobContext, payload: Cake) -> None:
    """Burns a cake: always fails."""
    await job.log("The oven is too hot.", "warning")
    raise RuntimeError(f"the cake {payload.cake} is burnt")


@task("kitchen.later", queue="report", payload=Cake, max_attempts=5, backoff=Backoff(first_s=3600.0), api=True)
async def later(job: JobContext, payload: Cake) -> None:
    """Finds no flour, and tries again in an hour."""
    raise ConnectionError("no flour in the shop")


@task("kitchen.simmer", queue="email", payload=Slow, max_attempts=1, api=True)
async def simmer(job: JobContext, payload: Slow) -> str:
    """Simmers for a while, and says how far it is."""
    steps = max(1, round(payload.seconds * 5))
    for step in range(steps):
        job.progress(step / steps, f"{step} of {steps} stirred")
        await asyncio.sleep(0.2)
    return "done"
