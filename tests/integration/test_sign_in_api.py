"""Signing in by the API: sessions, known and remembered devices, and tries on one's account."""

from __future__ import annotations

import asyncio
import statistics
import time
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import text

from novapulse.core.actor import SYSTEM, Role
from novapulse.core.database import Database
from novapulse.core.runtime import Runtime, connect_valkey
from novapulse.security import devices, rules, sessions, users
from novapulse.security.devices import Caller
from novapulse.security.rules import Rules
from tests.calls import ORIGIN, PASSWORD, calling, make_cookie, make_user, problem
from tests.second_factor import Clock, live_of, make_person

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


async def rows(rt: Runtime, query: str) -> list[Any]:
    async with rt.database.read() as session:
        return list((await session.execute(text(query))).all())


async def execute(rt: Runtime, statement: str) -> None:
    async with rt.database.write() as session:
        await session.execute(text(statement))


async def test_a_new_device_is_told_of_but_not_the_very_first(any_rt: Runtime) -> None:
    user = await make_user(any_rt)
    body = {"email": user.email, "password": PASSWORD}
    async with calling(any_rt, **{"User-Agent": FIREFOX}) as mine, calling(any_rt) as other:
        assert (await mine.post("/auth/login", json=body)).status_code == 200
        assert await rows(any_rt, "SELECT id FROM email") == []
        assert (await mine.post("/auth/login", json=body)).status_code == 200
        assert await rows(any_rt, "SELECT id FROM email") == [], "a known device"
        assert (await other.post("/auth/login", json=body)).status_code == 200
        assert [row.kind for row in await rows(any_rt, "SELECT kind FROM email")] == ["new_sign_in"]
        listed = (await mine.get("/security/devices")).json()["data"]
        assert len(listed) == 2
        assert [device["name"] for device in listed if device["current"]] == ["Firefox on Linux"]
    succeeded = await rows(any_rt, "SELECT detail FROM audit WHERE action = 'sign_in.succeeded' ORDER BY seq")
    assert ['"new_device":true' in row.detail for row in succeeded] == [True, False, True]


async def test_signing_in_again_ends_the_session_that_the_browser_had(rt: Runtime) -> None:
    user = await make_user(rt)
    body = {"email": user.email, "password": PASSWORD}
    async with calling(rt) as client:
        await client.post("/auth/login", json=body)
        before = client.cookies["np_session"]
        await client.post("/auth/login", json=body)
        assert client.cookies["np_session"] != before
        assert await sessions.find_by_token(rt, before) is None
        assert len((await client.get("/security/sessions")).json()["data"]) == 1


async def test_a_remembered_device_skips_the_second_factor_until_it_is_forgotten(any_rt: Runtime, clock: Clock) -> None:
    async with calling(any_rt, Origin=ORIGIN) as client:
        person = await make_person(any_rt, client, clock)
        body = {"email": person.email, "password": PASSWORD}

        async def sign_in(remember: bool = False) -> str:
            """`device` where no second factor was asked for, else `code`."""
            first = (await client.post("/auth/login", json=body)).json()
            if "user" in first:
                return "device"
            code = {"challenge": first["challenge"], "code": person.phone.code(), "remember_device": remember}
            assert (await client.post("/auth/mfa/verify", json=code)).status_code == 200
            clock.move()
            return "code"

        assert await sign_in() == "code"
        assert await sign_in(remember=True) == "code", "known is not remembered"
        assert await sign_in() == "device"
        session = (await client.get("/security/sessions")).json()["data"][0]
        assert session["methods"] == ["password", "device"]
        (device,) = (await client.get("/security/devices")).json()["data"]
        assert device["remembered_until"]

        # The token is of this very user, and of nobody else.
        vera = await make_person(any_rt, client, clock, Role.VIEWER)
        hers = await client.post("/auth/login", json={"email": vera.email, "password": PASSWORD})
        assert hers.json()["mfa_required"]

        await rules.change_rules(any_rt, SYSTEM, Rules(remember_days=0))
        assert await sign_in(remember=True) == "code", "the rules no longer allow it"
        await rules.change_rules(any_rt, SYSTEM, Rules(remember_days=30))
        assert await sign_in() == "device"

        (device,) = [each for each in (await client.get("/security/devices")).json()["data"] if each["current"]]
        assert (await client.delete(f"/security/devices/{device['id']}")).status_code == 204
        problem(await client.delete(f"/security/devices/{device['id']}"), 404)
        assert await sign_in(remember=True) == "code"
        await execute(any_rt, "UPDATE device SET remembered_until = 1")
        assert await sign_in() == "code", "its days are over"
    assert len(await rows(any_rt, "SELECT seq FROM audit WHERE action = 'device.forgotten'")) == 1


