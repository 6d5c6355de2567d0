"""The outbox's rows: one guarded UPDATE says who sends a message, and fences off whoever did before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, delete, or_, update

from novapulse.core.clock import now_ms
from novapulse.core.database import table_of
from novapulse.core.runtime import Runtime
from novapulse.mail.models import Email, EmailStatus

EMAIL = table_of(Email)

LEASE_MS = 60_000  # renewed while a worker lives; the backstop when nothing else tells of its death
_EARLY_MS = 50  # clocks of processes differ; a message this close to due is due
_KEEP_MS = 30 * 24 * 3_600_000  # how long it is remembered what was told to whom
_SENDING = EMAIL.c.status == EmailStatus.SENDING.value


@dataclass(frozen=True, slots=True)
class Claim:
    """A message this process may send, until its lease ends."""

    id: str
    recipient: str
    kind: str
    content: str
    attempts: int
    fence: int  # the value of `claims`: whoever claims later has a larger one
    created_at: int


def claim(
    connection: Connection, ids: Sequence[str], *, owner: str, takeover_from: str | None, now: int
) -> list[Claim]:
    """Claim those of `ids` that are due, or whose last owner's lease is over; the oldest first.

    `takeover_from` names a worker known to be dead: its claims need not run out first.
    """
    e = EMAIL.c
    due = and_(e.status == EmailStatus.PENDING.value, e.next_attempt_at <= now + _EARLY_MS)
    abandoned = and_(_SENDING, or_(e.lease_until < now, e.claimed_by == takeover_from))
    taken = connection.execute(
        update(EMAIL)
        .where(e.id.in_(ids), or_(due, abandoned))
        .values(status=EmailStatus.SENDING.value, claimed_by=owner, claims=e.claims + 1, lease_until=now + LEASE_MS)
        .returning(e.id, e.recipient, e.kind, e.content, e.attempts, e.claims, e.created_at)
    )
    return sorted((Claim(*row) for row in taken.all()), key=lambda item: item.id)


def renew(connection: Connection, ids: Sequence[str], *, owner: str, now: int) -> None:
    """Extend the leases of what this process still holds."""
    e = EMAIL.c
    connection.execute(
        update(EMAIL).where(e.id.in_(ids), e.claimed_by == owner, _SENDING).values(lease_until=now + LEASE_MS)
    )


def give_back(connection: Connection, claims: Sequence[Claim], *, owner: str) -> None:
    """Undo claims without an attempt."""
    for item in claims:
        _let_go(connection, item, owner, {"status": EmailStatus.PENDING.value})


def put_off(connection: Connection, item: Claim, *, owner: str, until: int, words: str) -> bool:
    """Record an attempt that is to be repeated; False: the claim was lost, nothing was written."""
    values = {"status": EmailStatus.PENDING.value, "next_attempt_at": until, "error": words}
    return _let_go(connection, item, owner, values | {"attempts": item.attempts + 1})


def finish(
    connection: Connection, item: Claim, *, owner: str, status: EmailStatus, words: str | None, now: int
) -> bool:
    """Record how it ended; False: the claim was lost, nothing was written.

    What is over needs its content no more, and it may hold a link. What was kept from nobody's eyes, because no
    server is set, stays readable for whoever runs NovaPulse.
    """
    values: dict[str, Any] = {"status": status.value, "next_attempt_at": None, "error": words, "finished_at": now}
    if status is not EmailStatus.KEPT:
        values |= {"content": None, "attempts": item.attempts + 1}
    return _let_go(connection, item, owner, values)


def _let_go(connection: Connection, item: Claim, owner: str, values: dict[str, Any]) -> bool:
    e = EMAIL.c
    done = connection.execute(
        update(EMAIL)
        .where(e.id == item.id, e.claims == item.fence, e.claimed_by == owner, _SENDING)
        .values(values | {"claimed_by": None, "lease_until": 0, "enqueued_at": 0})
    )
    return done.rowcount == 1


async def delete_old(rt: Runtime) -> None:
    """Forget messages that ended long ago."""
    async with rt.database.write() as session:
        await session.execute(delete(EMAIL).where(EMAIL.c.finished_at < now_ms() - _KEEP_MS))
