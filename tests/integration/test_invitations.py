"""Invitations: an account that nobody can enter, and a link that lets its owner in once."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from novapulse.core.actor import ROLE_PERMISSIONS, SYSTEM, Actor, Permission, Role
from novapulse.core.clock import now_ms
from novapulse.core.errors import ConflictError, ForbiddenError, InvalidError, UnauthorizedError
from novapulse.core.runtime import Runtime
from novapulse.security import invitations, links, rules, users
from tests.calls import PASSWORD, make_user

EMAIL = "new@example.com"


def _admin() -> Actor:
    return Actor("user", "usr_1", "ada@example.com", ROLE_PERMISSIONS[Role.ADMIN], sudo_until=now_ms() + 60_000)


async def _count(rt: Runtime, query: str, **values: Any) -> int:
    async with rt.database.read() as session:
        return int((await session.execute(text(query), values)).scalar_one())


async def test_without_mail_the_link_is_in_the_answer_and_no_password_opens_the_account(any_rt: Runtime) -> None:
    invited = await invitations.invite(any_rt, _admin(), " New@Example.com", Role.OPERATOR)
    assert (invited.user.email, invited.user.role, invited.user.invited) == (EMAIL, "operator", True)
    assert invited.link is not None
    assert "/invite#token=" in invited.link
    for guess in ("", PASSWORD):
        with pytest.raises(UnauthorizedError):
            await users.authenticate(any_rt, EMAIL, guess)
    assert await _count(any_rt, "SELECT count(*) FROM email WHERE kind = 'invitation'") == 1
    assert await _count(any_rt, "SELECT count(*) FROM audit WHERE action = 'user.invited'") == 1


async def test_a_fresh_link_ends_the_one_before(rt: Runtime) -> None:
    first = await invitations.invite(rt, _admin(), EMAIL, Role.VIEWER)
    second = await invitations.invite_again(rt, _admin(), first.user.id)
    tokens = [str(each.link).partition("#token=")[2] for each in (first, second)]
    async with rt.database.read() as session:
        with pytest.raises(ForbiddenError):
            await links.peek(session, tokens[0], "invite")
        assert (await links.peek(session, tokens[1], "invite")).user_id == first.user.id


async def test_who_is_in_already_is_not_invited(rt: Runtime) -> None:
    known = await make_user(rt, Role.VIEWER, EMAIL)
    with pytest.raises(ConflictError):
        await invitations.invite(rt, _admin(), EMAIL, Role.VIEWER)
    with pytest.raises(ConflictError):
        await invitations.invite_again(rt, _admin(), known.id)
    assert await _count(rt, "SELECT count(*) FROM email WHERE kind = 'invitation'") == 0, "nothing half-done"


async def test_only_addresses_of_the_domains_that_the_rules_allow(rt: Runtime) -> None:
    await rules.change_rules(rt, SYSTEM, rules.Rules(email_domains=["Example.COM"]))
    await invitations.invite(rt, _admin(), EMAIL, Role.VIEWER)
    for address in ("new@evil.example", "new@sub.example.com", "new@example.com.evil.example"):
        with pytest.raises(InvalidError, match="/email"):
            await invitations.invite(rt, _admin(), address, Role.VIEWER)
        with pytest.raises(InvalidError, match="/email"):
            await users.create_user(rt, SYSTEM, email=address, password=PASSWORD, role=Role.VIEWER)


async def test_nobody_invites_somebody_who_may_do_more_than_they_may(rt: Runtime) -> None:
    key = Actor("api_key", "key_1", "x", frozenset({Permission.USERS_WRITE, *ROLE_PERMISSIONS[Role.VIEWER]}))
    await invitations.invite(rt, key, EMAIL, Role.VIEWER)
    with pytest.raises(ForbiddenError):
        await invitations.invite(rt, key, "admin@example.com", Role.ADMIN)
