"""Tasks of the chaos tests, which the processes under test load by `NOVAPULSE_TASK_MODULES`.

What they do is written into a ledger, a table of its own: each run of a job, and each side effect by its key, as a
careful receiver would do it. By the environment, what takes minutes is scaled down, and the clock can be turned.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import signal
import sqlite3
import struct
import time
from functools import cache
from pathlib import Path
from types import FunctionType, SimpleNamespace
from typing import Any

from pydantic import BaseModel

from novapulse.core import clock, database
from novapulse.jobs import engine, handout
from novapulse.jobs.engine import claim, record, run
from novapulse.jobs.tasks import Backoff, JobContext, RetryLater, task

LEDGER, CLOCK = "CHAOS_LEDGER", "CHAOS_CLOCK"
LEASE_S, LOCK_S, UNKNOWN_S = 3.0, 0.5, 0.4  # in place of 90, 15 and 10
TABLES = """
    CREATE TABLE run (job TEXT, attempt INT, pid INT, began REAL, ended REAL);
    CREATE TABLE effect (key TEXT PRIMARY KEY, asked INT);
    CREATE TABLE kill (at TEXT PRIMARY KEY);
"""


class Work(BaseModel):
    """What a job of these tests is to do."""

    seconds: float = 0.0
    kill: bool = False  # its worker, on each run
    fail: int = 0  # so many attempts
    busy: bool = False  # hold up the event loop of the worker
    padding: str = ""


async def _work(job: JobContext, payload: Work) -> dict[str, int]:
    at = _ledger().execute(
        "INSERT INTO run (job, attempt, pid, began) VALUES (?, ?, ?, ?)",
        (job.id, job.attempt, os.getpid(), time.time()),
    )
    if payload.kill:
        os.kill(os.getpid(), signal.SIGKILL)
    if payload.busy:
        time.sleep(payload.seconds)  # noqa: ASYNC251 - that is the point
    elif payload.seconds:
        await asyncio.sleep(payload.seconds)
    if job.attempt <= payload.fail:
        raise RetryLater("not yet", 0.1)
    _ledger().execute(
        "INSERT INTO effect (key, asked) VALUES (?, 1) ON CONFLICT DO UPDATE SET asked = asked + 1", (job.id,)
    )
    _ledger().execute("UPDATE run SET ended = ? WHERE rowid = ?", (time.time(), at.lastrowid))
    return {"pid": os.getpid()}


@task("chaos.work", queue="workflow", payload=Work, max_attempts=2, backoff=Backoff(first_s=0.1))
async def work(job: JobContext, payload: Work) -> dict[str, int]:
    """Note the begin, the side effect and the end."""
    return await _work(job, payload)


@task("chaos.narrow", queue="report", payload=Work, max_attempts=2)
async def narrow(job: JobContext, payload: Work) -> dict[str, int]:
    """The same on a queue of which a worker has one slot."""
    return await _work(job, payload)


@cache
def _ledger() -> sqlite3.Connection:
    connection = sqlite3.connect(os.environ[LEDGER], isolation_level=None, timeout=30)
    connection.execute("PRAGMA synchronous=OFF")  # what a killed process has written is there all the same
    return connection


def _scale() -> None:
    for module in (claim, record, handout):
        module.LEASE_MS = round(LEASE_S * 1000)
    engine._LEASE_EVERY = round(LEASE_S / 3 / engine._KEEP_S)
    run._UNKNOWN_RETRY_MS = round(UNKNOWN_S * 1000)
    # Of the hot path only: the others tell by the same number which way they are.
    patient = vars(database) | {"_BUSY_TIMEOUT_MS": round(LOCK_S * 1000)}
    database._begin_patiently = FunctionType(database._begin_patiently.__code__, patient)


def _turnable_clock(file: Path) -> Any:
    """The clock of `core.clock`, plus what the first eight bytes of the file say, in seconds."""
    with file.open("rb") as opened:
        shared = mmap.mmap(opened.fileno(), 8, access=mmap.ACCESS_READ)
    offset = struct.Struct("<q")
    return SimpleNamespace(time_ns=lambda: time.time_ns() + offset.unpack(shared[:8])[0] * 1_000_000_000)


if LEDGER in os.environ:  # a process under test, not the tests themselves
    _scale()
    clock.time = _turnable_clock(Path(os.environ[CLOCK]))
