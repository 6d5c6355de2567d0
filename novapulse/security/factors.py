"""Second factors that are typed: which somebody has, and telling a right code from a wrong one.

Each code of an authenticator counts once, across all web processes (RFC 6238, 5.2), and so does each recovery code
(OWASP ASVS 5.0, 6.5.1). Failures are counted apart from those of passwords, and apart for each known device.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import and_, case, delete, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from novapulse.core.actor import Actor
from novapulse.core.clock import now_ms
from novapulse.core.database import table_of
from novapulse.core.errors import ConflictError, LimitedError
from novapulse.core.ids import new_id
from novapulse.core.runtime import Runtime
from novapulse.security import attempts, audit, devices, notices, recovery, throttle, totp
from novapulse.security.devices import Caller
from novapulse.security.models import Passkey, RecoveryCode, Totp, User
from novapulse.security.notices import Notice

CLOCK_OFF = "urn:novapulse:problem:clock-off"
Kind = Literal["totp", "recovery_code"]
Method = Literal["totp", "passkey", "recovery_code"]
_WRONG = "This code is wrong. Type the one that your authenticator shows now, or a recovery code."
_USED = "This code has been used. Wait for your authenticator to show the next one."
_OFF = "This code is right, but for another time: your phone's clock is off. Set it to automatic, and try again."
_TOTP, _CODE, _PASSKEY = table_of(Totp), table_of(RecoveryCode), table_of(Passkey)


class WrongCodeError(Exception):
    """The code proves nothing; `type` is the problem type that programs tell this by."""

    def __init__(self, detail: str = _WRONG, type_: str = "about:blank") -> None:
        super().__init__(detail)
        self.detail = detail
        self.type = type_


@dataclass(frozen=True, slots=True)
class Proof:
    """A code that was right."""

    kind: Kind
    name: str
    at: int


async def methods_of(session: AsyncSession, user_id: str) -> list[Method]:
    """By what somebody may show their second factor; empty: they have none."""
    apps, passkeys, codes = await _counts(session, user_id)
    if not apps and not passkeys:
        return []
    has: dict[Method, int] = {"totp": apps, "passkey": passkeys, "recovery_code": codes}
    return [method for method, count in has.items() if count]


async def has_factors(session: AsyncSession, user_id: str) -> bool:
    """Whether somebody has a second factor: an authenticator that is set up, or a passkey."""
    return await count_factors(session, user_id) > 0


async def count_factors(session: AsyncSession, user_id: str) -> int:
    """How many authenticators and passkeys somebody has."""
    apps, passkeys, _ = await _counts(session, user_id)
    return apps + passkeys


async def require_another(session: AsyncSession, user_id: str) -> None:
    """Refuse to remove somebody's last factor.

    Raises:
        ConflictError: it is the last.
    """
    if await count_factors(session, user_id) <= 1:
        raise ConflictError("This is your last second factor. Add another first, or turn two-factor sign-in off.")


async def codes_left(session: AsyncSession, user_id: str) -> int:
    """How many recovery codes somebody has."""
    return (await _counts(session, user_id))[2]


async def _counts(session: AsyncSession, user_id: str) -> tuple[int, int, int]:
    apps = select(func.count()).where(_TOTP.c.user_id == user_id, _TOTP.c.confirmed_at.is_not(None))
    passkeys = select(func.count()).where(_PASSKEY.c.user_id == user_id)
    codes = select(func.count()).where(_CODE.c.user_id == user_id, _CODE.c.used_at.is_(None))
    queries = select(apps.scalar_subquery(), passkeys.scalar_subquery(), codes.scalar_subquery())
    found = (await session.execute(queries)).one()
    return found[0], found[1], found[2]


async def judge(
    rt: Runtime, user: User, typed: str, caller: Caller, device_id: str | None, act: str, *, burn: bool = True
) -> Proof:
    """Which factor of this user the code is of, and use it up; a recovery code only if it is to `burn`.

    A failure is recorded as `<act>.failed`.

    Raises:
        WrongCodeError: it is wrong, was used, or is of another time.
        LimitedError: too many wrong codes; this one is not judged.
    """
    key = f"code:{user.id}:{device_id or 'stranger'}"
    try:
        await throttle.count_try(rt, key)
    except LimitedError:
        await attempts.note_failure(rt, user, act, "limited", caller, key)
        raise
    try:
        proof = await _prove(rt, user, typed, caller, burn)
    except WrongCodeError:
        await attempts.note_failure(rt, user, act, "wrong_code", caller, key)
        raise
    await throttle.forget(rt, key)
    return proof


async def _prove(rt: Runtime, user: User, typed: str, caller: Caller, burn: bool) -> Proof:
    digits = totp.clean_code(typed)
    if digits is not None:
        return await _prove_totp(rt, user.id, digits)
    code = recovery.clean_code(typed)
    if code is not None:
        return await _prove_recovery_code(rt, user, code, caller, burn)
    raise WrongCodeError()


async def _prove_totp(rt: Runtime, user_id: str, code: str) -> Proof:
    t, now = _TOTP.c, now_ms()
    async with rt.database.read() as session:
        query = select(t.id, t.secret).where(t.user_id == user_id, t.confirmed_at.is_not(None)).order_by(t.id)
        secrets = {row.id: open_secret(rt, row.id, row.secret) for row in await session.execute(query)}
    steps = {id_: step for id_, secret in secrets.items() if (step := totp.matching_step(secret, code, now / 1000))}
    if not steps:
        raise explain(secrets, code)
    # One statement for all it could be of: whoever comes second finds the step taken.
    fresh = or_(*(and_(t.id == id_, t.last_step < step) for id_, step in steps.items()))
    async with rt.database.write() as session:
        burned = await session.execute(
            update(_TOTP)
            .where(fresh, t.user_id == user_id, t.confirmed_at.is_not(None))
            .values(last_step=case(steps, value=t.id), proven_at=now)
            .returning(t.name)
        )
        names = burned.scalars().all()
    if not names:
        raise WrongCodeError(_USED)
    return Proof("totp", names[0], now)


def explain(secrets: Mapping[str, str], code: str) -> WrongCodeError:
    """Why a code of none of these was refused: wrong, or right at another time."""
    off = any(totp.matching_step(secret, code, now_ms() / 1000, totp.CLOCK_WINDOW) for secret in secrets.values())
    return WrongCodeError(_OFF, CLOCK_OFF) if off else WrongCodeError()


def open_secret(rt: Runtime, totp_id: str, sealed: str) -> str:
    """The seed of an authenticator."""
    return rt.keyring.decrypt(sealed, secret_context(totp_id))


def secret_context(totp_id: str) -> str:
    """What a seed is encrypted for; see `Keyring.encrypt`."""
    return f"totp:secret:{totp_id}"


async def find_recovery_code(rt: Runtime, user_id: str, typed: str) -> str | None:
    """The id of the unused recovery code that was typed."""
    code, c = recovery.clean_code(typed), _CODE.c
    if code is None:
        return None
    async with rt.database.read() as session:
        rows = (await session.execute(select(c.id, c.code_hash).where(c.user_id == user_id, c.used_at.is_(None)))).all()
    found = await asyncio.to_thread(recovery.matching, [row.code_hash for row in rows], code)
    return None if found is None else str(rows[found].id)


async def _prove_recovery_code(rt: Runtime, user: User, code: str, caller: Caller, burn: bool) -> Proof:
    code_id, c, now = await find_recovery_code(rt, user.id, code), _CODE.c, now_ms()
    async with rt.database.write() as session:
        values = {"proven_at": now, "used_at": now} if burn else {"proven_at": now}
        done = await session.execute(
            update(_CODE).where(c.id == (code_id or ""), c.used_at.is_(None)).values(values).returning(c.id)
        )
        if done.one_or_none() is None:
            raise WrongCodeError()
        if burn:
            left = await codes_left(session, user.id)
            facts = {
                "left": str(left),
                "ip": caller.ip,
                "device": devices.name_of(caller.user_agent),
                "place": devices.network_of(caller.ip),
            }
            await notices.tell(rt, session, user.email, Notice.RECOVERY_CODE_USED, facts)
            actor = Actor("user", user.id, user.email, frozenset(), ip=caller.ip)
            target = ("user", user.id, user.email)
            await audit.append(rt, session, actor, "mfa.recovery_code_used", target=target, detail={"left": left})
    return Proof("recovery_code", "Recovery code", now)


async def fresh_codes() -> tuple[list[str], list[str]]:
    """A set of recovery codes, and their hashes."""
    codes = recovery.new_codes()
    return codes, await asyncio.to_thread(recovery.hash_codes, codes)


async def has_kept_codes(session: AsyncSession, user_id: str) -> bool:
    """Whether somebody has recovery codes, and has shown that they are kept."""
    query = select(_CODE.c.id).where(_CODE.c.user_id == user_id, _CODE.c.saved_at.is_not(None)).limit(1)
    return (await session.execute(query)).one_or_none() is not None


async def replace_codes(session: AsyncSession, user_id: str, hashes: list[str]) -> None:
    """Keep these hashes in place of all before them, within the transaction of `session`."""
    now = now_ms()
    await session.execute(delete(_CODE).where(_CODE.c.user_id == user_id))
    rows = [{"id": new_id("rec"), "user_id": user_id, "code_hash": each, "created_at": now} for each in hashes]
    await session.execute(insert(_CODE), rows)


async def lock(session: AsyncSession, user_id: str) -> User:
    """The user, of whose factors nothing else changes in this transaction: a change goes by how many there are."""
    return await session.get_one(User, user_id, with_for_update=True)
