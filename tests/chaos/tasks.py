"""Tasks of the chaos tests, which the NovaPulse under test loads by `NOVAPULSE_TASK_MODULES`."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from pydantic import BaseModel

from novapulse.jobs.tasks import JobContext, task


class Entry(BaseModel):
    """What is written into the ledger, a file that many processes append to."""

    n: int
    ledger: str
    seconds: float = 0.0
    kill: bool = False


@task("chaos.note", queue="workflow", payload=Entry, max_attempts=1)
async def note(job: JobContext, payload: Entry) -> None:
    """Note the begin and the end; kill the worker in between, if that is asked for."""
    _write(payload, f"begin {payload.n} {job.id}")
    if payload.kill:
        os.kill(os.getpid(), signal.SIGKILL)
    await asyncio.sleep(payload.seconds)
    _write(payload, f"end {payload.n} {job.id}")


def _write(payload: Entry, line: str) -> None:
    with Path(payload.ledger).open("a") as ledger:
        ledger.write(line + "\n")
