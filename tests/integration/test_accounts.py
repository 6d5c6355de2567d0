"""Users and sessions: signing in, being locked out, being put out."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import pytest
from sqlalchemy import text

from novapulse.core.actor import SYSTEM, Actor, Permission, Role
from novapulse.core.clock import now_ms
from novapulse.core.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    LimitedError,
    NotFoundError,
    UnauthorizedError,
)
from novapulse.core.runtime import Runtime
from novapulse.security import sessions, throttle, users
from novapulse.security.users import UserPatch
from tests.calls import ORIGIN, PASSWORD, calling, make_cookie, make_user, problem

EMAIL = "ada@example.com"


async def value(rt: Runtime, query: str, **values: Any) -> Any:
    async with rt.database.read() as session:
        return (await session.execute(text(query), values)).scalar_one()


async def change(rt: Runtime, statement: str, **values: Any) -> None:
    async with rt.database.write() as session:
        await session.execute(text(statement), values)


async def fail(rt: Runtime) -> None:
    with pytest.raises(UnauthorizedError, match="The e-mail or the password is wrong"):
        await users.authenticate(rt, EMAIL, "a wrong password, certainly")


async def test_an_address_has_one_user_however_it_is_written(any_rt: Runtime) -> None:
    made = await make_user(any_rt, email="Ada@Example.COM ")
    assert made.email == EMAIL
    with pytest.raises(ConflictError):
        await make_user(any_rt, email="ＡＤＡ@example.com")
    assert (await users.authenticate(any_rt, " ADA@example.com", PASSWORD)).id == made.id


async def test_a_try_is_counted_while_others_that_succeed_forget_the_count(any_rt: Runtime) -> None:
    async def both() -> None:
        await throttle.count_try(any_rt, "password:usr_1:dev_1")
        await throttle.forget(any_rt, "password:usr_1:dev_1")

    outcomes = await asyncio.gather(*(both() for _ in range(40)), return_exceptions=True)
    assert all(outcome is None or isinstance(outcome, LimitedError) for outcome in outcomes), outcomes


async def test_a_password_is_kept_as_argon2id_and_too_weak_ones_are_refused(any_rt: Runtime) -> None:
    await make_user(any_rt, email=EMAIL)
    assert (await value(any_rt, "SELECT password_hash FROM user_account")).startswith("$argon2id$")
    for weak in ("fourteen chars", "abababababababababab", "x" * 257):
        with pytest.raises(InvalidError, match="/password"):
            await users.create_user(any_rt, SYSTEM, email="b@example.com", password=weak, role=Role.VIEWER)


async def test_wrong_email_wrong_password_and_a_shut_out_user_get_the_same_answer(rt: Runtime) -> None:
    await make_user(rt, email=EMAIL)
    out = await make_user(rt, Role.VIEWER, "out@example.com")
    await users.update_user(rt, SYSTEM, out.id, UserPatch(active=False))
    async with calling(rt) as api:
        answers = [
            problem(await api.post("/auth/login", json={"email": email, "password": password}), 401)
            for email, password in ((EMAIL, "wrong"), ("no@example.com", PASSWORD), ("out@example.com", PASSWORD))
        ]
    assert len({answer["detail"] for answer in answers}) == 1


async def test_failures_beyond_four_double_a_wait_up_to_a_limit(any_rt: Runtime) -> None:
    await make_user(any_rt, email=EMAIL)
    for _ in range(4):
        await fail(any_rt)
    assert await value(any_rt, "SELECT locked_until FROM throttle") == 0
    waits: list[int] = []
    for _ in range(4):
        await fail(any_rt)
        before = await value(any_rt, "SELECT updated_at FROM throttle")
        locked_until = await value(any_rt, "SELECT locked_until FROM throttle")
        waits.append((locked_until - before) // 1000)
        await change(any_rt, "UPDATE throttle SET locked_until = locked_until + 60000")  # a busy machine takes seconds
        with pytest.raises(LimitedError):
            await users.authenticate(any_rt, EMAIL, PASSWORD)
        await change(any_rt, "UPDATE throttle SET locked_until = 0")
    assert waits == [1, 2, 4, 8]
    for failures, longest_s in ((90, 900), (99, 86_400)):
        await change(any_rt, "UPDATE throttle SET locked_until = 0, failures = :failures", failures=failures)
        await fail(any_rt)
        wait_ms = await value(any_rt, "SELECT locked_until FROM throttle") - now_ms()
        assert (longest_s - 30) * 1000 < wait_ms <= longest_s * 1000


async def test_the_right_password_ends_the_count(any_rt: Runtime) -> None:
    await make_user(any_rt, email=EMAIL)
    for _ in range(4):
        await fail(any_rt)
    signed_in = await users.authenticate(any_rt, EMAIL, PASSWORD)
    assert signed_in.email == EMAIL
    assert await value(any_rt, "SELECT count(*) FROM throttle") == 0


async def test_many_tries_at_once_are_no_way_around_the_limit(any_rt: Runtime) -> None:
    await make_user(any_rt, email=EMAIL)
    guesses = [users.authenticate(any_rt, EMAIL, f"guess number {n}, certainly") for n in range(20)]
    outcomes = await asyncio.gather(*guesses, return_exceptions=True)
    judged = sum(isinstance(outcome, UnauthorizedError) for outcome in outcomes)
    limited = sum(isinstance(outcome, LimitedError) for outcome in outcomes)
    assert (judged, limited) == (5, 15)


async def test_a_lock_is_429_with_the_seconds_to_wait(rt: Runtime) -> None:
    await make_user(rt, email=EMAIL)
    async with calling(rt) as api:
        await api.post("/auth/login", json={"email": EMAIL, "password": "wrong"})
        await change(rt, "UPDATE throttle SET failures = 9, locked_until = :until", until=now_ms() + 60_000)
        response = await api.post("/auth/login", json={"email": EMAIL, "password": PASSWORD})
        problem(response, 429)
        assert 1 <= int(response.headers["retry-after"]) <= 61
        assert "set-cookie" not in response.headers


async def test_the_last_admin_stays_also_when_two_remove_each_other(any_rt: Runtime) -> None:
    first, second = await make_user(any_rt, email=EMAIL), await make_user(any_rt, email="bob@example.com")
    outcomes = await asyncio.gather(
        users.update_user(any_rt, SYSTEM, first.id, UserPatch(role="viewer")),
        users.update_user(any_rt, SYSTEM, second.id, UserPatch(active=False)),
        return_exceptions=True,
    )
    assert sorted(isinstance(outcome, ConflictError) for outcome in outcomes) == [False, True]
    assert await value(any_rt, "SELECT count(*) FROM user_account WHERE role = 'admin' AND active") == 1


async def test_nobody_gives_a_role_that_may_do_more_than_they_may(rt: Runtime) -> None:
    limited = Actor("api_key", "key_1", "limited", frozenset({Permission.USERS_WRITE}))
    viewer = await make_user(rt, Role.VIEWER)
    with pytest.raises(ForbiddenError):
        await users.create_user(rt, limited, email=EMAIL, password=PASSWORD, role=Role.ADMIN)
    with pytest.raises(ForbiddenError):
        await users.update_user(rt, limited, viewer.id, UserPatch(role="admin"))
    async with calling(rt, "*", tenant="acme") as acme:
        problem(await acme.get("/users"), 403)
        problem(await acme.post("/users", json={"email": EMAIL, "password": PASSWORD, "role": "admin"}), 403)
        problem(await acme.patch(f"/users/{viewer.id}", json={"active": False}), 403)


async def test_a_cookie_is_out_of_reach_of_scripts_and_its_token_is_not_kept(rt: Runtime) -> None:
    await make_user(rt, email=EMAIL)
    async with calling(rt) as api:
        response = await api.post("/auth/login", json={"email": EMAIL, "password": PASSWORD})
        cookie = response.headers["set-cookie"]
        assert cookie.startswith("np_session=")
        flags = {flag.strip().lower() for flag in cookie.split(";")[1:]}
        assert {"httponly", "samesite=lax", "path=/"} <= flags
        token = api.cookies["np_session"]
        assert (await api.get("/auth/me")).json()["user"]["email"] == EMAIL
    assert token not in str(await value(rt, "SELECT token_hash FROM session"))
    rt.settings = rt.settings.model_copy(update={"public_url": "https://hooks.example.com"})
    rt.settings.__dict__.pop("base_url", None)
    async with calling(rt) as api:
        secure = await api.post("/auth/login", json={"email": EMAIL, "password": PASSWORD})
        assert secure.headers["set-cookie"].startswith("__Host-np_session=")
        assert "; secure" in secure.headers["set-cookie"].lower()


async def test_signing_out_ends_the_session_on_the_server(any_rt: Runtime) -> None:
    user = await make_user(any_rt)
    cookie = await make_cookie(any_rt, user.id)
    async with calling(any_rt, Cookie=cookie, Origin=ORIGIN) as api:
        assert (await api.get("/auth/me")).status_code == 200
        assert (await api.post("/auth/logout")).status_code == 204
        problem(await api.get("/auth/me"), 401)


async def test_a_session_ends_only_by_its_owner_its_age_or_its_idleness(any_rt: Runtime) -> None:
    ada, bob = await make_user(any_rt, email=EMAIL), await make_user(any_rt, email="bob@example.com")
    mine, other, his = [await make_cookie(any_rt, user.id) for user in (ada, ada, bob)]
    async with calling(any_rt, Cookie=mine, Origin=ORIGIN) as api, calling(any_rt, Cookie=his) as bobs:
        listed = (await api.get("/security/sessions")).json()["data"]
        assert [row["current"] for row in listed].count(True) == 1
        (foreign,) = (await bobs.get("/security/sessions")).json()["data"]
        problem(await api.delete(f"/security/sessions/{foreign['id']}"), 404)
        (second,) = (row["id"] for row in listed if not row["current"])
        assert (await api.delete(f"/security/sessions/{second}")).status_code == 204
        problem(await api.delete(f"/security/sessions/{second}"), 404)
        assert await sessions.find_by_token(any_rt, other.removeprefix("np_session=")) is None
        assert (await bobs.get("/auth/me")).status_code == 200


async def test_what_ran_out_works_no_more_and_is_not_listed(any_rt: Runtime) -> None:
    user = await make_user(any_rt)
    cookies = [await make_cookie(any_rt, user.id) for _ in range(3)]
    idle, old, _ = (hashlib.sha256(cookie.removeprefix("np_session=").encode()).hexdigest() for cookie in cookies)
    now, settings = now_ms(), any_rt.settings
    unseen, begun = now - settings.session_idle_s * 1000 - 1, now - settings.session_max_s * 1000 - 1
    await change(any_rt, "UPDATE session SET last_seen_at = :at WHERE token_hash = :hash", at=unseen, hash=idle)
    await change(any_rt, "UPDATE session SET created_at = :at WHERE token_hash = :hash", at=begun, hash=old)
    for cookie, status in zip(cookies, (401, 401, 200), strict=True):
        async with calling(any_rt, Cookie=cookie) as api:
            assert (await api.get("/auth/me")).status_code == status
    async with calling(any_rt, Cookie=cookies[2]) as api:
        assert len((await api.get("/security/sessions")).json()["data"]) == 1


async def test_a_changed_role_and_a_shut_out_user_end_every_session(any_rt: Runtime) -> None:
    await make_user(any_rt)
    user = await make_user(any_rt, Role.OPERATOR)
    for patch in (UserPatch(role="viewer"), UserPatch(active=False)):
        cookie = await make_cookie(any_rt, user.id)
        async with calling(any_rt, Cookie=cookie) as api:
            assert (await api.get("/auth/me")).status_code == 200
            await users.update_user(any_rt, SYSTEM, user.id, patch)
            problem(await api.get("/auth/me"), 401)


async def test_an_admin_signs_somebody_out_everywhere(any_rt: Runtime) -> None:
    user = await make_user(any_rt, Role.VIEWER, EMAIL)
    cookies = [await make_cookie(any_rt, user.id) for _ in range(2)]
    with pytest.raises(ForbiddenError):
        await users.end_sessions(any_rt, Actor("api_key", "key_1", "x", frozenset()), user.id)
    assert await users.end_sessions(any_rt, SYSTEM, user.id) == 2
    for cookie in cookies:
        assert await sessions.find_by_token(any_rt, cookie.removeprefix("np_session=")) is None
    with pytest.raises(NotFoundError):
        await users.end_sessions(any_rt, SYSTEM, "usr_none")
