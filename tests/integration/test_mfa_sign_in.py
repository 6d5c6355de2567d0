"""Signing in with a second factor: each code once, and guesses that lead nowhere but do not lock the owner out."""

from __future__ import annotations

import asyncio
import math
import time
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from novapulse.core.actor import SYSTEM, Role
from novapulse.core.errors import LimitedError, UnauthorizedError
from novapulse.core.runtime import Runtime
from novapulse.security import challenges, factors, passwords, sign_in, users
from novapulse.security.devices import Caller
from novapulse.security.factors import CLOCK_OFF
from novapulse.security.models import User
from novapulse.security.users import UserPatch
from tests.calls import ORIGIN, PASSWORD, calling, make_cookie, make_user, problem
from tests.second_factor import Clock, Person, Phone, make_person


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


async def rows(rt: Runtime, query: str) -> list[Any]:
    async with rt.database.read() as session:
        return list((await session.execute(text(query))).all())


async def execute(rt: Runtime, statement: str) -> None:
    async with rt.database.write() as session:
        await session.execute(text(statement))


async def unlock(rt: Runtime) -> None:
    await execute(rt, "DELETE FROM throttle")


async def password_step(client: httpx.AsyncClient, person: Person, **headers: str) -> dict[str, Any]:
    body = {"email": person.email, "password": PASSWORD}
    response = await client.post("/auth/login", json=body, headers=headers)
    assert response.status_code == 200, response.text
    return response.json()


async def code_step(client: httpx.AsyncClient, challenge: str, code: str, **body: Any) -> httpx.Response:
    return await client.post("/auth/mfa/verify", json={"challenge": challenge, "code": code, **body})


async def test_password_and_code_sign_in(any_rt: Runtime, clock: Clock) -> None:
    async with calling(any_rt) as client:
        person = await make_person(any_rt, client, clock)
        first = await password_step(client, person)
        assert first["mfa_required"] is True
        assert first["methods"] == ["totp", "recovery_code"]
        assert "np_session" not in client.cookies, "the password alone opens nothing"
        done = await code_step(client, first["challenge"], person.phone.code())
        assert done.status_code == 200
        assert done.json()["user"]["email"] == person.email
        assert (done.json()["method"], done.json()["recovery_codes_left"]) == ("totp", 10)
        assert done.headers["cache-control"] == "no-store"
        for cookie in done.headers.get_list("set-cookie"):
            assert "HttpOnly" in cookie
            assert "SameSite=lax" in cookie
        assert (await client.get("/auth/me")).json()["user"]["email"] == person.email
        session = (await client.get("/security/sessions")).json()["data"][0]
        assert session["methods"] == ["password", "totp"]
        # A challenge is used up by it.
        over = problem(await code_step(client, first["challenge"], person.codes[0]), 401)
        assert over["type"] == challenges.ENDED


async def test_a_code_signs_in_once_and_none_before_it_does(any_rt: Runtime, clock: Clock) -> None:
    async with calling(any_rt) as client:
        person = await make_person(any_rt, client, clock)

        async def try_code(code: str) -> httpx.Response:
            await unlock(any_rt)
            return await code_step(client, (await password_step(client, person))["challenge"], code)

        first = person.phone.code()
        assert (await try_code(first)).status_code == 200
        assert "has been used" in problem(await try_code(first), 401)["detail"]
        ahead = person.phone.code(1)
        assert (await try_code(ahead)).status_code == 200, "a phone that is half a minute fast"
        # Both are still within the window, and so is the one between: A, B, A and an older one are refused alike.
        for code in (first, ahead, person.phone.code(0), person.phone.code(-1)):
            problem(await try_code(code), 401)
        clock.move(2)
        problem(await try_code(ahead), 401)
        assert (await try_code(person.phone.code())).status_code == 200


async def test_codes_of_another_time_say_that_the_clock_is_off_and_count_as_failures(rt: Runtime, clock: Clock) -> None:
    async with calling(rt) as client:
        person = await make_person(rt, client, clock)
        challenge = (await password_step(client, person))["challenge"]
        for steps, expected in ((-10, CLOCK_OFF), (-2, CLOCK_OFF), (2, CLOCK_OFF), (11, "about:blank")):
            answer = problem(await code_step(client, challenge, person.phone.code(steps)), 401)
            assert answer["type"] == expected, steps
        (count,) = await rows(rt, "SELECT failures FROM throttle WHERE key LIKE 'code:%'")
        assert count.failures == 4


