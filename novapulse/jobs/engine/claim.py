"""Claiming jobs, the most urgent first: one guarded UPDATE says who runs them, and fences off whoever did before."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, select, update

from novapulse.core.database import table_of
from novapulse.jobs.engine.suspects import ISOLATED_FROM
from novapulse.jobs.models import Job, JobState

JOB = table_of(Job)

LEASE_MS = 90_000  # renewed while a worker lives; the backstop when nothing else tells of its death
_MANY = 1_000_000
ANY = 1 << 60  # ms: all of them


@dataclass(slots=True)
class Claim:
    """A job that this process may run, until its lease ends."""

    id: str
    task: str
    payload: str
    attempts: int
    crashes: int
    fence: int  # the value of `claims`: whoever claims later has a larger one
    max_attempts: int
    timeout_s: float
    priority: int
    run_at: int
    created_at: int
    created_by: str
    tenant: str | None
    trace_id: str | None
    parent_span: str | None

    @property
    def failures(self) -> int:
        """Attempts that failed by themselves; the death of a worker is none."""
        return self.attempts - self.crashes


_j = JOB.c
_PICKED = (
    select(_j.id)
    .where(
        _j.queue == bindparam("b_queue"),
        _j.state == JobState.WAITING.value,
        _j.crashes <= bindparam("b_crashes"),
        _j.created_at <= bindparam("b_made"),
    )
    .order_by(_j.priority, _j.id)
    .limit(bindparam("b_room"))
    # On Postgres workers pass each other by; SQLite has one writer at a time anyway.
    .with_for_update(skip_locked=True)
    .cte("picked")
)
# Built once: building and comparing it costs more than running it.
_TAKE = (
    update(JOB)
    .where(_j.id.in_(select(_PICKED.c.id)))
    .values(
        state=JobState.ACTIVE.value,
        claimed_by=bindparam("b_owner"),
        claims=_j.claims + 1,
        lease_until=bindparam("b_lease"),
        started_at=bindparam("b_now"),
        cancel_asked=False,
        progress=None,
        progress_text=None,
    )
    .returning(
        _j.id,
        _j.task,
        _j.payload,
        _j.attempts,
        _j.crashes,
        _j.claims,
        _j.max_attempts,
        _j.timeout_s,
        _j.priority,
        _j.run_at,
        _j.created_at,
        _j.created_by,
        _j.tenant,
        _j.trace_id,
        _j.parent_span,
    )
)
_RENEW = (
    update(JOB)
    .where(
        _j.id.in_(bindparam("b_ids", expanding=True)),
        _j.claimed_by == bindparam("b_owner"),
        _j.state == JobState.ACTIVE.value,
    )
    .values(lease_until=bindparam("b_lease"))
    .returning(_j.id, _j.claims)
)
_ASKED = select(_j.id, _j.claims).where(_j.id.in_(bindparam("b_ids", expanding=True)), _j.cancel_asked.is_(True))


def claim(
    connection: Connection, queue: str, *, owner: str, room: int, now: int, isolated: bool = True, made_until: int = ANY
) -> list[Claim]:
    """Claim up to `room` of what waits, the most urgent first.

    Without `isolated`, none that has to be the only suspect of its process; none that was made after `made_until`.
    """
    values = {
        "b_queue": queue,
        "b_room": room,
        "b_crashes": _MANY if isolated else ISOLATED_FROM - 1,
        "b_made": made_until,
        "b_owner": owner,
        "b_now": now,
        "b_lease": now + LEASE_MS,
    }
    claims = [Claim(*row) for row in connection.execute(_TAKE, values).all()]
    claims.sort(key=lambda item: (item.priority, item.id))
    return claims


def renew(connection: Connection, ids: list[str], *, owner: str, now: int) -> dict[str, int]:
    """Extend the leases of what this process still holds; the fences of those, by id."""
    rows = connection.execute(_RENEW, {"b_ids": ids, "b_owner": owner, "b_lease": now + LEASE_MS})
    return {row.id: row.claims for row in rows}


def asked_to_stop(connection: Connection, ids: list[str]) -> dict[str, int]:
    """Those of these jobs that somebody has asked to cancel, with their fences."""
    return {row.id: row.claims for row in connection.execute(_ASKED, {"b_ids": ids})}