async def test_forgetting_a_device_takes_its_count_of_failures_with_it(rt: Runtime) -> None:
    user = await make_user(rt)
    body = {"email": user.email, "password": PASSWORD}
    async with calling(rt, Origin=ORIGIN) as client:
        await client.post("/auth/login", json=body)
        problem(await client.post("/auth/login", json=body | {"password": "wrong"}), 401)
        assert len(await rows(rt, "SELECT key FROM throttle WHERE key LIKE '%dev_%'")) == 1
        (device,) = (await client.get("/security/devices")).json()["data"]
        await client.delete(f"/security/devices/{device['id']}")
        assert await rows(rt, "SELECT key FROM throttle") == []


async def test_a_device_is_nobody_elses_to_forget(rt: Runtime) -> None:
    ada, vera = await make_user(rt), await make_user(rt, Role.VIEWER)
    async with calling(rt) as client:
        await client.post("/auth/login", json={"email": ada.email, "password": PASSWORD})
    (device,) = await rows(rt, "SELECT id FROM device")
    async with calling(rt, Cookie=await make_cookie(rt, vera.id), Origin=ORIGIN) as client:
        problem(await client.delete(f"/security/devices/{device.id}"), 404)
        assert (await client.get("/security/devices")).json()["data"] == []


async def test_people_who_share_a_browser_are_both_known_in_it(rt: Runtime) -> None:
    people = [await make_user(rt, role) for role in (Role.ADMIN, Role.OPERATOR, Role.VIEWER)]
    async with calling(rt) as client:
        for _ in range(2):
            for user in people:
                assert (await client.post("/auth/login", json={"email": user.email, "password": PASSWORD})).is_success
    assert len(await rows(rt, "SELECT id FROM device")) == 3


async def test_a_planted_device_cookie_is_not_taken_over(rt: Runtime) -> None:
    user = await make_user(rt)
    planted = "x" * 32
    async with calling(rt) as client:
        client.cookies.set("np_device", planted)
        await client.post("/auth/login", json={"email": user.email, "password": PASSWORD})
    async with rt.database.read() as session:
        assert await devices.find(session, user.id, planted) is None


@pytest.mark.parametrize(
    "cookie", ["", ".", "x", "\0" * 32, "é" * 32, ".".join(["y" * 32] * 50), "a" * 4000, "%s" * 16, "'; --" * 7]
)
async def test_no_device_cookie_makes_a_sign_in_fail(any_rt: Runtime, cookie: str) -> None:
    user = await make_user(any_rt)
    done = await users.authenticate(any_rt, user.email, PASSWORD, Caller(device_cookie=cookie))
    assert done.id == user.id


async def test_tries_are_counted_by_hour_network_and_result(any_rt: Runtime) -> None:
    user, vera = await make_user(any_rt), await make_user(any_rt, Role.VIEWER)
    for ip in ("192.0.2.1", "192.0.2.200", "2001:db8:1:2::3", "2001:db8:1:ffff::1", "not an address"):
        with suppress(Exception):
            await users.authenticate(any_rt, user.email, "wrong", Caller(ip=ip))
    with suppress(Exception):
        await users.authenticate(any_rt, user.email, PASSWORD, Caller(ip="192.0.2.9"))
    async with calling(any_rt, Cookie=await make_cookie(any_rt, user.id)) as client:
        shown = (await client.get("/security/sign-ins?days=7")).json()
        found = {(row["network"], row["result"]): row["count"] for row in shown["data"]}
        assert found == {
            ("192.0.2.0/24", "wrong_password"): 2,
            ("2001:db8:1::/48", "wrong_password"): 2,
            ("unknown", "wrong_password"): 1,
            ("192.0.2.0/24", "limited"): 1,
        }
        assert [each["methods"] for each in shown["last"]] == [["password"]]
        for days in ("0", "91", "x"):
            problem(await client.get(f"/security/sign-ins?days={days}"), 422)
    async with calling(any_rt, Cookie=await make_cookie(any_rt, vera.id)) as client:
        assert (await client.get("/security/sign-ins")).json()["data"] == []