async def test_a_challenge_ends_after_five_wrong_codes(any_rt: Runtime, clock: Clock) -> None:
    async with calling(any_rt) as client:
        person = await make_person(any_rt, client, clock)
        challenge = (await password_step(client, person))["challenge"]
        for wrong in ("000000", "zzzz-zzzz-zzzz-zzzz", "not a code at all", "12345678"):
            assert problem(await code_step(client, challenge, wrong), 401)["type"] == "about:blank"
        assert problem(await code_step(client, challenge, "000000"), 401)["type"] == challenges.ENDED
        warned = await rows(any_rt, "SELECT recipient FROM email WHERE kind = 'password_known'")
        assert [each.recipient for each in warned] == [person.email], "their password is known to somebody"
        await unlock(any_rt)
        assert problem(await code_step(client, challenge, person.phone.code()), 401)["type"] == challenges.ENDED
        assert "np_session" not in client.cookies


async def test_a_challenge_ends_after_ten_minutes_and_with_its_user(rt: Runtime, clock: Clock) -> None:
    async with calling(rt) as client:
        await make_user(rt, email="other-admin@example.com")
        person = await make_person(rt, client, clock)
        old = (await password_step(client, person))["challenge"]
        await execute(rt, "UPDATE challenge SET expires_at = expires_at - 600000")
        assert problem(await code_step(client, old, person.phone.code()), 401)["type"] == challenges.ENDED
        challenge = (await password_step(client, person))["challenge"]
        await users.update_user(rt, SYSTEM, person.id, UserPatch(active=False))
        problem(await code_step(client, challenge, person.phone.code()), 401)
        assert "np_session" not in client.cookies


async def test_the_codes_of_one_user_open_nothing_of_another(any_rt: Runtime, clock: Clock) -> None:
    async with calling(any_rt) as client:
        ada = await make_person(any_rt, client, clock)
        vera = await make_person(any_rt, client, clock, Role.VIEWER)
        challenge = (await password_step(client, ada))["challenge"]
        for code in (vera.phone.code(), vera.codes[1]):
            problem(await code_step(client, challenge, code), 401)
        assert (await code_step(client, challenge, ada.phone.code())).status_code == 200


async def test_an_authenticator_that_is_not_set_up_signs_nobody_in(any_rt: Runtime, clock: Clock) -> None:
    user = await make_user(any_rt)
    headers = {"Cookie": await make_cookie(any_rt, user.id), "Origin": ORIGIN}
    async with calling(any_rt) as client:
        phone = Phone((await client.post("/security/mfa/enroll", headers=headers)).json()["secret"], clock)
        body = {"email": user.email, "password": PASSWORD}
        assert "user" in (await client.post("/auth/login", json=body)).json(), "no second factor yet"
    async with calling(any_rt) as client:
        person = await make_person(any_rt, client, clock, Role.VIEWER)
        begun = await client.post("/security/mfa/enroll", headers={"Cookie": person.cookie, "Origin": ORIGIN})
        pending = Phone(begun.json()["secret"], clock)
        challenge = (await password_step(client, person))["challenge"]
        for each in (phone, pending):
            problem(await code_step(client, challenge, each.code()), 401)


async def test_of_a_hundred_tries_of_one_code_exactly_one_passes(any_rt: Runtime, clock: Clock) -> None:
    async with calling(any_rt) as client:
        person = await make_person(any_rt, client, clock)
    async with any_rt.database.read() as session:
        user = await session.get_one(User, person.id)
    code, caller = person.phone.code(), Caller()
    # Beside the limit: each from a device of its own, which has a count of its own.
    tries = [factors.judge(any_rt, user, code, caller, f"dev_{n}", "sign_in") for n in range(100)]
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(outcome, factors.Proof) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, factors.WrongCodeError) for outcome in outcomes) == 99
    # Through the front door.
    clock.move()
    tokens = [await challenges.begin(any_rt, "mfa", person.id, {}) for _ in range(100)]
    entries = [sign_in.with_code(any_rt, token, person.phone.code(), caller, remember=False) for token in tokens]
    outcomes = await asyncio.gather(*entries, return_exceptions=True)
    assert sum(isinstance(outcome, tuple) for outcome in outcomes) == 1
    assert {type(each) for each in outcomes} <= {tuple, UnauthorizedError, LimitedError}
    assert len(await rows(any_rt, "SELECT id FROM session WHERE methods = 'password totp'")) == 1


async def test_of_many_tries_of_one_recovery_code_exactly_one_passes(any_rt: Runtime, clock: Clock) -> None:
    async with calling(any_rt) as client:
        person = await make_person(any_rt, client, clock)
    async with any_rt.database.read() as session:
        user = await session.get_one(User, person.id)
    tries = [factors.judge(any_rt, user, person.codes[7], Caller(), f"dev_{n}", "sign_in") for n in range(20)]
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(outcome, factors.Proof) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, factors.WrongCodeError) for outcome in outcomes) == 19
    assert len(await rows(any_rt, "SELECT id FROM recovery_code WHERE used_at IS NOT NULL")) == 1
    assert len(await rows(any_rt, "SELECT id FROM email WHERE kind = 'recovery_code_used'")) == 1


