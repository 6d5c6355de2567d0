"""Two-factor sign-in of somebody as a whole: how it stands, on, off, recovery codes, and proving what one has.

The second factor is asked for from the first code of an authenticator on. It counts as on, for rules that require it,
once the recovery codes were shown to be kept as well: who has no way back is not let out of the set-up.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, Field
from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from novapulse.core.actor import Actor
from novapulse.core.clock import now_ms, rfc3339
from novapulse.core.database import table_of
from novapulse.core.errors import ConflictError
from novapulse.core.runtime import Runtime
from novapulse.security import audit, devices, factors, notices, passkeys, recovery, sessions
from novapulse.security.authenticators import AuthenticatorView, list_authenticators
from novapulse.security.devices import Caller
from novapulse.security.factors import WrongCodeError
from novapulse.security.models import Passkey, RecoveryCode, Totp, User
from novapulse.security.notices import Notice
from novapulse.security.passkeys import PasskeyView
from novapulse.security.rules import current_rules, enrolment_due

_TOTP, _CODE, _PASSKEY, _USER = (table_of(model) for model in (Totp, RecoveryCode, Passkey, User))


class RecoveryCodesView(BaseModel):
    """How many recovery codes are left."""

    left: int
    total: int
    created_at: str | None
    proven_at: str | None = Field(description="When one was last shown to be at hand, or used.")
    saved: bool = Field(description="Whether their owner has shown that they are kept.")
    warning: str | None = Field(description="What to do about it where few are left, or none are kept.")


class MfaView(BaseModel):
    """The second factors of the signed-in user."""

    on: bool
    on_since: str | None
    required: bool
    enrolment_due: str | None
    authenticators: list[AuthenticatorView]
    recovery_codes: RecoveryCodesView
    passkeys: list[PasskeyView]


async def show(rt: Runtime, actor: Actor) -> MfaView:
    """How it stands for the actor."""
    rules, c = await current_rules(rt), _CODE.c
    async with rt.database.read() as session:
        user = await session.get_one(User, actor.id)
        authenticators = await list_authenticators(session, actor.id)
        codes = (await session.execute(select(RecoveryCode).where(c.user_id == actor.id))).scalars().all()
    due = enrolment_due(user, rules)
    return MfaView(
        on=user.mfa_on_at is not None,
        on_since=_time(user.mfa_on_at),
        required=user.role in rules.require_mfa,
        enrolment_due=_time(due),
        authenticators=authenticators,
        recovery_codes=_codes_view(codes, bool(authenticators)),
        passkeys=await passkeys.list_passkeys(rt, actor.id),
    )


def _codes_view(codes: Sequence[RecoveryCode], needed: bool) -> RecoveryCodesView:
    left = [code for code in codes if code.used_at is None]
    saved = bool(codes) and all(code.saved_at is not None for code in left)
    warning = None
    if codes and not saved:
        warning = "You have not shown yet that you keep your recovery codes."
    elif (codes or needed) and len(left) <= recovery.FEW:
        warning = f"{len(left) or 'No'} recovery codes are left. Make new ones, or a lost phone may lock you out."
    return RecoveryCodesView(
        left=len(left),
        total=len(codes),
        created_at=_time(max((code.created_at for code in codes), default=None)),
        proven_at=_time(max((code.proven_at for code in codes if code.proven_at is not None), default=None)),
        saved=saved,
        warning=warning,
    )


async def saved(rt: Runtime, actor: Actor, typed: str | None) -> None:
    """The user has kept their recovery codes, as one of them shows (None: as they say); with that the factor is on.

    Raises:
        ConflictError: there are none, or no authenticator or passkey yet.
        WrongCodeError: it is none of them.
    """
    code_id = None if typed is None else await factors.find_recovery_code(rt, actor.id, typed)
    if typed is not None and code_id is None:
        raise WrongCodeError("This is none of your recovery codes. Type one as you have kept it.")
    c, now = _CODE.c, now_ms()
    async with rt.database.write() as session:
        user = await factors.lock(session, actor.id)
        if not await factors.has_factors(session, actor.id):
            raise ConflictError("Set up an authenticator or a passkey first.")
        mine = (c.user_id == actor.id, c.used_at.is_(None))
        done = await session.execute(
            update(_CODE).where(*mine).values(saved_at=func.coalesce(c.saved_at, now)).returning(c.id)
        )
        if not done.all():
            raise ConflictError("There are no recovery codes; make some first.")
        if code_id is not None:
            await session.execute(update(_CODE).where(c.id == code_id).values(proven_at=now))
        detail = {"shown": typed is not None}
        if user.mfa_on_at is None:
            await session.execute(update(_USER).where(_USER.c.id == actor.id).values(mfa_on_at=now))
            await notices.tell(rt, session, user.email, Notice.MFA_ON, {"ip": actor.ip})
            await audit.append(rt, session, actor, "mfa.enabled", target=_target(user), detail=detail)
        else:
            await audit.append(rt, session, actor, "mfa.recovery_codes_saved", target=_target(user), detail=detail)
    await sessions.refresh(rt, actor.id)


async def disable(rt: Runtime, actor: Actor) -> None:
    """Remove every second factor of the actor.

    Raises:
        ConflictError: their role requires one.
        ReauthenticationError: not proven lately.
    """
    actor.require_sudo()
    rules = await current_rules(rt)
    async with rt.database.write() as session:
        user = await factors.lock(session, actor.id)
        if user.role in rules.require_mfa:
            raise ConflictError("Your role requires a second factor; it cannot be turned off.")
        had = await factors.has_factors(session, actor.id)
        await remove_factors(session, user)
        if not had:
            return
        await notices.tell(rt, session, user.email, Notice.MFA_OFF, {"ip": actor.ip})
        await audit.append(rt, session, actor, "mfa.disabled", target=_target(user))
    await sessions.refresh(rt, actor.id)


async def remove_factors(session: AsyncSession, user: User) -> None:
    """Take everything away that somebody proves themselves by besides their password, in this transaction."""
    for table in (_TOTP, _CODE, _PASSKEY):
        await session.execute(delete(table).where(table.c.user_id == user.id))
    await session.execute(update(_USER).where(_USER.c.id == user.id).values(mfa_on_at=None))
    await devices.end_remembered(session, user.id)


async def new_recovery_codes(rt: Runtime, actor: Actor) -> list[str]:
    """A fresh set, which is not kept; no older one works any more.

    Raises:
        ConflictError: no authenticator or passkey yet.
        ReauthenticationError: not proven lately.
    """
    actor.require_sudo()
    codes, hashes = await factors.fresh_codes()
    async with rt.database.write() as session:
        user = await factors.lock(session, actor.id)
        if not await factors.has_factors(session, actor.id):
            raise ConflictError("Set up an authenticator or a passkey first.")
        await factors.replace_codes(session, actor.id, hashes)
        await notices.tell(rt, session, user.email, Notice.RECOVERY_CODES_NEW, {"ip": actor.ip})
        await audit.append(rt, session, actor, "mfa.recovery_codes_made", target=_target(user))
    return codes


async def drill(rt: Runtime, actor: Actor, typed: str, caller: Caller, device_id: str | None) -> factors.Proof:
    """Prove a factor where nothing depends on it: who fails here has lost nothing yet. Burns no recovery code.

    Raises:
        WrongCodeError: it proves none; LimitedError: too many wrong ones.
    """
    async with rt.database.read() as session:
        user = await session.get_one(User, actor.id)
    proof = await factors.judge(rt, user, typed, caller, device_id, "mfa_drill", burn=False)
    await audit.record(rt, actor, "mfa.proven", target=_target(user), detail={"kind": proof.kind, "name": proof.name})
    return proof


def _target(user: User) -> tuple[str, str, str]:
    return "user", user.id, user.email


def _time(ms: int | None) -> str | None:
    return None if ms is None else rfc3339(ms)
