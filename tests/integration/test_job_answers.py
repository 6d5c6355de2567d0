"""A database that does what it is told and then hangs up: nobody knows whether it did."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from asyncpg.exceptions import AdminShutdownError, ConnectionDoesNotExistError
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from novapulse.core.away import is_away
from novapulse.core.runtime import Runtime
from novapulse.jobs.engine import Engine
from novapulse.jobs.enqueue import NewJob, add_jobs_on
from novapulse.jobs.tasks import JobContext, task

ran: Counter[str] = Counter()


class Nothing(BaseModel):
    """Nothing to say."""


@task("answers.note", queue="workflow", payload=Nothing, max_attempts=1)
async def note(job: JobContext, payload: Nothing) -> None:
    """Note that it ran."""
    ran[job.id] += 1


def hung_up() -> DBAPIError:
    """As SQLAlchemy tells of a Postgres that was stopped."""
    return DBAPIError("COMMIT", None, _as_translated(ConnectionDoesNotExistError("closed in the middle of operation")))


def _as_translated(cause: Exception) -> Exception:
    error = Exception(str(cause))
    error.sqlstate = getattr(cause, "sqlstate", None)  # type: ignore[attr-defined]
    error.__cause__ = cause
    return error


async def test_what_was_claimed_by_a_lost_answer_is_run_and_what_was_recorded_is_not_run_again(
    any_rt: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran.clear()
    ids = await any_rt.database.run_write(lambda c: add_jobs_on(c, [NewJob("answers.note") for _ in range(30)]))
    stop = ids.pop(0)
    written, write = 0, any_rt.database.run_write

    async def cut_off(work: Any, *more: Any) -> Any:
        nonlocal written
        answer = await write(work, *more)
        written += 1
        if written == 1:  # it is claimed, by a worker that does not know of it, and somebody wants it stopped
            await write(lambda c: c.execute(text(f"UPDATE job SET cancel_asked = TRUE WHERE id = '{stop}'")))
        if written % 2 and written < 12:
            raise hung_up()
        return answer

    monkeypatch.setattr(any_rt.database, "run_write", cut_off)
    engine = Engine(any_rt, "workflow", "w1")
    async with asyncio.timeout(20):
        await engine.run([stop, *ids])
    await engine.stop(1)
    assert ran == dict.fromkeys(ids, 1)
    async with any_rt.database.read() as session:
        found = await session.execute(text("SELECT state, attempts, crashes, count(*) FROM job GROUP BY 1, 2, 3"))
        assert sorted(map(tuple, found)) == [("cancelled", 1, 0, 1), ("completed", 1, 0, 29)]


@pytest.mark.parametrize(
    ("error", "away"),
    [
        (hung_up(), True),
        (DBAPIError("SELECT", None, _as_translated(AdminShutdownError("terminating connection"))), True),
        (DBAPIError("SELECT", None, Exception("cannot switch to state 15"), connection_invalidated=True), True),
        (DBAPIError("SELECT", None, Exception("cannot switch to state 15")), True),
        (OperationalError("SELECT", None, Exception("database is locked")), True),
        (PoolTimeoutError("all connections are taken"), True),
        (ConnectionResetError(), True),
        (IntegrityError("INSERT", None, Exception("duplicate key")), False),
        (DBAPIError("INSERT", None, _as_translated(ValueError("invalid byte sequence"))), False),
        (StatementError("no such parameter", "SELECT", None, Exception()), False),
        (TypeError("not JSON"), False),
    ],
)
def test_away_is_not_refused(error: Exception, away: bool) -> None:
    assert is_away(error) is away
