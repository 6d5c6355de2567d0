"""API keys: what they may do, how they are kept, how they end."""

from __future__ import annotations

import hashlib
from typing import Any

from sqlalchemy import text

from novapulse.core.runtime import Runtime
from tests.calls import PUBLIC_URL, calling, problem


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
