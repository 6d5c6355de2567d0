"""Tasks of `test_workers.py`, which its worker processes load by `NOVAPULSE_TASK_MODULES`."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from pydantic import BaseModel

from novapulse.jobs.tasks import JobContext, task


class Held(BaseModel):
    """What the job does: note its begin, wait for as long as a file is there, or kill its worker."""

    ledger: str
    hold: str = ""
    kill: bool = False


@task("held.workflow", queue="workflow", payload=Held, max_attempts=1)
async def in_workflow(job: JobContext, payload: Held) -> None:
    """Waits in one queue."""
    await _act(job, payload)


@task("held.report", queue="report", payload=Held, max_attempts=1)
async def in_report(job: JobContext, payload: Held) -> None:
    """Waits in another."""
    await _act(job, payload)


async def _act(job: JobContext, payload: Held) -> None:
    with Path(payload.ledger).open("a") as ledger:  # noqa: ASYNC230 - a line
        ledger.write(f"{job.id} {os.getpid()}\n")
    if payload.kill:
        await asyncio.sleep(0.3)  # the others are under way by then
        os.kill(os.getpid(), signal.SIGKILL)
    while payload.hold and Path(payload.hold).exists():  # noqa: ASYNC240 - a look
        await asyncio.sleep(0.05)
