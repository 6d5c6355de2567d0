"""Tries to sign in as somebody: counted per hour, network and result, which is bounded however many there are."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel
from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.ext.asyncio import AsyncSession

from novapulse.core.actor import Actor
from novapulse.core.clock import now_ms, rfc3339
from novapulse.core.database import table_of
from novapulse.core.runtime import Runtime
from novapulse.metrics.definitions import SIGN_INS
from novapulse.security import audit, throttle
from novapulse.security.devices import Caller, name_of, network_of
from novapulse.security.models import Session, SignInCount, User

Result = Literal["ok", "wrong_password", "wrong_code", "limited"]
KEPT_DAYS = 90
_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
_ROWS_MAX = 5000
_COUNT = table_of(SignInCount)
_SESSION = table_of(Session)


class AttemptsView(BaseModel):
    """Tries of one hour from one network that ended alike."""

    hour: str
    network: str
    result: Result
    count: int
    last_at: str


class SignInView(BaseModel):
    """A sign-in that succeeded."""

    at: str
    ip: str
    network: str
    device: str
    methods: list[str]


async def count(rt: Runtime, session: AsyncSession, user_id: str, result: Result, ip: str) -> None:
    """Count a try within the transaction of `session`."""
    SIGN_INS.add(1, result)
    now = now_ms()
    insert = sqlite_insert if rt.database.is_sqlite else pg_insert
    row = insert(_COUNT).values(
        user_id=user_id, hour=now - now % _HOUR_MS, network=network_of(ip), result=result, count=1, last_at=now
    )
    await session.execute(
        row.on_conflict_do_update(
            index_elements=["user_id", "hour", "network", "result"],
            set_={"count": _COUNT.c.count + 1, "last_at": now},
        )
    )


async def note_failure(
    rt: Runtime, user: User | None, act: str, result: Result, caller: Caller, throttle_key: str
) -> None:
    """Count a try that failed, and record it, unless it was not even judged: a flood must not fill the log.

    Nobody's (`user` is None) takes as long.
    """
    async with rt.database.write() as session:
        if user is None:
            SIGN_INS.add(1, result)
            await throttle.touch(session, throttle_key)
        else:
            await count(rt, session, user.id, result, caller.ip)
        if result != "limited":
            # What was typed as the address may be a password: it is not kept.
            target = ("user", "", "") if user is None else ("user", user.id, user.email)
            detail = {"why": result, "device": name_of(caller.user_agent)}
            somebody = Actor("user", "", "Somebody", frozenset(), ip=caller.ip)
            await audit.append(rt, session, somebody, f"{act}.failed", target=target, result="failed", detail=detail)


async def list_attempts(rt: Runtime, actor: Actor, days: int) -> list[AttemptsView]:
    """Tries to sign in as the actor, latest first."""
    c = _COUNT.c
    async with rt.database.read() as session:
        rows = await session.execute(
            select(c.hour, c.network, c.result, c.count.label("tries"), c.last_at)
            .where(c.user_id == actor.id, c.hour > now_ms() - days * _DAY_MS)
            .order_by(c.hour.desc(), c.last_at.desc())
            .limit(_ROWS_MAX)
        )
        return [
            AttemptsView(
                hour=rfc3339(row.hour),
                network=row.network,
                result=row.result,
                count=row.tries,
                last_at=rfc3339(row.last_at),
            )
            for row in rows
        ]


async def last_sign_ins(rt: Runtime, actor: Actor) -> list[SignInView]:
    """The actor's last sign-ins that succeeded, latest first."""
    s = _SESSION.c
    async with rt.database.read() as session:
        rows = await session.execute(
            select(_SESSION).where(s.user_id == actor.id).order_by(s.created_at.desc()).limit(10)
        )
        return [
            SignInView(
                at=rfc3339(row.created_at),
                ip=row.ip,
                network=network_of(row.ip),
                device=name_of(row.user_agent),
                methods=row.methods.split(),
            )
            for row in rows
        ]


async def delete_old(rt: Runtime) -> None:
    """Housekeeping."""
    async with rt.database.write() as session:
        await session.execute(delete(_COUNT).where(_COUNT.c.hour < now_ms() - KEPT_DAYS * _DAY_MS))
