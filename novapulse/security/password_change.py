"""Another password: by who is signed in, by a mailed link, or by one that an operator made.

A reset proves that somebody reads the mailbox, and nothing more: second factors stay, and they sign in as usual after
it (OWASP ASVS 5.0, 6.4.3). Whoever was signed in before is not any more.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from novapulse.core.actor import SYSTEM, Actor
from novapulse.core.clock import now_ms
from novapulse.core.database import table_of
from novapulse.core.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError, UnauthorizedError
from novapulse.core.runtime import Runtime
from novapulse.security import audit, devices, links, notices, sessions, sign_in, throttle, users
from novapulse.security.devices import Caller
from novapulse.security.models import Challenge, User
from novapulse.security.notices import Notice
from novapulse.security.passwords import check_password, hash_password, length_min
from novapulse.security.rules import current_rules
from novapulse.security.sign_in import SignedIn

RESET_S = 30 * 60
MAILS_MAX = 3  # to one address in an hour
_HOUR_MS = 3_600_000
# Every answer takes this long at least: whether there was a mail to write does not show.
_FORGOT_S = 0.5
_USER, _CHALLENGE = table_of(User), table_of(Challenge)


@dataclass(frozen=True, slots=True)
class Opened:
    """What a link is for, as its page says it."""

    kind: links.Kind
    email: str  # of the account; for another address, that
    length_min: int
    expires_at: int


async def change_password(
    rt: Runtime, live: sessions.Live, caller: Caller, current_password: str, new_password: str
) -> str:
    """Change the password of who is signed in; their other sessions end, and this one goes on by the returned token.

    Raises:
        InvalidError: the current one is wrong, or the new one too weak.
        LimitedError: too many wrong ones.
        ReauthenticationError: not proven lately.
    """
    actor = live.actor(caller.ip)
    actor.require_sudo()
    try:
        await users.confirm_password(rt, actor, current_password, caller, live.device_id)
    except UnauthorizedError:
        raise InvalidError.at("/current_password", "this is not your password") from None
    if new_password == current_password:
        raise InvalidError.at("/new_password", "this is the one that you have now")
    await require_strength(rt, live.user, new_password, "/new_password")
    hashed = await hash_password(new_password)
    async with rt.database.write() as session:
        await _set_password(session, live.user.id, hashed)
        await _tell_changed(rt, session, live.user, caller)
        await audit.append(rt, session, actor, "password.changed", target=_target(live.user))
    await sessions.revoke_all(rt, live.user.id, but=live.session_id)
    return await sessions.rotate(rt, live.session_id)


async def forgot(rt: Runtime, email: str, caller: Caller) -> None:
    """Mail a link to choose a new password, if there is somebody of this address: the answer never tells."""
    await asyncio.gather(_mail_reset(rt, email, caller), asyncio.sleep(_FORGOT_S))


async def _mail_reset(rt: Runtime, email: str, caller: Caller) -> None:
    try:
        address = users.normalise_email(email)
    except InvalidError:
        return
    async with rt.database.read() as session:
        user_id = (await session.execute(select(_USER.c.id).where(_USER.c.email == address))).scalar_one_or_none()
    if user_id is None:
        return
    async with rt.database.write() as session:
        # Locked, so that many asking at once do not get many mails.
        user = await session.get_one(User, user_id, with_for_update=True)
        made = await links.count_since(session, user_id, "reset", now_ms() - _HOUR_MS)
        # Who has no password yet is waited for by an invitation, which an admin can take back.
        if not user.active or not user.password_hash or made >= MAILS_MAX:
            return
        token = await links.make(rt, session, "reset", user_id, RESET_S)
        facts = facts_of(caller) | {"link": links.address(rt, "reset", token)}
        await notices.tell(rt, session, user.email, Notice.PASSWORD_RESET, facts)
        await audit.append(rt, session, _somebody(caller), "password.reset_asked", target=_target(user))


async def make_reset_link(rt: Runtime, actor: Actor, email: str) -> str:
    """A link to choose a new password, for an operator to hand over where no mail is sent.

    Raises:
        NotFoundError: nobody has this address.
        ConflictError: they are shut out, or have not accepted their invitation.
        ForbiddenError: only the system hands these out.
    """
    if actor != SYSTEM:
        raise ForbiddenError("Reset links are made on the machine that NovaPulse runs on.")
    address = users.normalise_email(email)
    async with rt.database.write() as session:
        user = (await session.execute(select(User).where(_USER.c.email == address))).scalar_one_or_none()
        if user is None:
            raise NotFoundError("user", address)
        if not user.active or not user.password_hash:
            why = "has not accepted their invitation yet; invite them again" if user.active else "is shut out"
            raise ConflictError(f"{address} {why}.")
        token = await links.make(rt, session, "reset", user.id, RESET_S)
        await audit.append(rt, session, actor, "password.reset_link_made", target=_target(user))
    return links.address(rt, "reset", token)


async def open_link(rt: Runtime, token: str) -> Opened:
    """What the link of this token is for, without using it up.

    Raises:
        ForbiddenError: it does not work, or no longer.
    """
    rules = await current_rules(rt)
    async with rt.database.read() as session:
        link = await links.peek(session, token)
        user = await session.get_one(User, link.user_id)
    email = str(link.data.get("email") or user.email)
    kind: Any = link.kind
    return Opened(kind, email, length_min(user.role, rules.require_mfa), link.expires_at)


async def reset(rt: Runtime, token: str, password: str, caller: Caller) -> None:
    """Choose a new password by a mailed link. All sessions end; second factors stay.

    Raises:
        ForbiddenError: the link does not work, or no longer.
        InvalidError: the password is too weak; the link stays good.
    """
    user_id, hashed = await _judge(rt, token, "reset", password)
    async with rt.database.write() as session:
        user = await _use(rt, session, token, "reset", user_id)
        await _set_password(session, user.id, hashed)
        # The wait that wrong passwords brought about was for the one before.
        await throttle.forget_all(session, users.throttle_key(rt, user.email, None))
        await _tell_changed(rt, session, user, caller)
        await audit.append(rt, session, sign_in.actor_of(user, caller), "password.reset", target=_target(user))
    await sessions.revoke_all(rt, user.id)


async def accept_invitation(rt: Runtime, token: str, password: str, caller: Caller) -> SignedIn:
    """Choose the first password by the link of an invitation, and sign in.

    Raises:
        ForbiddenError: the link does not work, or no longer.
        InvalidError: the password is too weak; the link stays good.
    """
    user_id, hashed = await _judge(rt, token, "invite", password)
    async with rt.database.write() as session:
        user = await _use(rt, session, token, "invite", user_id)
        await _set_password(session, user.id, hashed)
        await audit.append(rt, session, sign_in.actor_of(user, caller), "invitation.accepted", target=_target(user))
    return await sign_in.complete(rt, user, caller, "password")


async def _judge(rt: Runtime, token: str, kind: links.Kind, password: str) -> tuple[str, str]:
    """Whose link it is, and the hash of a password that is good enough for them."""
    async with rt.database.read() as session:
        link = await links.peek(session, token, kind)
        user = await session.get_one(User, link.user_id)
    await require_strength(rt, user, password, "/password")
    return user.id, await hash_password(password)


async def _use(rt: Runtime, session: AsyncSession, token: str, kind: links.Kind, user_id: str) -> User:
    # The user first, then their links: in every transaction that changes both.
    user = await session.get_one(User, user_id, with_for_update=True)
    await links.use(rt, session, token, kind)
    if not user.active:
        raise ForbiddenError("This account is shut out; ask an administrator.")
    return user


async def require_strength(rt: Runtime, user: User, password: str, pointer: str) -> None:
    """Refuse a password that is too weak for this user.

    Raises:
        InvalidError: at `pointer`, with the reason.
    """
    length = length_min(user.role, (await current_rules(rt)).require_mfa)
    try:
        await check_password(password, length=length, email=user.email)
    except ValueError as error:
        raise InvalidError.at(pointer, str(error)) from None


async def _set_password(session: AsyncSession, user_id: str, hashed: str) -> None:
    """With it ends what was begun by the one before: mailed links, half a sign-in, remembered devices."""
    values = {"password_hash": hashed, "password_changed_at": now_ms()}
    await session.execute(update(_USER).where(_USER.c.id == user_id).values(values))
    await links.end_all(session, user_id, "reset", "email")
    await session.execute(delete(_CHALLENGE).where(_CHALLENGE.c.user_id == user_id))
    await devices.end_remembered(session, user_id)


async def _tell_changed(rt: Runtime, session: AsyncSession, user: User, caller: Caller) -> None:
    await notices.tell(rt, session, user.email, Notice.PASSWORD_CHANGED, facts_of(caller))


def facts_of(caller: Caller) -> dict[str, str]:
    """Where a call came from, for a mail."""
    return {
        "device": devices.name_of(caller.user_agent),
        "place": devices.network_of(caller.ip),
        "ip": caller.ip,
    }


def _somebody(caller: Caller) -> Actor:
    return Actor("user", "", "Somebody", frozenset(), ip=caller.ip)


def _target(user: User) -> tuple[str, str, str]:
    return "user", user.id, user.email