async def test_a_challenge_lets_one_in(any_rt: Runtime, clock: Clock) -> None:
    async with calling(any_rt) as client:
        person = await make_person(any_rt, client, clock)
    token, caller = await challenges.begin(any_rt, "mfa", person.id, {}), Caller()
    # Each of these is right by itself.
    codes = (person.phone.code(), person.codes[1], person.codes[2])
    entries = [sign_in.with_code(any_rt, token, code, caller, remember=False) for code in codes]
    outcomes = await asyncio.gather(*entries, return_exceptions=True)
    assert sum(isinstance(outcome, tuple) for outcome in outcomes) == 1


async def test_recovery_codes_sign_in_in_any_order_each_once_and_are_told_of(any_rt: Runtime, clock: Clock) -> None:
    async with calling(any_rt) as client:
        person = await make_person(any_rt, client, clock)
        for left, index in ((9, 8), (8, 2), (7, 5)):
            typed = person.codes[index].upper().replace("-", "")
            done = await code_step(client, (await password_step(client, person))["challenge"], typed)
            assert (done.json()["method"], done.json()["recovery_codes_left"]) == ("recovery_code", left)
        challenge = (await password_step(client, person))["challenge"]
        problem(await code_step(client, challenge, person.codes[8]), 401)
        shown = (await client.get("/security/mfa")).json()["recovery_codes"]
        assert (shown["left"], shown["total"], shown["warning"]) == (7, 10, None)
        await execute(any_rt, f"UPDATE recovery_code SET used_at = 1 WHERE id IN ({await unused(any_rt, 4)})")
        shown = (await client.get("/security/mfa")).json()["recovery_codes"]
        assert shown["left"] == 3
        assert shown["warning"].startswith("3 recovery codes are left.")
    mails = await rows(any_rt, "SELECT id FROM email WHERE kind = 'recovery_code_used'")
    audited = await rows(any_rt, "SELECT detail FROM audit WHERE action = 'mfa.recovery_code_used' ORDER BY seq")
    assert len(mails) == 3
    assert [row.detail for row in audited] == ['{"left":9}', '{"left":8}', '{"left":7}']


async def unused(rt: Runtime, count: int) -> str:
    found = await rows(rt, f"SELECT id FROM recovery_code WHERE used_at IS NULL LIMIT {count}")
    return ", ".join(f"'{row.id}'" for row in found)


async def test_new_recovery_codes_end_the_old_ones(rt: Runtime, clock: Clock) -> None:
    async with calling(rt) as client:
        person = await make_person(rt, client, clock)
        made = await client.post("/security/recovery-codes", headers={"Cookie": person.cookie, "Origin": ORIGIN})
        challenge = (await password_step(client, person))["challenge"]
        problem(await code_step(client, challenge, person.codes[1]), 401)
        done = await code_step(client, challenge, made.json()["recovery_codes"][0])
        assert done.status_code == 200


