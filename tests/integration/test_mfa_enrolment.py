"""Setting up a second factor, keeping recovery codes, proving, and taking it away."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from sqlalchemy import text

from novapulse.core.actor import SYSTEM, Role
from novapulse.core.clock import now_ms
from novapulse.core.errors import ReauthenticationError
from novapulse.core.runtime import Runtime
from novapulse.security import authenticators, mfa, rules, sessions
from novapulse.security.factors import CLOCK_OFF
from novapulse.security.rules import Rules
from tests.calls import ORIGIN, calling, make_cookie, make_user, problem
from tests.second_factor import Clock, Phone, enrol, live_of, make_person

REAUTHENTICATE = "urn:novapulse:problem:reauthenticate"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


async def rows(rt: Runtime, query: str) -> list[Any]:
    async with rt.database.read() as session:
        return list((await session.execute(text(query))).all())


async def execute(rt: Runtime, statement: str) -> None:
    async with rt.database.write() as session:
        await session.execute(text(statement))


async def mails(rt: Runtime) -> list[str]:
    return [row.kind for row in await rows(rt, "SELECT kind FROM email ORDER BY id")]


async def acts(rt: Runtime) -> list[str]:
    return [row.action for row in await rows(rt, "SELECT action FROM audit WHERE action LIKE 'mfa.%' ORDER BY seq")]


async def show(client: httpx.AsyncClient) -> dict[str, Any]:
    response = await client.get("/security/mfa")
    assert response.status_code == 200
    return response.json()


async def test_setting_up_from_the_first_code_to_kept_recovery_codes(any_rt: Runtime, clock: Clock) -> None:
    user = await make_user(any_rt)
    async with calling(any_rt, Cookie=await make_cookie(any_rt, user.id), Origin=ORIGIN) as client:
        before = await show(client)
        assert (before["on"], before["authenticators"], before["recovery_codes"]["total"]) == (False, [], 0)

        begun = await client.post("/security/mfa/enroll", json={"name": " My  phone "})
        assert begun.headers["cache-control"] == "no-store"
        made = begun.json()
        assert made["otpauth_uri"].startswith("otpauth://totp/NovaPulse:admin%40example.com?secret=" + made["secret"])
        assert made["qr_svg"].startswith("<svg ")
        assert (await show(client))["authenticators"] == [], "it is pending"

        phone = Phone(made["secret"], clock)
        confirmed = await client.post("/security/mfa/confirm", json={"code": phone.code(), "id": made["id"]})
        assert confirmed.headers["cache-control"] == "no-store"
        codes = confirmed.json()["recovery_codes"]
        assert len(codes) == 10
        pending = await show(client)
        assert not pending["on"]
        assert [each["name"] for each in pending["authenticators"]] == ["My phone"]
        assert not pending["recovery_codes"]["saved"]
        assert "keep your recovery codes" in pending["recovery_codes"]["warning"]

        problem(await client.post("/security/mfa/saved", json={"code": "abcd-efgh-jkmn-pqrs"}), 422, "/code")
        for empty in ({}, {"saved": False}, {"code": codes[0], "saved": True}):
            problem(await client.post("/security/mfa/saved", json=empty), 422)
        assert not (await show(client))["on"]
        typed = codes[4].upper().replace("-", " ")
        assert (await client.post("/security/mfa/saved", json={"code": typed})).status_code == 204
        after = await show(client)
        assert after["on"]
        assert after["on_since"]
        assert (after["recovery_codes"]["left"], after["recovery_codes"]["saved"]) == (10, True), "it was not burned"
        assert after["recovery_codes"]["warning"] is None
        assert after["recovery_codes"]["proven_at"]
        assert (await client.get("/auth/me")).json()["user"]["mfa"] is True
    assert await mails(any_rt) == ["authenticator_added", "mfa_on"]
    assert await acts(any_rt) == ["mfa.authenticator_added", "mfa.enabled"]


async def test_wrong_codes_confirm_nothing_and_a_wrong_clock_is_told(rt: Runtime, clock: Clock) -> None:
    user = await make_user(rt)
    async with calling(rt, Cookie=await make_cookie(rt, user.id), Origin=ORIGIN) as client:
        problem(await client.post("/security/mfa/confirm", json={"code": "123456"}), 409)
        phone = Phone((await client.post("/security/mfa/enroll")).json()["secret"], clock)
        for steps in (-11, 11):
            answer = problem(await client.post("/security/mfa/confirm", json={"code": phone.code(steps)}), 422, "/code")
            assert answer["type"] == "about:blank"
        for steps in (-10, -2, 2, 10):
            answer = problem(await client.post("/security/mfa/confirm", json={"code": phone.code(steps)}), 422, "/code")
            assert answer["type"] == CLOCK_OFF
            assert "clock is off" in answer["detail"]
        for nonsense in ("", "12345", "1234567", "abcdef", "１２３４５６", "abcd-efgh-jkmn-pqrs"):
            problem(await client.post("/security/mfa/confirm", json={"code": nonsense}), 422, "/code")
        assert (await show(client))["authenticators"] == []
        confirmed = await client.post("/security/mfa/confirm", json={"code": phone.code(-1)})
        assert confirmed.status_code == 200, "one step of drift"


async def test_a_set_up_ends_after_ten_minutes(any_rt: Runtime, clock: Clock) -> None:
    user = await make_user(any_rt)
    async with calling(any_rt, Cookie=await make_cookie(any_rt, user.id), Origin=ORIGIN) as client:
        phone = Phone((await client.post("/security/mfa/enroll")).json()["secret"], clock)
        clock.ms += authenticators.PENDING_MS + 1
        problem(await client.post("/security/mfa/confirm", json={"code": phone.code()}), 409)
    await execute(any_rt, f"UPDATE totp SET created_at = created_at - {authenticators.PENDING_MS}")
    await authenticators.delete_pending(any_rt)
    assert await rows(any_rt, "SELECT id FROM totp") == []


async def test_a_set_up_replaces_the_one_before(rt: Runtime, clock: Clock) -> None:
    user = await make_user(rt)
    async with calling(rt, Cookie=await make_cookie(rt, user.id), Origin=ORIGIN) as client:
        first = (await client.post("/security/mfa/enroll")).json()
        second = (await client.post("/security/mfa/enroll")).json()
        assert len(await rows(rt, "SELECT id FROM totp")) == 1
        old = {"code": Phone(first["secret"], clock).code()}
        problem(await client.post("/security/mfa/confirm", json=old), 422, "/code")
        problem(await client.post("/security/mfa/confirm", json=old | {"id": first["id"]}), 409)
        new = {"code": Phone(second["secret"], clock).code(), "id": second["id"]}
        assert (await client.post("/security/mfa/confirm", json=new)).status_code == 200
        problem(await client.post("/security/mfa/confirm", json=new), 409)


async def test_a_set_up_is_nobody_elses_to_end(rt: Runtime, clock: Clock) -> None:
    ada, vera = await make_user(rt), await make_user(rt, Role.VIEWER)
    async with calling(rt, Origin=ORIGIN) as client:
        mine, hers = [{"Cookie": await make_cookie(rt, user.id)} for user in (ada, vera)]
        begun = (await client.post("/security/mfa/enroll", headers=mine)).json()
        body = {"code": Phone(begun["secret"], clock).code(), "id": begun["id"]}
        problem(await client.post("/security/mfa/confirm", json=body, headers=hers), 409)
        phone, _ = await enrol(client, clock, **mine)
        assert phone
        (row,) = await rows(rt, "SELECT id FROM totp WHERE confirmed_at IS NOT NULL")
        problem(await client.delete(f"/security/mfa/authenticators/{row.id}", headers=hers), 404)
        problem(await client.patch(f"/security/mfa/authenticators/{row.id}", json={"name": "x"}, headers=hers), 404)


async def test_several_authenticators_have_names_and_the_last_one_stays(any_rt: Runtime, clock: Clock) -> None:
    async with calling(any_rt, Origin=ORIGIN) as client:
        person = await make_person(any_rt, client, clock)
        client.headers["Cookie"] = person.cookie
        second, codes = await enrol(client, clock)
        assert codes == [], "those from before still work"
        first, other = (await show(client))["authenticators"]
        assert (first["name"], other["name"]) == ("Authenticator app", "Authenticator app 2")
        renamed = await client.patch(f"/security/mfa/authenticators/{other['id']}", json={"name": "Tablet"})
        assert renamed.json()["name"] == "Tablet"
        for name in ("", "   ", "x" * 61, "a\u202eb"):
            body = {"name": name}
            problem(await client.patch(f"/security/mfa/authenticators/{other['id']}", json=body), 422, "/name")
        for phone in (person.phone, second):
            proven = (await client.post("/security/mfa/drill", json={"code": phone.code()})).json()
            assert proven["kind"] == "totp"
        assert (await client.delete(f"/security/mfa/authenticators/{first['id']}")).status_code == 204
        clock.move()
        problem(await client.post("/security/mfa/drill", json={"code": person.phone.code()}), 422, "/code")
        refusal = problem(await client.delete(f"/security/mfa/authenticators/{other['id']}"), 409)
        assert "last second factor" in refusal["detail"]
        assert (await show(client))["on"]
    assert "authenticator_removed" in await mails(any_rt)
    assert "mfa.authenticator_removed" in await acts(any_rt)


async def test_what_is_sensitive_asks_again_who_it_is(rt: Runtime, clock: Clock) -> None:
    async with calling(rt, Origin=ORIGIN) as client:
        person = await make_person(rt, client, clock)
        client.headers["Cookie"] = person.cookie
        (row,) = await rows(rt, "SELECT id FROM totp")
        stale = await stale_cookie(rt, person.id)
        for method, path in (
            ("POST", "/security/mfa/enroll"),
            ("POST", "/security/mfa/disable"),
            ("POST", "/security/recovery-codes"),
            ("DELETE", f"/security/mfa/authenticators/{row.id}"),
        ):
            answer = problem(await client.request(method, path, headers={"Cookie": stale}), 403)
            assert answer["type"] == REAUTHENTICATE
        assert (await show(client))["on"]
    # The services ask as well, whoever calls them.
    actor = (await live_of(rt, stale)).actor()
    for call in (
        mfa.disable(rt, actor),
        mfa.new_recovery_codes(rt, actor),
        authenticators.enroll(rt, actor, None),
        authenticators.remove(rt, actor, row.id),
    ):
        with pytest.raises(ReauthenticationError):
            await call


async def stale_cookie(rt: Runtime, user_id: str) -> str:
    """A session whose user proved who they are more than ten minutes ago."""
    cookie = await make_cookie(rt, user_id)
    live = await live_of(rt, cookie)
    await execute(rt, f"UPDATE session SET sudo_until = {now_ms() - 1} WHERE id = '{live.session_id}'")
    await sessions.refresh(rt, user_id)
    return cookie


async def test_turning_it_off_removes_every_factor_and_forgets_devices(any_rt: Runtime, clock: Clock) -> None:
    async with calling(any_rt, Origin=ORIGIN) as client:
        person = await make_person(any_rt, client, clock)
        other = await make_cookie(any_rt, person.id)
        await execute(
            any_rt,
            "INSERT INTO device (id, user_id, token_hash, user_agent, ip, created_at, last_seen_at, remembered_until)"
            f" VALUES ('dev_1', '{person.id}', 'x', '', '', 0, 0, {now_ms() + 10_000_000})",
        )
        client.headers["Cookie"] = person.cookie
        off = await client.post("/security/mfa/disable", json={"end_other_sessions": True})
        assert off.status_code == 204
        assert not (await show(client))["on"]
        assert (await client.get("/auth/me", headers={"Cookie": other})).status_code == 401
        assert (await client.post("/security/mfa/disable")).status_code == 204
    for table in ("totp", "recovery_code", "passkey"):
        assert await rows(any_rt, f"SELECT id FROM {table}") == []
    assert [row.remembered_until for row in await rows(any_rt, "SELECT remembered_until FROM device")] == [0]
    assert (await mails(any_rt)).count("mfa_off") == 1
    assert (await acts(any_rt)).count("mfa.disabled") == 1


async def test_who_has_to_have_a_second_factor_can_only_set_one_up_and_not_turn_it_off(
    any_rt: Runtime, clock: Clock
) -> None:
    user = await make_user(any_rt)
    cookie = await make_cookie(any_rt, user.id)
    await rules.change_rules(any_rt, SYSTEM, Rules(require_mfa=["admin"], grace_days=0))
    await sessions.refresh(any_rt, user.id)
    async with calling(any_rt, Cookie=cookie, Origin=ORIGIN) as client:
        me = (await client.get("/auth/me")).json()
        assert me["user"]["must_enrol"]
        assert me["user"]["enrolment_due"]
        assert problem(await client.get("/webhooks"), 403)["type"] == "urn:novapulse:problem:enrol"
        assert (await show(client))["required"]
        _, codes = await enrol(client, clock)
        problem(await client.get("/webhooks"), 403)
        assert (await client.post("/security/mfa/saved", json={"code": codes[0]})).status_code == 204
        assert (await client.get("/webhooks")).status_code == 200, "at once"
        assert not (await client.get("/auth/me")).json()["user"]["must_enrol"]
        assert "requires a second factor" in problem(await client.post("/security/mfa/disable"), 409)["detail"]


async def test_who_lost_the_page_with_the_codes_makes_new_ones(rt: Runtime, clock: Clock) -> None:
    user = await make_user(rt)
    async with calling(rt, Cookie=await make_cookie(rt, user.id), Origin=ORIGIN) as client:
        problem(await client.post("/security/recovery-codes"), 409)
        problem(await client.post("/security/mfa/saved", json={"saved": True}), 409)
        _, lost = await enrol(client, clock)
        made = await client.post("/security/recovery-codes")
        assert made.headers["cache-control"] == "no-store"
        codes = made.json()["recovery_codes"]
        assert not set(codes) & set(lost)
        problem(await client.post("/security/mfa/saved", json={"code": lost[0]}), 422, "/code")
        assert (await client.post("/security/mfa/saved", json={"saved": True})).status_code == 204
        assert (await show(client))["on"]
    assert "recovery_codes_new" in await mails(rt)


async def test_the_drill_proves_and_burns_no_recovery_code(any_rt: Runtime, clock: Clock) -> None:
    async with calling(any_rt, Origin=ORIGIN) as client:
        person = await make_person(any_rt, client, clock)
        client.headers["Cookie"] = person.cookie
        await execute(any_rt, "UPDATE totp SET proven_at = NULL")
        await execute(any_rt, "UPDATE recovery_code SET proven_at = NULL")
        for code, kind in ((person.phone.code(), "totp"), (person.codes[3], "recovery_code"), (person.codes[3], "")):
            proven = await client.post("/security/mfa/drill", json={"code": code})
            assert proven.status_code == 200, proven.text
            assert proven.json()["kind"] == (kind or "recovery_code")
        shown = await show(client)
        assert shown["authenticators"][0]["proven_at"]
        assert shown["recovery_codes"]["proven_at"]
        assert shown["recovery_codes"]["left"] == 10
        answer = problem(await client.post("/security/mfa/drill", json={"code": person.phone.code()}), 422, "/code")
        assert "has been used" in answer["detail"]
        off = problem(await client.post("/security/mfa/drill", json={"code": person.phone.code(6)}), 422, "/code")
        assert off["type"] == CLOCK_OFF
    assert (await acts(any_rt)).count("mfa.proven") == 3


async def test_guessing_at_the_drill_is_limited_as_at_the_sign_in(rt: Runtime, clock: Clock) -> None:
    async with calling(rt, Origin=ORIGIN) as client:
        person = await make_person(rt, client, clock)
        client.headers["Cookie"] = person.cookie
        for _ in range(5):
            problem(await client.post("/security/mfa/drill", json={"code": "000000"}), 422)
        problem(await client.post("/security/mfa/drill", json={"code": person.phone.code()}), 429)


async def test_a_user_has_at_most_ten_authenticators(rt: Runtime, clock: Clock) -> None:
    user = await make_user(rt)
    async with calling(rt, Cookie=await make_cookie(rt, user.id), Origin=ORIGIN) as client:
        for _ in range(authenticators.PER_USER_MAX):
            await enrol(client, clock)
        problem(await client.post("/security/mfa/enroll"), 409)
