"""Mailed links: each works once, for a time, for what it was made for, and not after a newer one."""

from __future__ import annotations

import asyncio
import re

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from novapulse.core.clock import now_ms
from novapulse.core.database import table_of
from novapulse.core.errors import ForbiddenError
from novapulse.core.runtime import Runtime
from novapulse.security import links
from novapulse.security.models import OneTimeLink
from tests.calls import make_user

LINK = table_of(OneTimeLink)


async def make(rt: Runtime, user_id: str, kind: links.Kind = "reset", ttl_s: int = 60, **data: str) -> str:
    async with rt.database.write() as session:
        return await links.make(rt, session, kind, user_id, ttl_s, dict(data))


async def use(rt: Runtime, token: str, *kinds: links.Kind) -> OneTimeLink:
    async with rt.database.write() as session:
        return await links.use(rt, session, token, *kinds)


async def peek(rt: Runtime, token: str, *kinds: links.Kind) -> OneTimeLink:
    async with rt.database.read() as session:
        return await links.peek(session, token, *kinds)


async def is_dead(rt: Runtime, token: str, *kinds: links.Kind) -> bool:
    """Both to who looks and to who uses it, who are told the same."""
    for ask in (peek, use):
        try:
            await ask(rt, token, *kinds)
        except ForbiddenError as error:
            assert "This link does not work" in error.detail
        else:
            return False
    return True


async def test_a_link_tells_whose_it_is_and_works_once(any_rt: Runtime) -> None:
    user = await make_user(any_rt)
    token = await make(any_rt, user.id, "email", email="new@example.com")
    for _ in range(2):
        assert (await peek(any_rt, token, "email")).data == {"email": "new@example.com"}
    used = await use(any_rt, token, "email")
    assert (used.user_id, used.kind, used.data) == (user.id, "email", {"email": "new@example.com"})
    assert used.used_at is not None
    assert await is_dead(any_rt, token, "email")


async def test_of_many_who_use_a_link_at_once_one_gets_it(any_rt: Runtime) -> None:
    token = await make(any_rt, (await make_user(any_rt)).id)
    done = await asyncio.gather(*(use(any_rt, token, "reset") for _ in range(50)), return_exceptions=True)
    assert sum(isinstance(each, OneTimeLink) for each in done) == 1
    assert sum(isinstance(each, ForbiddenError) for each in done) == 49


async def test_a_use_that_comes_to_nothing_leaves_the_link_good(any_rt: Runtime) -> None:
    token = await make(any_rt, (await make_user(any_rt)).id)

    async def fail(session: AsyncSession) -> None:
        await links.use(any_rt, session, token, "reset")
        raise RuntimeError("the database went away")

    with pytest.raises(RuntimeError):
        async with any_rt.database.write() as session:
            await fail(session)
    assert (await use(any_rt, token, "reset")).kind == "reset"


async def test_a_link_is_for_one_thing(any_rt: Runtime) -> None:
    token = await make(any_rt, (await make_user(any_rt)).id, "invite")
    assert await is_dead(any_rt, token, "reset", "email", "stop_reset")
    assert (await peek(any_rt, token)).kind == "invite"
    assert (await use(any_rt, token, "reset", "invite")).kind == "invite"


async def test_a_newer_link_takes_the_place_of_those_of_its_kind_and_user(any_rt: Runtime) -> None:
    user, other = await make_user(any_rt), await make_user(any_rt, email="other@example.com")
    old = await make(any_rt, user.id)
    invite, others = await make(any_rt, user.id, "invite"), await make(any_rt, other.id)
    new = await make(any_rt, user.id)
    assert await is_dead(any_rt, old, "reset")
    assert (await use(any_rt, invite, "invite")).user_id == user.id
    assert (await use(any_rt, others, "reset")).user_id == other.id
    assert (await use(any_rt, new, "reset")).user_id == user.id


async def test_a_link_runs_out(any_rt: Runtime) -> None:
    token = await make(any_rt, (await make_user(any_rt)).id)
    async with any_rt.database.write() as session:
        await session.execute(update(LINK).values(expires_at=now_ms()))
    assert await is_dead(any_rt, token, "reset")


@pytest.mark.parametrize("token", ["", "x", "\ud800", "a" * 300, "' OR 1=1 --"])
async def test_what_is_no_token_opens_nothing(rt: Runtime, token: str) -> None:
    await make(rt, (await make_user(rt)).id)
    assert await is_dead(rt, token)


async def test_a_token_has_256_bits_and_only_its_hash_is_kept(rt: Runtime) -> None:
    user = await make_user(rt)
    tokens = [await make(rt, user.id) for _ in range(20)]
    assert len(set(tokens)) == 20
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", token) for token in tokens)
    async with rt.database.read() as session:
        kept = str((await session.execute(select(LINK))).all())
    assert not any(token in kept for token in tokens)


async def test_links_stand_behind_the_hash_of_the_address(rt: Runtime) -> None:
    for kind, page in links.PAGES.items():
        assert links.address(rt, kind, "abc") == f"{rt.settings.base_url}{page}#token=abc"


async def test_what_is_over_is_dropped_after_a_day(any_rt: Runtime) -> None:
    user = await make_user(any_rt)
    for kind in ("reset", "invite", "email"):
        await make(any_rt, user.id, kind)
    async with any_rt.database.write() as session:
        for kind, ago_ms in (("reset", 25 * 3_600_000), ("invite", 23 * 3_600_000)):
            await session.execute(update(LINK).where(LINK.c.kind == kind).values(expires_at=now_ms() - ago_ms))
    await links.delete_expired(any_rt)
    async with any_rt.database.read() as session:
        assert set((await session.execute(select(LINK.c.kind))).scalars()) == {"invite", "email"}
