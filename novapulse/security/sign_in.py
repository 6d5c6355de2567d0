"""Signing in: a password, then a second factor where the user has one, then a session.

`complete` is the one door to a session; every way of signing in ends there.
"""

from __future__ import annotations

from dataclasses import dataclass

from novapulse.core.actor import Actor
from novapulse.core.errors import UnauthorizedError
from novapulse.core.runtime import Runtime
from novapulse.security import attempts, audit, challenges, devices, factors, mfa_resets, notices, sessions, users
from novapulse.security.devices import Caller
from novapulse.security.models import User
from novapulse.security.notices import Notice
from novapulse.security.rules import current_rules
from novapulse.security.sessions import Live

CHALLENGE = "mfa"
SECOND_FACTOR = "urn:novapulse:problem:second-factor"


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A sign-in that is done, and what the browser's two cookies are to hold."""

    user: User
    session_id: str
    session_token: str
    device_cookie: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """A sign-in whose password was right, and by what it may be completed."""

    challenge: str
    methods: list[factors.Method]


async def with_password(rt: Runtime, email: str, password: str, caller: Caller) -> SignedIn | Waiting:
    """The first step, and the only one for who has no second factor, or has this device remembered.

    Raises:
        UnauthorizedError: e-mail or password is wrong.
        LimitedError: too many wrong passwords.
    """
    user = await users.authenticate(rt, email, password, caller)
    rules = await current_rules(rt)
    async with rt.database.read() as session:
        methods = await factors.methods_of(session, user.id)
        device = await devices.find(session, user.id, caller.device_cookie)
    if not methods:
        return await complete(rt, user, caller, "password")
    if devices.is_remembered(device, rules):
        return await complete(rt, user, caller, "password device")
    device_id = None if device is None else device.id
    return Waiting(await challenges.begin(rt, CHALLENGE, user.id, {}, device_id=device_id), methods)


async def with_code(
    rt: Runtime, token: str, typed: str, caller: Caller, *, remember: bool
) -> tuple[SignedIn, factors.Proof]:
    """The second step, by a code that is typed.

    Raises:
        UnauthorizedError: the code is wrong, or the challenge has ended: after ten minutes, or five tries.
        LimitedError: too many wrong codes.
    """
    challenge = await challenges.find(rt, token, CHALLENGE)
    left = await challenges.count_try(rt, token)
    async with rt.database.read() as session:
        user = await session.get(User, challenge.user_id)
        device = await devices.find(session, challenge.user_id or "", caller.device_cookie)
    if user is None or not user.active:
        raise challenges.ended()
    try:
        proof = await factors.judge(rt, user, typed, caller, None if device is None else device.id, "sign_in")
    except factors.WrongCodeError as wrong:
        if left == 0 and await challenges.end(rt, token):
            await _warn(rt, user, caller)
        if left == 0:
            raise challenges.ended() from None
        raise refused(wrong) from None
    if not await challenges.end(rt, token):
        raise challenges.ended()
    return await complete(rt, user, caller, f"password {proof.kind}", remember=remember), proof


async def _warn(rt: Runtime, user: User, caller: Caller) -> None:
    """Whoever typed only wrong codes knows the password (OWASP ASVS 5.0, 6.3.5)."""
    agent = sessions.clean_agent(caller.user_agent)
    facts = {"device": devices.name_of(agent), "place": devices.network_of(caller.ip), "ip": caller.ip}
    async with rt.database.write() as session:
        await notices.tell(rt, session, user.email, Notice.PASSWORD_KNOWN, facts)


async def recovery_codes_left(rt: Runtime, user_id: str) -> int:
    """How many recovery codes somebody has left, for who has just used one."""
    async with rt.database.read() as session:
        return await factors.codes_left(session, user_id)


async def confirm_code(rt: Runtime, live: Live, typed: str, caller: Caller) -> factors.Proof:
    """A signed-in user proves by a code that it is them.

    Raises:
        UnauthorizedError: it is wrong; LimitedError: too many were.
    """
    try:
        return await factors.judge(rt, live.user, typed, caller, live.device_id, "sudo")
    except factors.WrongCodeError as wrong:
        raise refused(wrong) from None


async def confirm_password(rt: Runtime, live: Live, password: str, caller: Caller) -> None:
    """A signed-in user proves by their password that it is them; who has a second factor has to show that.

    Raises:
        UnauthorizedError: it is wrong, or not enough; LimitedError: too many were wrong.
    """
    async with rt.database.read() as session:
        if await factors.has_factors(session, live.user.id):
            # A session and a password are what is stolen together; neither may turn the second factor off.
            raise second_factor_needed()
    await users.confirm_password(rt, live.actor(caller.ip), password, caller, live.device_id)


def refused(wrong: factors.WrongCodeError) -> UnauthorizedError:
    """A wrong code as the answer to who is not signed in."""
    error = UnauthorizedError(wrong.detail)
    error.type = wrong.type
    return error


def second_factor_needed() -> UnauthorizedError:
    """What is asked of who gives a password alone, and has a second factor."""
    error = UnauthorizedError("You have a second factor: confirm with a code, or a passkey.")
    error.type = SECOND_FACTOR
    return error


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
        await mfa_resets.end_by_sign_in(rt, session, current)
        detail = {"methods": methods.split(), "device": seen.id, "new_device": seen.new}
        target = ("session", made.session_id, devices.name_of(agent))
        await audit.append(rt, session, actor_of(user, caller), "sign_in.succeeded", target=target, detail=detail)
    await sessions.end_replaced(rt, caller.session_cookie)
    return SignedIn(current, made.session_id, made.token, seen.cookie)


def actor_of(user: User, caller: Caller) -> Actor:
    """A user who is about to be signed in, for the audit log: they may do nothing yet."""
    return Actor("user", user.id, user.email, frozenset(), ip=caller.ip)
