"""Changing a password, resetting it by mail, accepting an invitation, changing an address."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pyotp
import pytest
import structlog
from pydantic import SecretStr
from sqlalchemy import select, text, update

from novapulse.core.actor import SYSTEM, Actor, Role
from novapulse.core.clock import now_ms
from novapulse.core.database import table_of
from novapulse.core.errors import ConflictError, ForbiddenError, NotFoundError
from novapulse.core.ids import new_id
from novapulse.core.runtime import Runtime
from novapulse.mail.models import Email
from novapulse.mail.service import open_message
from novapulse.security import challenges, factors, links, password_change, rules, throttle, users
from novapulse.security.models import Device, OneTimeLink, Session, Throttle, Totp, User
from novapulse.security.rules import Rules
from novapulse.security.users import UserPatch
from tests.calls import ORIGIN, PASSWORD, calling, make_user, problem

EMAIL, FRESH = "ada@example.com", "quite another phrase 43"
USER, DEVICE, LINK, MAIL = (table_of(model) for model in (User, Device, OneTimeLink, Email))
SESSION, THROTTLE = table_of(Session), table_of(Throttle)


async def sign_in(api: httpx.AsyncClient, email: str = EMAIL, password: str = PASSWORD) -> httpx.Response:
    return await api.post("/auth/login", json={"email": email, "password": password})


async def change(rt: Runtime, statement: Any, **values: Any) -> None:
    async with rt.database.write() as session:
        await session.execute(text(statement) if isinstance(statement, str) else statement, values)


async def mails(rt: Runtime, kind: str = "", to: str = EMAIL) -> list[str]:
    """The texts of what was mailed to somebody, oldest first."""
    async with rt.database.read() as session:
        rows = (await session.execute(select(MAIL).order_by(MAIL.c.id))).all()
    found = [(row, open_message(rt, row.id, row.content)) for row in rows]
    return [message.text for row, message in found if message.to == to and row.kind.startswith(kind)]


def token_in(mail: str) -> str:
    found = re.search(r"#token=([A-Za-z0-9_-]+)", mail)
    assert found is not None, mail
    return found[1]


async def audited(rt: Runtime, prefix: str) -> list[Any]:
    async with rt.database.read() as session:
        return list(
            await session.execute(
                text("SELECT action, actor_id, target_id, detail, result FROM audit WHERE action LIKE :p ORDER BY seq"),
                {"p": f"{prefix}%"},
            )
        )


async def forget_password(rt: Runtime, api: httpx.AsyncClient, email: str = EMAIL) -> str:
    """Ask for a link; its token."""
    assert (await api.post("/auth/password/forgot", json={"email": email})).status_code == 202
    return token_in((await mails(rt, "password_reset", users.normalise_email(email)))[-1])


async def invited(rt: Runtime, role: Role = Role.VIEWER) -> tuple[str, str]:
    """Somebody who was invited: id and token."""
    row = User(id=new_id("usr"), email=EMAIL, role=role.value, password_hash="", created_at=now_ms())
    async with rt.database.write() as session:
        session.add(row)
        await session.flush()
        return row.id, await links.make(rt, session, "invite", row.id, 7 * 86_400)


async def with_totp(rt: Runtime, user_id: str) -> str:
    """Give somebody a second factor; its seed."""
    seed, totp_id = pyotp.random_base32(), new_id("otp")
    sealed = rt.keyring.encrypt(seed, factors.secret_context(totp_id))
    async with rt.database.write() as session:
        session.add(Totp(id=totp_id, user_id=user_id, name="Phone", secret=sealed, confirmed_at=now_ms()))
        await session.execute(update(USER).where(USER.c.id == user_id).values(mfa_on_at=now_ms()))
    return seed


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[None]:
    """Do not wait for the answer of /forgot, except where its time is looked at."""
    if "time" not in request.node.name:
        monkeypatch.setattr(password_change, "_FORGOT_S", 0.0)
    yield


# Changing


async def test_a_change_ends_all_other_sessions_and_what_the_old_password_began(any_rt: Runtime) -> None:
    user = await make_user(any_rt, email=EMAIL)
    async with calling(any_rt, Origin=ORIGIN) as here, calling(any_rt, Origin=ORIGIN) as there:
        assert (await sign_in(here)).status_code == (await sign_in(there)).status_code == 200
        link = await forget_password(any_rt, here)
        half = await challenges.begin(any_rt, "sign_in", user.id, {})
        await change(any_rt, update(DEVICE).values(remembered_until=now_ms() + 10**9))
        before = here.cookies["np_session"]
        body = {"current_password": PASSWORD, "new_password": FRESH}
        assert (await here.post("/security/password", json=body)).status_code == 204

        assert here.cookies["np_session"] != before, "the session goes on under a new token"
        assert (await here.get("/auth/me")).status_code == 200
        problem(await there.get("/auth/me"), 401)
        problem(await there.post("/auth/password/reset", json={"token": link, "password": PASSWORD}), 403)
        with pytest.raises(Exception, match="begin again"):
            await challenges.find(any_rt, half, "sign_in")
        async with any_rt.database.read() as session:
            assert set((await session.execute(select(DEVICE.c.remembered_until))).scalars()) == {0}
        problem(await sign_in(there), 401)
        assert (await sign_in(there, password=FRESH)).status_code == 200
    (told,) = await mails(any_rt, "password_changed")
    assert "was changed" in told
    ((action, actor_id, target_id, detail, _),) = await audited(any_rt, "password.changed")
    assert (action, actor_id, target_id) == ("password.changed", user.id, user.id)
    assert PASSWORD not in detail
    assert FRESH not in detail


async def test_a_change_needs_the_password_and_a_good_new_one(rt: Runtime) -> None:
    await make_user(rt, email=EMAIL)
    async with calling(rt, Origin=ORIGIN) as api:
        await sign_in(api)
        for current, new, pointer in (
            ("not the password", FRESH, "/current_password"),
            (PASSWORD, PASSWORD, "/new_password"),
            (PASSWORD, "too short", "/new_password"),
            (PASSWORD, "passwordpassword", "/new_password"),
            (PASSWORD, "ada@example.com 2026", "/new_password"),
        ):
            body = {"current_password": current, "new_password": new}
            problem(await api.post("/security/password", json=body), 422, pointer)
        assert (await sign_in(api)).status_code == 200


async def test_a_change_is_for_who_has_proven_lately_that_it_is_them(rt: Runtime) -> None:
    await make_user(rt, email=EMAIL)
    async with calling(rt, Origin=ORIGIN) as api:
        await sign_in(api)
        await change(rt, update(SESSION).values(sudo_until=now_ms()))
        body = {"current_password": PASSWORD, "new_password": FRESH}
        for path, given in (("/security/password", body), ("/security/email", {"email": "b@example.com"})):
            assert problem(await api.post(path, json=given), 403)["type"].endswith(":reauthenticate")


async def test_wrong_passwords_at_a_change_are_limited_as_at_a_sign_in(rt: Runtime) -> None:
    await make_user(rt, email=EMAIL)
    async with calling(rt, Origin=ORIGIN) as api:
        await sign_in(api)
        body = {"current_password": "not the password", "new_password": FRESH}
        for _ in range(throttle.FREE_FAILURES):
            problem(await api.post("/security/password", json=body), 422)
        limited = await api.post("/security/password", json=body | {"current_password": PASSWORD})
        problem(limited, 429)
        assert int(limited.headers["retry-after"]) >= 1


# Resetting


async def test_a_reset_by_mail_changes_the_password_and_ends_every_session(any_rt: Runtime) -> None:
    user = await make_user(any_rt, email=EMAIL)
    async with calling(any_rt, Origin=ORIGIN) as owner, calling(any_rt, Origin=ORIGIN) as thief:
        await sign_in(thief)
        token = await forget_password(any_rt, owner, " ADA@example.com")
        (mail,) = await mails(any_rt, "password_reset")
        assert f"{any_rt.settings.base_url}/reset#token={token}" in mail
        look = (await owner.post("/auth/link", json={"token": token})).json()
        assert (look["kind"], look["email"], look["length_min"]) == ("reset", EMAIL, 15)
        weak = await owner.post("/auth/password/reset", json={"token": token, "password": "passwordpassword"})
        problem(weak, 422, "/password")
        done = await owner.post("/auth/password/reset", json={"token": token, "password": FRESH})
        assert done.status_code == 204
        assert "set-cookie" not in done.headers, "one signs in as usual"
        problem(await thief.get("/auth/me"), 401)
        problem(await owner.post("/auth/password/reset", json={"token": token, "password": PASSWORD}), 403)
        problem(await owner.post("/auth/link", json={"token": token}), 403)
        problem(await sign_in(owner), 401)
        assert (await sign_in(owner, password=FRESH)).status_code == 200
    assert len(await mails(any_rt, "password_changed")) == 1
    actions = [(row.action, row.target_id) for row in await audited(any_rt, "password.")]
    assert actions == [("password.reset_asked", user.id), ("password.reset", user.id)]


async def test_of_many_resets_by_one_link_one_counts(any_rt: Runtime) -> None:
    await make_user(any_rt, email=EMAIL)
    async with calling(any_rt) as api:
        token = await forget_password(any_rt, api)
        bodies = [{"token": token, "password": f"{FRESH} {number}"} for number in range(8)]
        answers = await asyncio.gather(*(api.post("/auth/password/reset", json=body) for body in bodies))
        statuses = [answer.status_code for answer in answers]
        assert sorted(statuses) == [204] + [403] * 7
        won = bodies[statuses.index(204)]["password"]
        assert (await sign_in(api, password=won)).status_code == 200
    assert len(await mails(any_rt, "password_changed")) == 1


async def test_a_reset_leaves_the_second_factor_where_it_is(rt: Runtime) -> None:
    user = await make_user(rt, email=EMAIL)
    seed = await with_totp(rt, user.id)
    async with calling(rt, Origin=ORIGIN) as api:
        token = await forget_password(rt, api)
        assert (await api.post("/auth/password/reset", json={"token": token, "password": FRESH})).status_code == 204
        asked = (await sign_in(api, password=FRESH)).json()
        assert asked["mfa_required"] is True
        problem(await api.get("/auth/me"), 401)
        body = {"challenge": asked["challenge"], "code": pyotp.TOTP(seed).now()}
        assert (await api.post("/auth/mfa/verify", json=body)).status_code == 200


async def test_a_reset_ends_the_wait_that_wrong_passwords_brought(rt: Runtime) -> None:
    await make_user(rt, email=EMAIL)
    await make_user(rt, email="other@example.com")
    async with calling(rt, Origin=ORIGIN) as api:
        for _ in range(throttle.FREE_FAILURES):
            problem(await sign_in(api, password="not the password"), 401)
            problem(await sign_in(api, "other@example.com", "not the password"), 401)
        await change(rt, update(THROTTLE).values(locked_until=now_ms() + 60_000))
        problem(await sign_in(api), 429)
        token = await forget_password(rt, api)
        await api.post("/auth/password/reset", json={"token": token, "password": FRESH})
        assert (await sign_in(api, password=FRESH)).status_code == 200
        problem(await sign_in(api, "other@example.com"), 429)


async def test_the_answer_and_its_time_do_not_tell_who_has_an_account(rt: Runtime) -> None:
    await make_user(rt, email=EMAIL)
    out = await make_user(rt, Role.VIEWER, "out@example.com")
    await users.update_user(rt, SYSTEM, out.id, UserPatch(active=False))
    answers: set[tuple[int, str, tuple[str, ...]]] = set()
    took: dict[str, list[float]] = {}
    async with calling(rt) as api:
        for _ in range(3):
            for email in (EMAIL, "nobody@example.com", "out@example.com", "no address", ""):
                began = time.perf_counter()
                answer = await api.post("/auth/password/forgot", json={"email": email})
                took.setdefault(email, []).append(time.perf_counter() - began)
                answers.add((answer.status_code, answer.text, tuple(sorted(answer.headers))))
    assert len(answers) == 1
    quickest = [min(times) for times in took.values()]
    assert min(quickest) >= password_change._FORGOT_S  # pyright: ignore[reportPrivateUsage]
    assert max(quickest) - min(quickest) < 0.1
    assert not await mails(rt, to="out@example.com")
    assert not await mails(rt, to="nobody@example.com")


async def test_a_few_mails_an_hour_go_to_one_address_even_if_asked_at_once(any_rt: Runtime) -> None:
    await make_user(any_rt, email=EMAIL)
    async with calling(any_rt) as api:
        asks = (api.post("/auth/password/forgot", json={"email": EMAIL}) for _ in range(12))
        assert {answer.status_code for answer in await asyncio.gather(*asks)} == {202}
        sent = await mails(any_rt, "password_reset")
        assert len(sent) == password_change.MAILS_MAX
        dead = [(await api.post("/auth/link", json={"token": token_in(mail)})).status_code for mail in sent]
        assert sorted(dead) == [200, 403, 403], "the latest works"
        await change(any_rt, update(LINK).values(created_at=now_ms() - 3_600_001))
        await api.post("/auth/password/forgot", json={"email": EMAIL})
        assert len(await mails(any_rt, "password_reset")) == password_change.MAILS_MAX + 1


async def test_who_was_invited_or_shut_out_gets_no_link(rt: Runtime) -> None:
    await make_user(rt, Role.ADMIN, "root@example.com")
    await invited(rt)
    async with calling(rt) as api:
        await api.post("/auth/password/forgot", json={"email": EMAIL})
        assert not await mails(rt)
        other = await make_user(rt, Role.VIEWER, "other@example.com")
        token = await forget_password(rt, api, other.email)
        await users.update_user(rt, SYSTEM, other.id, UserPatch(active=False))
        problem(await api.post("/auth/password/reset", json={"token": token, "password": FRESH}), 403)
    for email, why in ((EMAIL, "invitation"), (other.email, "shut out")):
        with pytest.raises(ConflictError, match=why):
            await password_change.make_reset_link(rt, SYSTEM, email)


async def test_the_links_token_is_in_no_log_and_no_audit_row(rt: Runtime) -> None:
    await make_user(rt, email=EMAIL)
    with structlog.testing.capture_logs() as logs:
        async with calling(rt) as api:
            token = await forget_password(rt, api)
            await api.post("/auth/password/check", json={"password": FRESH, "token": token})
            await api.post("/auth/password/reset", json={"token": token, "password": FRESH})
    rows = str(await audited(rt, ""))
    assert token not in str(logs) + rows
    assert FRESH not in str(logs) + rows


async def test_an_operator_prints_a_link_that_resets(rt: Runtime) -> None:
    user = await make_user(rt, email=EMAIL)
    link = await password_change.make_reset_link(rt, SYSTEM, EMAIL)
    token = link.removeprefix(f"{rt.settings.base_url}/reset#token=")
    async with calling(rt) as api:
        assert (await api.post("/auth/password/reset", json={"token": token, "password": FRESH})).status_code == 204
        assert (await sign_in(api, password=FRESH)).status_code == 200
    assert [row.action for row in await audited(rt, "password.")] == ["password.reset_link_made", "password.reset"]
    with pytest.raises(NotFoundError):
        await password_change.make_reset_link(rt, SYSTEM, "nobody@example.com")
    admin = Actor("user", user.id, user.email, SYSTEM.permissions, sudo_until=now_ms() + 10_000)
    with pytest.raises(ForbiddenError):
        await password_change.make_reset_link(rt, admin, EMAIL)


# Coming in by an invitation


async def test_an_invitation_lets_its_reader_choose_a_password_and_come_in(any_rt: Runtime) -> None:
    user_id, token = await invited(any_rt, Role.OPERATOR)
    async with calling(any_rt, Origin=ORIGIN) as api:
        look = (await api.post("/auth/link", json={"token": token})).json()
        assert (look["kind"], look["email"]) == ("invite", EMAIL)
        problem(await api.post("/auth/invitation/accept", json={"token": token, "password": "short"}), 422, "/password")
        problem(await api.post("/auth/password/reset", json={"token": token, "password": FRESH}), 403)
        done = await api.post("/auth/invitation/accept", json={"token": token, "password": FRESH})
        assert done.status_code == 200
        assert (done.json()["user"]["id"], done.json()["user"]["invited"]) == (user_id, False)
        assert done.headers["cache-control"] == "no-store"
        assert (await api.get("/auth/me")).json()["user"]["role"] == "operator"
        problem(await api.post("/auth/invitation/accept", json={"token": token, "password": PASSWORD}), 403)
        assert (await sign_in(api, password=FRESH)).status_code == 200
    assert [row.action for row in await audited(any_rt, "invitation.")] == ["invitation.accepted"]


async def test_eight_characters_do_for_a_role_that_needs_a_second_factor(rt: Runtime) -> None:
    admin = Actor("user", "usr_0", "root", SYSTEM.permissions, sudo_until=now_ms() + 10_000)
    await rules.change_rules(rt, admin, Rules(require_mfa=["viewer"]))
    _, token = await invited(rt, Role.VIEWER)
    await make_user(rt, Role.OPERATOR, "other@example.com")
    async with calling(rt, Origin=ORIGIN) as api:
        assert (await api.post("/auth/link", json={"token": token})).json()["length_min"] == 8
        by_link = await api.post("/auth/password/check", json={"password": "xkq7m2pv", "token": token})
        assert by_link.json()["problem"] is None
        alone = await api.post("/auth/password/check", json={"password": "xkq7m2pv", "email": EMAIL})
        assert "at least 15" in alone.json()["problem"], "an address alone tells nothing of its user"
        body = {"token": token, "password": "xkq7m2pv"}
        assert (await api.post("/auth/invitation/accept", json=body)).status_code == 200
        await sign_in(api, "other@example.com")
        mine = await api.post("/auth/password/check", json={"password": "xkq7m2pv"})
        assert "at least 15" in mine.json()["problem"]


# Judging


async def test_the_check_says_how_good_a_password_is(rt: Runtime) -> None:
    async with calling(rt) as api:
        good = (await api.post("/auth/password/check", json={"password": FRESH})).json()
        assert (good["score"], good["problem"]) == (4, None)
        bad = (await api.post("/auth/password/check", json={"password": "aaaaaaaaaaaaaaaa"})).json()
        assert bad["score"] == 0
        assert bad["problem"] == 'This password is easily guessed. Repeats like "aaa" are easy to guess.'
        own = await api.post("/auth/password/check", json={"password": "ada@example.com", "email": EMAIL})
        assert "made of your address" in own.json()["problem"]
        assert (await api.post("/auth/password/check", json={"password": ""})).json()["score"] == 0
        problem(await api.post("/auth/password/check", json={"password": "x" * 1025}), 422, "/password")
        dead = await api.post("/auth/password/check", json={"password": FRESH, "token": "no such"})
        assert dead.json()["problem"] is None


# Another address


def set_mail(rt: Runtime) -> None:
    rt.settings = rt.settings.model_copy(update={"smtp_url": SecretStr("smtp://127.0.0.1:9")})


async def test_an_address_changes_when_the_link_mailed_there_is_opened(any_rt: Runtime) -> None:
    set_mail(any_rt)
    user = await make_user(any_rt, email=EMAIL)
    async with calling(any_rt, Origin=ORIGIN) as api, calling(any_rt) as elsewhere:
        await sign_in(api)
        stale = await forget_password(any_rt, api)
        assert (await api.post("/security/email", json={"email": "New@example.com"})).status_code == 202
        token = token_in((await mails(any_rt, "email_change", "new@example.com"))[0])
        assert (await api.get("/auth/me")).json()["user"]["email"] == EMAIL
        look = (await elsewhere.post("/auth/link", json={"token": token})).json()
        assert (look["kind"], look["email"]) == ("email", "new@example.com")
        done = await elsewhere.post("/auth/email/confirm", json={"token": token})
        assert (done.status_code, done.json()) == (200, {"email": "new@example.com"})
        assert (await api.get("/auth/me")).json()["user"]["email"] == "new@example.com"
        problem(await elsewhere.post("/auth/email/confirm", json={"token": token}), 403)
        problem(await elsewhere.post("/auth/password/reset", json={"token": stale, "password": FRESH}), 403)
        problem(await sign_in(elsewhere), 401)
        assert (await sign_in(elsewhere, "new@example.com")).status_code == 200
    (told,) = await mails(any_rt, "email_changed")
    assert "new@example.com" in told
    assert not await mails(any_rt, "email_changed", "new@example.com")
    rows = await audited(any_rt, "email.")
    assert [(row.action, row.actor_id) for row in rows] == [("email.change_asked", user.id), ("email.changed", user.id)]


async def test_an_address_that_cannot_be_used_is_refused(rt: Runtime) -> None:
    set_mail(rt)
    admin = Actor("user", "usr_0", "root", SYSTEM.permissions, sudo_until=now_ms() + 10_000)
    await make_user(rt, email=EMAIL)
    await make_user(rt, Role.VIEWER, "other@example.com")
    await rules.change_rules(rt, admin, Rules(email_domains=["example.com"]))
    async with calling(rt, Origin=ORIGIN) as api:
        await sign_in(api)
        for email in ("no address", "a@elsewhere.example", EMAIL):
            problem(await api.post("/security/email", json={"email": email}), 422, "/email")
        problem(await api.post("/security/email", json={"email": "other@example.com"}), 409)
        for _ in range(password_change.MAILS_MAX):
            assert (await api.post("/security/email", json={"email": "new@example.com"})).status_code == 202
        problem(await api.post("/security/email", json={"email": "new@example.com"}), 409)
        rt.settings = rt.settings.model_copy(update={"smtp_url": SecretStr("")})
        assert (
            "No mail can be sent"
            in problem(await api.post("/security/email", json={"email": "n@example.com"}), 409)["detail"]
        )


async def test_an_address_that_became_somebodys_meanwhile_stays_theirs(any_rt: Runtime) -> None:
    set_mail(any_rt)
    await make_user(any_rt, email=EMAIL)
    async with calling(any_rt, Origin=ORIGIN) as api:
        await sign_in(api)
        await api.post("/security/email", json={"email": "new@example.com"})
        token = token_in((await mails(any_rt, "email_change", "new@example.com"))[0])
        await make_user(any_rt, Role.VIEWER, "new@example.com")
        problem(await api.post("/auth/email/confirm", json={"token": token}), 409)
        assert (await api.get("/auth/me")).json()["user"]["email"] == EMAIL


async def test_links_are_for_our_own_pages_only(rt: Runtime) -> None:
    async with calling(rt, Origin="https://evil.example") as api:
        for path, body in (
            ("/auth/password/forgot", {"email": EMAIL}),
            ("/auth/password/reset", {"token": "x", "password": FRESH}),
            ("/auth/password/check", {"password": FRESH}),
            ("/auth/invitation/accept", {"token": "x", "password": FRESH}),
            ("/auth/email/confirm", {"token": "x"}),
            ("/auth/link", {"token": "x"}),
        ):
            assert "another origin" in problem(await api.post(path, json=body), 403)["detail"]