async def test_an_unknown_address_is_counted_the_same_and_what_was_typed_is_not_kept(rt: Runtime) -> None:
    typed = "hunter2-typed-in-the-wrong-field"
    async with calling(rt) as client:
        for _ in range(7):
            await client.post("/auth/login", json={"email": f"{typed}@example.com", "password": typed})
    assert await rows(rt, "SELECT user_id FROM sign_in_count") == []
    failed = await rows(rt, "SELECT * FROM audit WHERE action = 'sign_in.failed'")
    assert len(failed) == 5
    assert typed not in str(failed)
    assert typed not in str(await rows(rt, "SELECT * FROM throttle"))


async def test_an_unknown_user_takes_as_long_as_a_wrong_password(rt: Runtime) -> None:
    user, invited = await make_user(rt), await make_user(rt, Role.VIEWER)
    await execute(rt, f"UPDATE user_account SET password_hash = '' WHERE id = '{invited.id}'")
    times: dict[str, list[float]] = {user.email: [], "nobody@example.com": [], invited.email: []}
    async with calling(rt) as client:
        for _ in range(15):
            for email, taken in times.items():
                await execute(rt, "DELETE FROM throttle")
                before = time.perf_counter()
                answer = problem(await client.post("/auth/login", json={"email": email, "password": "wrong"}), 401)
                taken.append(time.perf_counter() - before)
                assert answer["detail"] == users.WRONG
    known, *others = (statistics.median(taken) for taken in times.values())
    # An Argon2 left out would make it a fifth or less.
    assert all(0.6 < other / known < 1.6 for other in others), times


async def test_a_session_ended_in_one_process_is_dead_in_the_other_within_a_second(any_rt: Runtime) -> None:
    other = Runtime(
        settings=any_rt.settings,
        database=Database(any_rt.settings.database),
        valkey=connect_valkey(any_rt.settings.valkey),
        keyring=any_rt.keyring,
        enqueue=any_rt.enqueue,
    )
    following = asyncio.create_task(sessions.follow_changes(other))
    try:
        user = await make_user(any_rt)
        cookie = await make_cookie(any_rt, user.id)
        token = cookie.partition("=")[2]
        closed: list[str] = []
        sessions.on_revoked(other, closed.append)
        await asyncio.sleep(0.3)  # for the subscription
        live = await live_of(any_rt, cookie)
        assert await sessions.find_by_token(other, token) is not None, "known there from here on"
        await sessions.revoke(any_rt, live.actor(), live.session_id)
        async with asyncio.timeout(1):
            while await sessions.find_by_token(other, token) is not None:
                await asyncio.sleep(0.01)
            while closed != [live.session_id]:
                await asyncio.sleep(0.01)
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await other.close()


async def test_ending_all_other_sessions_says_how_many_and_is_recorded(any_rt: Runtime) -> None:
    user, vera = await make_user(any_rt), await make_user(any_rt, Role.VIEWER)
    mine, *others = [await make_cookie(any_rt, user.id) for _ in range(4)]
    hers = await make_cookie(any_rt, vera.id)
    async with calling(any_rt, Origin=ORIGIN) as client:
        ended = await client.delete("/security/sessions", headers={"Cookie": mine})
        assert ended.json() == {"ended": 3}
        for cookie in others:
            problem(await client.get("/auth/me", headers={"Cookie": cookie}), 401)
        for cookie in (mine, hers):
            assert (await client.get("/auth/me", headers={"Cookie": cookie})).status_code == 200
        foreign = (await live_of(any_rt, hers)).session_id
        problem(await client.delete(f"/security/sessions/{foreign}", headers={"Cookie": mine}), 404)
        assert (await client.post("/auth/logout", headers={"Cookie": mine})).status_code == 204
    recorded = await rows(any_rt, "SELECT action FROM audit WHERE action LIKE 'session.%' ORDER BY seq")
    assert [row.action for row in recorded] == ["session.revoked"] * 3 + ["session.signed_out"]
