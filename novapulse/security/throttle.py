"""Failures in a row, counted in the database: from the fifth on, each doubles a wait in which no try is judged.

A try counts as failed before it is judged, and a success takes that back, so that many tries at once are no way
around the limit (OWASP: count per account, not per address). From the hundredth failure in a row on, one try a day is
judged (NIST SP 800-63B-4, 3.2.2, allows a hundred).
"""

from __future__ import annotations

from typing import cast

from sqlalchemy import CursorResult, delete, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.ext.asyncio import AsyncSession

from novapulse.core.clock import now_ms
from novapulse.core.database import table_of
from novapulse.core.errors import LimitedError
from novapulse.core.runtime import Runtime
from novapulse.security.models import Throttle

FREE_FAILURES = 5
WAIT_MAX_S = 15 * 60
FAILURES_MAX = 100
WAIT_AFTER_MAX_S = 24 * 3600
_FORGOTTEN_MS = 30 * 24 * 3600 * 1000
_THROTTLE = table_of(Throttle)


async def count_try(rt: Runtime, key: str) -> None:
    """Count a try as failed, before it is judged.

    Raises:
        LimitedError: it must not be judged; says how long to wait.
    """
    t, now = _THROTTLE.c, now_ms()
    insert = sqlite_insert if rt.database.is_sqlite else pg_insert
    row = insert(_THROTTLE).values(key=key, failures=1, locked_until=0, updated_at=now)
    async with rt.database.write() as session:
        # One statement: who succeeds at the same time deletes the row, and it must not be missed in between.
        counted = await session.execute(
            row.on_conflict_do_update(
                index_elements=["key"],
                set_={"failures": t.failures + 1, "updated_at": now},
                where=t.locked_until <= now,
            ).returning(t.failures)
        )
        failures = counted.scalar_one_or_none()
        if failures is not None and failures >= FREE_FAILURES:
            await session.execute(update(_THROTTLE).where(t.key == key).values(locked_until=now + _wait_ms(failures)))
        found = await session.execute(select(t.locked_until).where(t.key == key))
        locked_until = found.scalar_one_or_none() or now  # forgotten just now: at once again
    if failures is None:
        wait_s = (locked_until - now) // 1000 + 1
        raise LimitedError("Too many failed tries; wait before the next one.", wait_s)


async def forget(rt: Runtime, key: str) -> None:
    """A try succeeded: what failed before counts no more."""
    async with rt.database.write() as session:
        await session.execute(delete(_THROTTLE).where(_THROTTLE.c.key == key))


async def forget_all(session: AsyncSession, key: str) -> None:
    """The same for every device that a key's last part may name, within the transaction of `session`."""
    named = key.rpartition(":")[0] + ":"
    await session.execute(delete(_THROTTLE).where(_THROTTLE.c.key.startswith(named, autoescape=True)))


async def touch(session: AsyncSession, key: str) -> None:
    """Note a try that is not judged; it takes as long as counting one of somebody who exists."""
    await session.execute(update(_THROTTLE).where(_THROTTLE.c.key == key).values(updated_at=now_ms()))


async def delete_old(rt: Runtime) -> int:
    """Housekeeping: drop what nobody has tried for a month; how many."""
    async with rt.database.write() as session:
        done = await session.execute(delete(_THROTTLE).where(_THROTTLE.c.updated_at < now_ms() - _FORGOTTEN_MS))
    return cast("CursorResult[tuple[()]]", done).rowcount


def _wait_ms(failures: int) -> int:
    if failures >= FAILURES_MAX:
        return WAIT_AFTER_MAX_S * 1000
    return min(WAIT_MAX_S, 2 ** min(failures - FREE_FAILURES, 20)) * 1000
