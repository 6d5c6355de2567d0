"""API keys: what they may do, how they are kept, how they end."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

from sqlalchemy import text

from novapulse.core.actor import ROLE_PERMISSIONS, Actor, Role
from novapulse.core.clock import now_ms, parse_rfc3339
from novapulse.core.errors import ReauthenticationError
from novapulse.core.runtime import Runtime
from novapulse.security import api_keys
from tests.calls import ORIGIN, PUBLIC_URL, calling, make_cookie, make_user, problem

DAY_MS = 86_400_000


async def end_now(rt: Runtime, key_id: str, ago_ms: int = 1) -> None:
    """Let the time of a key be over."""
    async with rt.database.write() as session:
        query = "UPDATE api_key SET expires_at = :at WHERE id = :id"
        await session.execute(text(query), {"at": now_ms() - ago_ms, "id": key_id})


async def row(rt: Runtime, query: str, **values: Any) -> tuple[Any, ...]:
    async with rt.database.read() as session:
        return tuple((await session.execute(text(query), values)).one())


async def test_a_key_is_shown_once_and_kept_as_a_hash(any_rt: Runtime) -> None:
    async with calling(any_rt, "*") as api:
        response = await api.post("/api-keys", json={"name": "Billing", "scopes": ["events:write"]})
        assert (response.status_code, response.headers["cache-control"]) == (201, "no-store")
        made = response.json()
        key = made["key"]
        assert key.startswith(made["prefix"])
        assert len(key) >= len("np_live_") + 43
        listed = await api.get("/api-keys")
        assert key not in listed.text
        assert next(view for view in listed.json()["data"] if view["id"] == made["id"])["scopes"] == ["events:write"]
    stored = await row(any_rt, "SELECT * FROM api_key WHERE id = :id", id=made["id"])
    assert key not in str(stored)
    assert hashlib.sha256(key.encode()).hexdigest() in stored


async def test_a_key_does_what_its_scopes_say_and_no_more(any_rt: Runtime) -> None:
    async with calling(any_rt, "events:write") as api:
        assert (await api.post("/events", json={"type": "a.b", "data": 1})).status_code == 202
        problem(await api.get("/events"), 403)
        problem(await api.post("/webhooks", json={"url": PUBLIC_URL}), 403)
    async with calling(any_rt, "webhooks:*") as api:
        made = await api.post("/webhooks", json={"url": PUBLIC_URL})
        assert made.status_code == 201
        assert (await api.get(f"/webhooks/{made.json()['id']}/secret")).status_code == 200
        problem(await api.get("/deliveries"), 403)
    async with calling(any_rt, "viewer") as api:
        assert (await api.get("/webhooks")).status_code == 200
        problem(await api.get(f"/webhooks/{made.json()['id']}/secret"), 403)


async def test_a_key_makes_no_key_that_may_do_more_than_itself(any_rt: Runtime) -> None:
    async with calling(any_rt, "keys:write", "events:read") as api:
        assert (await api.post("/api-keys", json={"name": "x", "scopes": ["events:read"]})).status_code == 201
        for scopes in (["*"], ["admin"], ["events:*"], ["viewer"]):
            problem(await api.post("/api-keys", json={"name": "x", "scopes": scopes}), 403)
    async with calling(any_rt, "*", tenant="acme") as acme:
        problem(await acme.post("/api-keys", json={"name": "x", "scopes": ["*"]}), 403)
        problem(await acme.post("/api-keys", json={"name": "x", "scopes": ["*"], "tenant": "other"}), 403)
        made = await acme.post("/api-keys", json={"name": "x", "scopes": ["*"], "tenant": "acme"})
        assert made.json()["tenant"] == "acme"


async def test_a_tenants_key_sees_and_revokes_its_own_keys_only(any_rt: Runtime) -> None:
    async with calling(any_rt, "*") as api, calling(any_rt, "*", tenant="acme") as acme:
        other = (await api.post("/api-keys", json={"name": "x", "scopes": ["*"]})).json()["id"]
        assert {view["tenant"] for view in (await acme.get("/api-keys")).json()["data"]} == {"acme"}
        problem(await acme.delete(f"/api-keys/{other}"), 404)


async def test_a_revoked_key_works_no_more_and_leaves_the_list(any_rt: Runtime) -> None:
    async with calling(any_rt, "*") as api:
        made = (await api.post("/api-keys", json={"name": "x", "scopes": ["*"]})).json()
        holder = {"Authorization": f"Bearer {made['key']}"}
        assert (await api.get("/webhooks", headers=holder)).status_code == 200
        assert (await api.delete(f"/api-keys/{made['id']}")).status_code == 204
        problem(await api.get("/webhooks", headers=holder), 401)
        problem(await api.delete(f"/api-keys/{made['id']}"), 404)
        assert made["id"] not in [view["id"] for view in (await api.get("/api-keys")).json()["data"]]


async def test_the_last_use_is_noted(any_rt: Runtime) -> None:
    async with calling(any_rt, "*") as api:
        made = (await api.post("/api-keys", json={"name": "x", "scopes": ["*"]})).json()
        assert made["last_used_at"] is None
        await api.get("/webhooks", headers={"Authorization": f"Bearer {made['key']}"})
        views = (await api.get("/api-keys")).json()["data"]
        assert next(view for view in views if view["id"] == made["id"])["last_used_at"] is not None


async def test_what_is_almost_a_key_is_401(rt: Runtime) -> None:
    async with calling(rt, "*") as api:
        key = api.headers["authorization"].removeprefix("Bearer ")
        almost = [
            "",
            "Bearer",
            "Bearer ",
            f"Basic {key}",
            f"Bearer {key[:-1]}",
            f"Bearer {key}x",
            f"Bearer {key.upper()}",
            f"Bearer {hashlib.sha256(key.encode()).hexdigest()}",
            "Bearer np_live_",
            f"Bearer {key}, Bearer {key}",
        ]
        for header in almost:
            response = await api.get("/webhooks", headers={"Authorization": header})
            problem(response, 401)
            assert response.headers["www-authenticate"].startswith("Bearer")
        assert (await api.get("/webhooks", headers={"Authorization": f"bearer {key}"})).status_code == 200


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def test_a_key_works_until_it_expires_and_is_shown_for_a_while_after(any_rt: Runtime) -> None:
    async with calling(any_rt, "*") as api:
        body = {"name": "x", "scopes": ["webhooks:read"], "expires_in_days": 10}
        made = (await api.post("/api-keys", json=body)).json()
        assert abs(parse_rfc3339(made["expires_at"]) - now_ms() - 10 * DAY_MS) < 60_000
        assert made["status"] == "expiring"
        assert (await api.get("/webhooks", headers=bearer(made["key"]))).status_code == 200
        await end_now(any_rt, made["id"])
        async with asyncio.timeout(5):
            while (await api.get("/webhooks", headers=bearer(made["key"]))).status_code != 401:
                await asyncio.sleep(0.1)
        views = {view["id"]: view for view in (await api.get("/api-keys")).json()["data"]}
        assert views[made["id"]]["status"] == "expired"
        problem(await api.post(f"/api-keys/{made['id']}/rotate", json={}), 404)
        await end_now(any_rt, made["id"], 31 * DAY_MS)
        assert made["id"] not in [view["id"] for view in (await api.get("/api-keys")).json()["data"]]


async def test_a_key_lives_as_long_as_asked_or_forever(any_rt: Runtime) -> None:
    async with calling(any_rt, "*") as api:
        forever = (await api.post("/api-keys", json={"name": "x", "scopes": ["*"]})).json()
        assert (forever["expires_at"], forever["status"]) == (None, "active")
        year = {"name": "x", "scopes": ["*"], "expires_in_days": 365}
        assert (await api.post("/api-keys", json=year)).json()["status"] == "active"
        for days in (0, -1, 3651, "soon"):
            body = {"name": "x", "scopes": ["*"], "expires_in_days": days}
            problem(await api.post("/api-keys", json=body), 422, "/expires_in_days")


async def test_rotating_gives_a_key_that_does_the_same_while_the_old_one_still_works(any_rt: Runtime) -> None:
    async with calling(any_rt, "*") as api:
        body = {"name": "Billing", "scopes": ["webhooks:read"], "tenant": "acme", "expires_in_days": 30}
        old = (await api.post("/api-keys", json=body)).json()
        answer = await api.post(f"/api-keys/{old['id']}/rotate", json={"overlap_s": 3600})
        assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
        new = answer.json()
        assert new["key"] != old["key"]
        assert [new[name] for name in ("name", "scopes", "tenant")] == ["Billing", ["webhooks:read"], "acme"]
        assert abs(parse_rfc3339(new["expires_at"]) - now_ms() - 30 * DAY_MS) < 60_000
        for key in (old["key"], new["key"]):
            assert (await api.get("/webhooks", headers=bearer(key))).status_code == 200
        views = {view["id"]: view for view in (await api.get("/api-keys")).json()["data"]}
        ends_in = parse_rfc3339(views[old["id"]]["expires_at"]) - now_ms()
        assert 3_500_000 < ends_in <= 3_600_000
        # A second rotation of the old one, with a longer overlap, lets it live no longer.
        await api.post(f"/api-keys/{old['id']}/rotate", json={"overlap_s": 86_400})
        views = {view["id"]: view for view in (await api.get("/api-keys")).json()["data"]}
        assert parse_rfc3339(views[old["id"]]["expires_at"]) - now_ms() <= 3_600_000


async def test_without_an_overlap_the_old_key_ends_at_once(any_rt: Runtime) -> None:
    async with calling(any_rt, "*") as api:
        old = (await api.post("/api-keys", json={"name": "x", "scopes": ["webhooks:read"]})).json()
        assert (await api.get("/webhooks", headers=bearer(old["key"]))).status_code == 200
        new = (await api.post(f"/api-keys/{old['id']}/rotate", json={"overlap_s": 0})).json()
        assert new["expires_at"] is None
        problem(await api.get("/webhooks", headers=bearer(old["key"])), 401)
        problem(await api.post(f"/api-keys/{new['id']}/rotate", json={"overlap_s": -1}), 422, "/overlap_s")
        problem(await api.post("/api-keys/key_none/rotate", json={}), 404)


async def test_nobody_rotates_a_key_that_may_do_more_or_is_another_tenants(any_rt: Runtime) -> None:
    async with calling(any_rt, "*") as api:
        strong = (await api.post("/api-keys", json={"name": "x", "scopes": ["*"]})).json()
        theirs = (await api.post("/api-keys", json={"name": "x", "scopes": ["keys:write"], "tenant": "b"})).json()
    async with calling(any_rt, "keys:write", "events:read") as weak, calling(any_rt, "*", tenant="acme") as acme:
        problem(await weak.post(f"/api-keys/{strong['id']}/rotate", json={}), 403)
        problem(await acme.post(f"/api-keys/{theirs['id']}/rotate", json={}), 404)
    async with calling(any_rt) as anyone:
        assert (await anyone.get("/api-keys", headers=bearer(strong["key"]))).status_code == 200


async def test_people_confirm_that_it_is_them_before_they_make_change_or_end_a_key(any_rt: Runtime) -> None:
    person = Actor("user", "usr_1", "ada@example.com", ROLE_PERMISSIONS[Role.ADMIN])
    for work in (
        api_keys.create_api_key(any_rt, person, "x", ["*"]),
        api_keys.revoke_api_key(any_rt, person, "key_1"),
    ):
        try:
            await work
        except ReauthenticationError:
            continue
        raise AssertionError("it was done")
    user = await make_user(any_rt)
    cookie = await make_cookie(any_rt, user.id)
    async with calling(any_rt, "*") as api, calling(any_rt, Cookie=cookie, Origin=ORIGIN) as browser:
        made = (await api.post("/api-keys", json={"name": "x", "scopes": ["*"]})).json()
        async with any_rt.database.write() as session:
            await session.execute(text("UPDATE session SET sudo_until = 0"))
        for method, path, body in (
            ("POST", "/api-keys", {"name": "x", "scopes": ["*"]}),
            ("POST", f"/api-keys/{made['id']}/rotate", {}),
            ("DELETE", f"/api-keys/{made['id']}", None),
        ):
            refused = problem(await browser.request(method, path, json=body), 403)
            assert refused["type"] == "urn:novapulse:problem:reauthenticate"


async def test_what_is_done_to_keys_is_recorded_without_them_and_mailed_to_whose_doing_it_was(any_rt: Runtime) -> None:
    cookie = await make_cookie(any_rt, (await make_user(any_rt)).id)
    async with calling(any_rt, Cookie=cookie, Origin=ORIGIN) as browser, calling(any_rt) as program:
        made = (await browser.post("/api-keys", json={"name": "Root", "scopes": ["*"]})).json()
        # Made by a key that was made by a key: the person behind both is told.
        second = await program.post("/api-keys", json={"name": "Child", "scopes": ["*"]}, headers=bearer(made["key"]))
        body = {"name": "Grandchild", "scopes": ["*"]}
        third = await program.post("/api-keys", json=body, headers=bearer(second.json()["key"]))
        rotated = (await browser.post(f"/api-keys/{made['id']}/rotate", json={})).json()
        assert (await browser.delete(f"/api-keys/{third.json()['id']}")).status_code == 204
        log = (await browser.get("/audit", params={"target": made["id"]})).json()["data"]
        assert [row["action"] for row in log] == ["api_key.rotated", "api_key.created"]
        whole = (await browser.get("/audit", params={"limit": 100})).text
    for key in (made, second.json(), third.json(), rotated):
        assert key["key"] not in whole
    assert "api_key.revoked" in whole
    async with any_rt.database.read() as session:
        query = "SELECT recipient FROM email WHERE kind = 'api_key_created'"
        try:
            told = (await session.execute(text(query))).scalars().all()
        except Exception:
            columns = (await session.execute(text("SELECT * FROM email LIMIT 1"))).keys()
            raise AssertionError(list(columns)) from None
    assert len(told) == 4


async def test_where_a_key_was_last_used_from_is_shown(any_rt: Runtime) -> None:
    async with calling(any_rt, "*") as api:
        made = (await api.post("/api-keys", json={"name": "x", "scopes": ["*"]})).json()
        await api.get("/webhooks", headers=bearer(made["key"]))
        view = next(v for v in (await api.get("/api-keys")).json()["data"] if v["id"] == made["id"])
        assert view["last_used_ip"] == "127.0.0.1"
