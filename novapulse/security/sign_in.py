"""Signing in: a password, then a second factor where the user has one, then a session.

`complete` is the one door to a session; every way of signing in ends there.
"""

from __future__ import annotations

from dataclasses import dataclass

from novapulse.core.actor import Actor
from novapulse.core.runtime import Runtime
from novapulse.security import attempts, audit, devices, notices, sessions
from novapulse.security.devices import Caller
from novapulse.security.models import User
from novapulse.security.notices import Notice
from novapulse.security.rules import current_rules


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A sign-in that is done, and what the browser's two cookies are to hold."""

    user: User
    session_id: str
    session_token: str
    device_cookie: str


async def complete(rt: Runtime, user: User, caller: Caller, methods: str, *, remember: bool = False) -> SignedIn:
    """Begin the session of somebody who has proven all that is asked of them; nothing is checked here.

    `methods` names how, as in `password totp` (RFC 8176 calls them amr). With `remember`, no second factor is asked
    for on this device for as long as the rules allow.
    """
    days = (await current_rules(rt)).remember_days
    agent = sessions.clean_agent(caller.user_agent)
    async with rt.database.write() as session:
        current = await session.get(User, user.id)
        assert current is not None, "a user who has just proven who they are"
        first = current.last_sign_in_at is None
        seen = await devices.see(session, current, caller, agent, days if remember and days > 0 else None)
        made = await sessions.add_session(
            session, user.id, ip=caller.ip, user_agent=agent, device_id=seen.id, methods=methods
        )
        await attempts.count(rt, session, user.id, "ok", caller.ip)
        if seen.new and not first:
            facts = {
                "device": devices.name_of(agent),
                "place": devices.network_of(caller.ip),
                "ip": caller.ip,
            }
            await notices.tell(rt, session, user.email, Notice.NEW_SIGN_IN, facts)
        detail = {"methods": methods.split(), "device": seen.id, "new_device": seen.new}
        target = ("session", made.session_id, devices.name_of(agent))
        await audit.append(rt, session, actor_of(user, caller), "sign_in.succeeded", target=target, detail=detail)
    return SignedIn(current, made.session_id, made.token, seen.cookie)


def actor_of(user: User, caller: Caller) -> Actor:
    """A user who is about to be signed in, for the audit log: they may do nothing yet."""
    return Actor("user", user.id, user.email, frozenset(), ip=caller.ip)
