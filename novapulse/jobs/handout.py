"""Handing out jobs that are owed: whose time has come, what was never queued, what a dead worker held.

Run by the elected scheduler. The database is the truth: whatever Valkey lost is found here again.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable

import structlog
from redis.exceptions import RedisError
from sqlalchemy import Connection, and_, bindparam, or_, select, text, update

from novapulse.core.clock import now_ms
from novapulse.core.queues import DeadOwners, oldest_queued_at
from novapulse.core.runtime import Runtime
from novapulse.jobs.engine.claim import JOB, LEASE_MS
from novapulse.jobs.engine.record import is_overdue, recover
from novapulse.jobs.enqueue import RUN_TASK, UNMARKED_MS
from novapulse.jobs.models import JobState

QUEUES = ("email", "workflow", "report")
_ROWS = 5_000  # per queue and tick
_BATCH = 100
_SLACK_MS = 3_000  # between the mark of a job and its arrival in the queue
CARE_EVERY_S = 1.0  # how often lost jobs and those of dead workers are looked for

log = structlog.get_logger(__name__)
_j = JOB.c
_WAITING, _DELAYED = JobState.WAITING.value, JobState.DELAYED.value
# In the words of the index `ix_job_due`: with parameters in their place, the database cannot tell that it holds them.
_OPEN = text("state IN ('waiting', 'active', 'delayed')")
_DUE = (
    select(_j.id)
    .where(
        _OPEN,
        _j.queue == bindparam("b_queue"),
        _j.enqueued_at == 0,
        _j.run_at <= bindparam("b_now"),
        # What waits was put there by whoever made it, who marks it a moment later; if not, it is done here.
        or_(_j.state == _DELAYED, and_(_j.state == _WAITING, _j.run_at <= bindparam("b_unmarked"))),
    )
    .limit(_ROWS)
)
_LOST = (
    select(_j.id)
    .where(
        _OPEN,
        _j.queue == bindparam("b_queue"),
        _j.enqueued_at > 0,
        _j.enqueued_at < bindparam("b_before"),
        _j.state == _WAITING,
    )
    .limit(_ROWS)
)


async def hand_out_jobs(rt: Runtime) -> int:
    """Put on the queues what is due and not there; how many jobs that were."""
    care = rt.part(_Care)
    caring = await care.run_if_due()
    handed = 0
    for queue in QUEUES:
        now = now_ms()
        due = {"b_queue": queue, "b_now": now, "b_unmarked": now - UNMARKED_MS}
        async with rt.database.read() as session:
            ids = list((await session.execute(_DUE, due)).scalars())
            if caring:
                before = await oldest_queued_at(rt, queue, now) - _SLACK_MS
                lost = list((await session.execute(_LOST, {"b_queue": queue, "b_before": before})).scalars())
                if lost:
                    log.warning("jobs_lost_from_queue", queue=queue, jobs=len(lost), then="handed out again")
                ids += lost
        if not ids:
            continue
        # Marked first: if the queue does not take them, they count as lost after a while and come again.
        ids = await rt.database.run_write(lambda connection: _mark(connection, ids, now))  # noqa: B023 - run at once
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            await rt.enqueue(queue, RUN_TASK, [ids[at : at + _BATCH] for at in range(0, len(ids), _BATCH)])
            handed += len(ids)
    return handed


def _mark(connection: Connection, ids: list[str], now: int) -> list[str]:
    marked: list[str] = []
    for at in range(0, len(ids), 500):
        done = connection.execute(
            update(JOB)
            .where(_j.id.in_(ids[at : at + 500]), _j.state.in_([_WAITING, _DELAYED]), _j.run_at <= now)
            .values(state=_WAITING, enqueued_at=now)
            .returning(_j.id)
        )
        marked += done.scalars()
    return sorted(marked)


class _Care:
    """The slower round: claims of dead workers, and of those that live and hang."""

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt
        self._next = 0.0
        self._dead = DeadOwners(rt)
        self._overdue: dict[str, float] = {}  # job -> since when it is seen to be overdue

    async def run_if_due(self) -> bool:
        if time.monotonic() < self._next:
            return False
        self._next = time.monotonic() + CARE_EVERY_S
        active = _j.state == JobState.ACTIVE.value
        async with self._rt.database.read() as session:
            owners = set((await session.execute(select(_j.claimed_by).where(active).distinct())).scalars())
            late = select(_j.id).where(active, is_overdue(now_ms())).limit(_ROWS)
            hung = self._long_overdue((await session.execute(late)).scalars())
        dead = await self._dead.among(owner for owner in owners if owner)
        if dead or hung:
            found = await self._rt.database.run_write(
                lambda connection: recover(connection, now=now_ms(), owners=dead, hung=hung)
            )
            if found:
                jobs = [(each.id, each.state.value) for each in found]
                log.warning("jobs_of_dead_workers", workers=dead, jobs=jobs)
        return True

    def _long_overdue(self, ids: Iterable[str]) -> list[str]:
        """Those of which that was seen for half a lease.

        When a clock jumps, or the machine slept, all that runs is overdue at once; in a third of a lease those who live
        have renewed theirs.
        """
        now = time.monotonic()
        self._overdue = {id_: self._overdue.get(id_, now) for id_ in ids}
        return [id_ for id_, since in self._overdue.items() if now - since > LEASE_MS / 2000]
