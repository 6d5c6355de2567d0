"""Authenticator apps of somebody: set up by a QR code, named, removed.

One that is being set up is pending until its first code, for ten minutes, and until then signs nobody in.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel
from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from novapulse.core.actor import Actor
from novapulse.core.clock import now_ms, rfc3339
from novapulse.core.database import table_of
from novapulse.core.errors import ConflictError, NotFoundError
from novapulse.core.ids import new_id
from novapulse.core.runtime import Runtime
from novapulse.security import audit, devices, factors, notices, totp
from novapulse.security.factors import WrongCodeError
from novapulse.security.models import Totp
from novapulse.security.notices import Notice
from novapulse.security.passkeys import check_name

PENDING_MS = 10 * 60_000
PER_USER_MAX = 10
_NAME = "Authenticator app"
_TOTP = table_of(Totp)


class AuthenticatorView(BaseModel):
    """An authenticator as its owner sees it."""

    id: str
    name: str
    created_at: str
    proven_at: str | None


@dataclass(frozen=True, slots=True)
class Enrolment:
    """An authenticator that waits for its first code. Holds its secret: it goes to who asked, and nowhere else."""

    id: str
    secret: str
    otpauth_uri: str
    expires_at: int


async def enroll(rt: Runtime, actor: Actor, name: str | None) -> Enrolment:
    """Begin to set up an authenticator, in place of one that was begun before and not finished.

    Raises:
        InvalidError: the name cannot be used.
        ConflictError: there are too many.
        ReauthenticationError: not proven lately.
    """
    actor.require_sudo()
    wanted = None if name is None else check_name(name)
    totp_id, secret, now = new_id("totp"), totp.new_secret(), now_ms()
    async with rt.database.write() as session:
        await factors.lock(session, actor.id)
        await session.execute(delete(_TOTP).where(_TOTP.c.user_id == actor.id, _TOTP.c.confirmed_at.is_(None)))
        counted = await session.execute(select(func.count()).where(_TOTP.c.user_id == actor.id))
        others = counted.scalar_one()
        if others >= PER_USER_MAX:
            raise ConflictError(f"Nobody has more than {PER_USER_MAX} authenticators; remove one first.")
        row = Totp(
            id=totp_id,
            user_id=actor.id,
            name=wanted or (f"{_NAME} {others + 1}" if others else _NAME),
            secret=rt.keyring.encrypt(secret, factors.secret_context(totp_id)),
            created_at=now,
        )
        session.add(row)
    return Enrolment(totp_id, secret, totp.otpauth_uri(secret, actor.name), now + PENDING_MS)


async def confirm(rt: Runtime, actor: Actor, typed: str, totp_id: str | None = None) -> list[str]:
    """End the set-up by the authenticator's first code. With the first one come recovery codes; they are not kept.

    Raises:
        ConflictError: no set-up waits, or for more than ten minutes.
        WrongCodeError: the code is wrong.
    """
    gone = ConflictError("No set-up waits for a code, or it took more than ten minutes. Begin again.")
    pending = await _pending(rt, actor.id, totp_id)
    if pending is None:
        raise gone
    secret = factors.open_secret(rt, pending.id, pending.secret)
    code = totp.clean_code(typed)
    step = None if code is None else totp.matching_step(secret, code, now_ms() / 1000)
    if step is None:
        raise WrongCodeError() if code is None else factors.explain({pending.id: secret}, code)
    codes, hashes = await factors.fresh_codes()
    t, now = _TOTP.c, now_ms()
    async with rt.database.write() as session:
        user = await factors.lock(session, actor.id)
        done = await session.execute(
            update(_TOTP)
            .where(t.id == pending.id, t.confirmed_at.is_(None))
            .values(confirmed_at=now, proven_at=now, last_step=step)
            .returning(t.id)
        )
        if done.one_or_none() is None:
            raise gone
        if await factors.has_kept_codes(session, actor.id):
            codes = []
        else:
            await factors.replace_codes(session, actor.id, hashes)
        await notices.tell(rt, session, user.email, Notice.AUTHENTICATOR_ADDED, {"name": pending.name, "ip": actor.ip})
        target = ("authenticator", pending.id, pending.name)
        await audit.append(rt, session, actor, "mfa.authenticator_added", target=target)
    return codes


async def rename(rt: Runtime, actor: Actor, totp_id: str, name: str) -> AuthenticatorView:
    """Another name for an authenticator.

    Raises:
        NotFoundError: it is not the actor's; InvalidError: the name cannot be used.
    """
    wanted = check_name(name)
    async with rt.database.write() as session:
        row = await _own(session, actor, totp_id)
        row.name = wanted
        session.add(row)
        await session.flush()
        target = ("authenticator", totp_id, wanted)
        await audit.append(rt, session, actor, "mfa.authenticator_renamed", target=target)
    return view(row)


async def remove(rt: Runtime, actor: Actor, totp_id: str) -> None:
    """Have an authenticator work no longer.

    Raises:
        NotFoundError: it is not the actor's.
        ConflictError: it is the last factor.
        ReauthenticationError: not proven lately.
    """
    actor.require_sudo()
    async with rt.database.write() as session:
        user = await factors.lock(session, actor.id)
        row = await _own(session, actor, totp_id)
        await factors.require_another(session, actor.id)
        await session.execute(delete(_TOTP).where(_TOTP.c.id == totp_id))
        await devices.end_remembered(session, actor.id)
        await notices.tell(rt, session, user.email, Notice.AUTHENTICATOR_REMOVED, {"name": row.name, "ip": actor.ip})
        target = ("authenticator", totp_id, row.name)
        await audit.append(rt, session, actor, "mfa.authenticator_removed", target=target)


async def list_authenticators(session: AsyncSession, user_id: str) -> list[AuthenticatorView]:
    """Those of a user that are set up, oldest first."""
    query = select(Totp).where(_TOTP.c.user_id == user_id, _TOTP.c.confirmed_at.is_not(None)).order_by(_TOTP.c.id)
    return [view(row) for row in (await session.execute(query)).scalars()]


def view(row: Totp) -> AuthenticatorView:
    """A row as its owner sees it."""
    return AuthenticatorView(
        id=row.id,
        name=row.name,
        created_at=rfc3339(row.created_at),
        proven_at=None if row.proven_at is None else rfc3339(row.proven_at),
    )


async def delete_pending(rt: Runtime) -> None:
    """Housekeeping: drop set-ups that nobody finished."""
    async with rt.database.write() as session:
        old = (_TOTP.c.confirmed_at.is_(None), _TOTP.c.created_at < now_ms() - PENDING_MS)
        await session.execute(delete(_TOTP).where(*old))


async def _pending(rt: Runtime, user_id: str, totp_id: str | None) -> Totp | None:
    t = _TOTP.c
    waiting = [t.user_id == user_id, t.confirmed_at.is_(None), t.created_at > now_ms() - PENDING_MS]
    if totp_id is not None:
        waiting.append(t.id == totp_id)
    async with rt.database.read() as session:
        found = await session.execute(select(Totp).where(*waiting).order_by(t.id.desc()).limit(1))
        return found.scalar_one_or_none()


async def _own(session: AsyncSession, actor: Actor, totp_id: str) -> Totp:
    row = await session.get(Totp, totp_id)
    if row is None or row.user_id != actor.id or row.confirmed_at is None:
        raise NotFoundError("authenticator", totp_id)
    return row