async def test_a_thousand_guesses_reach_nothing_and_the_owner_still_gets_in(
    rt: Runtime, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = {"password": 0, "code": 0}
    verify, prove = passwords.verify_password, factors._prove

    async def counted_verify(*args: Any) -> bool:
        judged["password"] += 1
        return await verify(*args)

    async def counted_prove(*args: Any) -> factors.Proof:
        judged["code"] += 1
        return await prove(*args)

    async with calling(rt) as owner, calling(rt) as thief:
        person = await make_person(rt, owner, clock)
        done = await code_step(owner, (await password_step(owner, person))["challenge"], person.phone.code())
        assert done.status_code == 200, "the owner's browser is known from here"
        monkeypatch.setattr(users, "verify_password", counted_verify)
        monkeypatch.setattr(factors, "_prove", counted_prove)

        # Somebody who has the password guesses codes, from so many networks that no limit per network sees it.
        began = time.monotonic()
        token = (await password_step(thief, person))["challenge"]
        for n in range(1000):
            with pytest.raises((UnauthorizedError, LimitedError)) as refused:
                await sign_in.with_code(rt, token, f"{n:06}", Caller(ip=f"198.51.{n % 256}.1"), remember=False)
            if refused.value.type == challenges.ENDED:
                # Beside what it costs to sign in again: the count of failures is what has to hold.
                token = await challenges.begin(rt, "mfa", person.id, {})
        assert 5 <= judged["code"] <= allowed(began)
        # And somebody who does not have it guesses that.
        began = time.monotonic()
        judged["password"] = 0
        for n in range(1000):
            with pytest.raises((UnauthorizedError, LimitedError)):
                await users.authenticate(rt, person.email, f"guess number {n}", Caller(ip=f"198.51.{n % 256}.1"))
        assert 5 <= judged["password"] <= allowed(began)
        guesses = dict(judged)

        # A stranger is not even let in with the right ones; the owner is, and by all factors.
        body = {"email": person.email, "password": PASSWORD}
        await execute(rt, "UPDATE throttle SET locked_until = updated_at + 600000")
        problem(await thief.post("/auth/login", json=body), 429)
        owner.cookies.delete("np_session")
        clock.move()
        done = await code_step(owner, (await password_step(owner, person))["challenge"], person.phone.code())
        assert done.status_code == 200
        tried = (await owner.get("/security/sign-ins")).json()["data"]
        assert total(tried, "wrong_code") == guesses["code"]
        assert total(tried, "wrong_password") == guesses["password"]
        assert total(tried, "limited") >= 1700, "of the challenges that ended, no user is known"
    failed = await rows(rt, "SELECT seq FROM audit WHERE action = 'sign_in.failed'")
    assert len(failed) == sum(guesses.values()), "what was not judged does not fill the log"


def total(tried: list[dict[str, Any]], result: str) -> int:
    return sum(row["count"] for row in tried if row["result"] == result)


def allowed(began: float) -> int:
    """How many guesses may have been judged since: five at once, then one after each wait of 1, 2, 4, 8 ... s."""
    return 5 + int(math.log2(time.monotonic() - began + 1))


async def test_password_and_second_factor_are_counted_apart(rt: Runtime, clock: Clock) -> None:
    async with calling(rt) as client:
        person = await make_person(rt, client, clock)
        for n in range(4):
            body = {"email": person.email, "password": f"guess number {n}, certainly"}
            problem(await client.post("/auth/login", json=body), 401)
        challenge = (await password_step(client, person))["challenge"]
        for _ in range(4):
            problem(await code_step(client, challenge, "000000"), 401)
        # A right password resets nothing of the codes, nor do wrong codes count as wrong passwords.
        await password_step(client, person)
        (count,) = await rows(rt, "SELECT key, failures FROM throttle")
        assert count.key.startswith("code:")
        assert count.failures == 4


async def test_a_password_alone_confirms_only_who_has_no_second_factor(rt: Runtime, clock: Clock) -> None:
    plain = await make_user(rt, Role.VIEWER)
    async with calling(rt, Origin=ORIGIN) as client:
        person = await make_person(rt, client, clock)
        cookie = await make_cookie(rt, plain.id)
        confirm = {"Cookie": cookie}
        wrong = problem(await client.post("/auth/reauthenticate", json={"password": "no"}, headers=confirm), 401)
        assert wrong["detail"] == "The password is wrong."
        done = await client.post("/auth/reauthenticate", json={"password": PASSWORD}, headers=confirm)
        assert done.status_code == 200
        assert done.json()["sudo_until"]
        for body in ({}, {"password": "a", "code": "b"}, {"credential": {}}, {"challenge": "x"}):
            problem(await client.post("/auth/reauthenticate", json=body, headers=confirm), 422)

        mine = {"Cookie": person.cookie}
        refused = problem(await client.post("/auth/reauthenticate", json={"password": PASSWORD}, headers=mine), 401)
        assert refused["type"] == sign_in.SECOND_FACTOR
        for code, status in ((person.phone.code(), 200), (person.phone.code(), 401), (person.codes[9], 200)):
            answer = await client.post("/auth/reauthenticate", json={"code": code}, headers=mine)
            assert answer.status_code == status
    granted = await rows(rt, "SELECT detail FROM audit WHERE action = 'sudo.granted' ORDER BY seq")
    methods = [f'{{"method":"{method}"}}' for method in ("password", "totp", "recovery_code")]
    assert [row.detail for row in granted] == methods
    assert len(await rows(rt, "SELECT seq FROM audit WHERE action = 'sudo.failed'")) == 2


async def test_confirming_goes_on_under_a_new_token(any_rt: Runtime, clock: Clock) -> None:
    user = await make_user(any_rt)
    before = await make_cookie(any_rt, user.id)
    async with calling(any_rt, Origin=ORIGIN) as client:
        done = await client.post("/auth/reauthenticate", json={"password": PASSWORD}, headers={"Cookie": before})
        after = f"np_session={done.cookies['np_session']}"
        assert after != before
        await execute(any_rt, "UPDATE session SET previous_until = 1")
    async with calling(any_rt, Origin=ORIGIN) as client:
        assert (await client.get("/auth/me", headers={"Cookie": after})).status_code == 200
        await asyncio.sleep(2.1)  # for as long as a session is known without being looked up
        problem(await client.get("/auth/me", headers={"Cookie": before}), 401)
