"""Resets of second factors: two admins, a delay, and a person who can stop it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyotp
import pytest
from sqlalchemy import text

from novapulse.core.actor import ROLE_PERMISSIONS, SYSTEM, Actor, Role
from novapulse.core.clock import now_ms
from novapulse.core.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError, ReauthenticationError
from novapulse.core.runtime import Runtime
from novapulse.security import authenticators, factors, links, mfa_resets, sessions, sign_in, users
from novapulse.security.devices import Caller
from novapulse.security.models import User
from novapulse.security.users import UserPatch
from tests.calls import make_cookie, make_user

REASON = "She called from the number we know and showed her badge."


def _actor(user: users.UserView) -> Actor:
    return Actor("user", user.id, user.email, ROLE_PERMISSIONS[user.role], sudo_until=now_ms() + 60_000)


async def _person_with_factor(rt: Runtime) -> users.UserView:
    user = await make_user(rt, Role.OPERATOR, "eve@example.com")
    begun = await authenticators.enroll(rt, _actor(user), "Phone")
    await authenticators.confirm(rt, _actor(user), pyotp.TOTP(begun.secret).now())
    return user


async def _value(rt: Runtime, query: str) -> Any:
    async with rt.database.read() as session:
        return (await session.execute(text(query))).scalar_one()


async def _make_due(rt: Runtime) -> None:
    async with rt.database.write() as session:
        await session.execute(text("UPDATE mfa_reset SET due_at = 1"))


async def _has_factors(rt: Runtime, user: users.UserView) -> bool:
    async with rt.database.read() as session:
        return await factors.has_factors(session, user.id)


async def test_it_takes_a_second_admin_and_time(any_rt: Runtime) -> None:
    rt = any_rt
    ada = _actor(await make_user(rt, email="ada@example.com"))
    bob = _actor(await make_user(rt, email="bob@example.com"))
    eve = await _person_with_factor(rt)
    cookie = await make_cookie(rt, eve.id)
    asked = await mfa_resets.ask(rt, ada, eve.id, REASON)
    assert (asked.needs_approval, asked.requested_by, asked.outcome) == (True, ada.name, None)
    with pytest.raises(ConflictError):
        await mfa_resets.ask(rt, bob, eve.id, REASON)
    with pytest.raises(ForbiddenError, match="Another admin"):
        await mfa_resets.approve(rt, ada, asked.id)
    await _make_due(rt)
    assert await mfa_resets.carry_out_due(rt) == 0, "nobody has agreed"
    agreed = await mfa_resets.approve(rt, bob, asked.id)
    assert agreed.approved_by == bob.name
    assert await mfa_resets.carry_out_due(rt) == 1
    assert not await _has_factors(rt, eve)
    assert await sessions.find_by_token(rt, cookie.removeprefix("np_session=")) is None
    (done,) = await mfa_resets.list_resets(rt, ada)
    assert done.outcome == "done"
    assert await _value(rt, "SELECT count(*) FROM email WHERE kind IN ('mfa_reset_asked', 'mfa_reset_done')") == 2
    assert await _value(rt, "SELECT count(*) FROM audit WHERE action LIKE 'mfa_reset.%'") == 3


async def test_agreed_to_it_still_waits(rt: Runtime) -> None:
    ada, bob = [_actor(await make_user(rt, email=f"{name}@example.com")) for name in ("ada", "bob")]
    eve = await _person_with_factor(rt)
    asked = await mfa_resets.ask(rt, ada, eve.id, REASON)
    await mfa_resets.approve(rt, bob, asked.id)
    assert await mfa_resets.carry_out_due(rt) == 0
    assert await _has_factors(rt, eve)


async def test_where_there_is_no_second_admin_the_delay_is_longer(rt: Runtime) -> None:
    ada = _actor(await make_user(rt, email="ada@example.com"))
    eve = await _person_with_factor(rt)
    asked = await mfa_resets.ask(rt, ada, eve.id, REASON)
    assert not asked.needs_approval
    waits = await _value(rt, "SELECT due_at - requested_at FROM mfa_reset")
    assert waits == mfa_resets.DELAY_ALONE_MS


async def test_its_user_stops_it_by_the_link_once(any_rt: Runtime) -> None:
    rt = any_rt
    ada = _actor(await make_user(rt, email="ada@example.com"))
    eve = await _person_with_factor(rt)
    asked = await mfa_resets.ask(rt, ada, eve.id, REASON)
    async with rt.database.write() as session:
        token = await links.make(rt, session, "stop_reset", eve.id, 60, {"reset": asked.id})
    await mfa_resets.stop(rt, token)
    await _make_due(rt)
    assert await mfa_resets.carry_out_due(rt) == 0
    assert await _has_factors(rt, eve)
    for used in (token, "wrong"):
        with pytest.raises(ForbiddenError):
            await mfa_resets.stop(rt, used)
    with pytest.raises(NotFoundError):
        await mfa_resets.approve(rt, ada, asked.id)


async def test_any_sign_in_of_its_user_ends_it(rt: Runtime) -> None:
    ada = _actor(await make_user(rt, email="ada@example.com"))
    eve = await _person_with_factor(rt)
    await mfa_resets.ask(rt, ada, eve.id, REASON)
    async with rt.database.read() as session:
        user = await session.get_one(User, eve.id)
    await sign_in.complete(rt, user, Caller("127.0.0.1", "test"), "password totp")
    (ended,) = await mfa_resets.list_resets(rt, ada)
    assert (ended.outcome, ended.outcome_why) == ("cancelled", "its user signed in")


async def test_who_may_not_and_what_is_no_reason(rt: Runtime) -> None:
    ada = _actor(await make_user(rt, email="ada@example.com"))
    eve = await _person_with_factor(rt)
    without = await make_user(rt, Role.VIEWER, "none@example.com")
    with pytest.raises(InvalidError, match="/reason"):
        await mfa_resets.ask(rt, ada, eve.id, "lost it")
    with pytest.raises(ConflictError, match="no second factor"):
        await mfa_resets.ask(rt, ada, without.id, REASON)
    with pytest.raises(NotFoundError):
        await mfa_resets.ask(rt, ada, "usr_none", REASON)
    with pytest.raises(ForbiddenError):
        await mfa_resets.ask(rt, ada, ada.id, REASON)
    with pytest.raises(ForbiddenError):
        await mfa_resets.ask(rt, _actor(eve), without.id, REASON)
    with pytest.raises(ForbiddenError, match="for people"):
        await mfa_resets.ask(rt, SYSTEM, eve.id, REASON)
    with pytest.raises(ReauthenticationError):
        await mfa_resets.ask(rt, replace(ada, sudo_until=0), eve.id, REASON)


async def test_an_admin_who_was_shut_out_is_no_second_one(rt: Runtime) -> None:
    ada = _actor(await make_user(rt, email="ada@example.com"))
    out = await make_user(rt, email="out@example.com")
    await users.update_user(rt, SYSTEM, out.id, UserPatch(active=False))
    eve = await _person_with_factor(rt)
    assert not (await mfa_resets.ask(rt, ada, eve.id, REASON)).needs_approval
