"""Limits as callers of the API meet them: whom a call is counted for, what it costs, what the answer tells."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import pytest

from novapulse.api import make_api
from novapulse.core.runtime import Runtime
from novapulse.security.limiting import QUOTA_EXCEEDED
from novapulse.security.policy import policies_of
from tests.calls import ORIGIN, PASSWORD, calling, make_cookie, make_user, problem
from tests.conftest import make_settings, migrated

FEW: dict[str, Any] = {
    "limit_sign_in": "5/7d",
    "limit_sign_in_all": "8/7d",
    "limit_sensitive": "3/7d",
    "limit_api": "5/7d",
    "limit_ingest": "10/7d",
    "limit_public": "6/7d",
}
EVENT = {"type": "a.b", "data": 1}
# What guesses nothing about anybody: signing out, and how good a password would be.
HARMLESS = {"/auth/logout", "/auth/password/check"}


@pytest.fixture
async def few(tmp_path: Path, valkey_url: str) -> AsyncGenerator[Runtime]:
    async for rt in migrated(make_settings(tmp_path, redis_url=valkey_url, trusted_proxy_hops=1, **FEW)):
        yield rt


def told(response: httpx.Response) -> tuple[str | None, str | None]:
    return response.headers.get("ratelimit-policy"), response.headers.get("ratelimit")


def login(n: int) -> dict[str, str]:
    """A try as somebody else each time: the count of failures in the database is not what is tested here."""
    return {"email": f"nobody{n}@example.com", "password": "wrong"}


def left(response: httpx.Response) -> int:
    return int(response.headers["ratelimit"].split(";r=")[1].split(";")[0])


async def test_the_fields_count_down_and_a_429_says_how_long_to_wait(few: Runtime) -> None:
    async with calling(few, "webhooks:read") as api:
        for expected in (4, 3, 2, 1, 0):
            response = await api.get("/webhooks")
            assert response.status_code == 200
            assert response.headers["ratelimit-policy"] == '"api";q=5;w=604800'
            assert left(response) == expected
        refused = await api.get("/webhooks")
        body = problem(refused, 429)
        wait = refused.headers["retry-after"]
        assert 0 < int(wait) <= 604_800 // 5
        assert told(refused) == ('"api";q=5;w=604800', f'"api";r=0;t={wait}')
        assert (body["type"], body["violated-policies"]) == (QUOTA_EXCEEDED, ["api"])


async def test_refusals_and_invalid_calls_are_counted_and_told_too(few: Runtime) -> None:
    async with calling(few, "events:read") as api:
        forbidden = await api.get("/webhooks")
        problem(forbidden, 403)
        assert left(forbidden) == 4
        invalid = await api.get("/events", params={"limit": "none"})
        problem(invalid, 422)
        assert left(invalid) == 3
        missing = await api.get("/events/evt_none")
        problem(missing, 404)
        assert left(missing) == 2


async def test_each_key_has_its_own_count(few: Runtime) -> None:
    async with calling(few, "webhooks:read") as one, calling(few, "webhooks:read") as other:
        for _ in range(5):
            await one.get("/webhooks")
        problem(await one.get("/webhooks"), 429)
        assert (await other.get("/webhooks")).status_code == 200


async def test_credentials_that_do_not_work_count_for_the_network(few: Runtime) -> None:
    async with calling(few, "webhooks:read") as api, calling(few) as stranger:
        for n in range(6):
            headers = {"Authorization": f"Bearer np_live_{n}", "X-Forwarded-For": "203.0.113.9"}
            problem(await stranger.get("/webhooks", headers=headers), 401)
        problem(await stranger.get("/webhooks", headers=headers), 429)
        assert (await stranger.get("/version", headers={"X-Forwarded-For": "203.0.113.9"})).status_code == 429
        assert (await stranger.get("/version", headers={"X-Forwarded-For": "203.0.113.10"})).status_code == 200
        # Who has a key that works is not held up by a neighbour who has none.
        assert (await api.get("/webhooks", headers={"X-Forwarded-For": "203.0.113.9"})).status_code == 200


async def test_an_address_that_is_only_claimed_is_not_believed(few: Runtime) -> None:
    async with calling(few) as stranger:
        for n in range(6):
            await stranger.get("/version", headers={"X-Forwarded-For": f"198.51.100.{n}, 203.0.113.9"})
        headers = {"X-Forwarded-For": "198.51.100.200, 203.0.113.9"}
        problem(await stranger.get("/version", headers=headers), 429)


async def test_a_batch_costs_as_many_as_it_has_events(few: Runtime) -> None:
    async with calling(few, "events:write") as api:
        first = await api.post("/events/batch", json={"events": [EVENT] * 7})
        assert (first.status_code, left(first)) == (202, 3)
        refused = await api.post("/events/batch", json={"events": [EVENT] * 4})
        problem(refused, 429)
        assert told(refused)[0] == '"ingest";q=10;w=604800'
        for _ in range(3):
            assert (await api.post("/events", json=EVENT)).status_code == 202
        problem(await api.post("/events", json=EVENT), 429)


async def test_a_call_with_an_idempotency_key_is_counted_once_and_its_replay_too(few: Runtime) -> None:
    async with calling(few, "events:write") as api:
        for n in range(10):
            response = await api.post("/events", json=EVENT, headers={"Idempotency-Key": "one"})
            assert response.status_code == 202
            assert response.headers.get("idempotent-replayed") == ("true" if n else None)
            assert left(response) == 9 - n
        problem(await api.post("/events", json=EVENT, headers={"Idempotency-Key": "one"}), 429)
        problem(await api.post("/events", json=EVENT, headers={"Idempotency-Key": "two"}), 429)


async def test_signing_in_is_limited_by_network_and_for_all_strangers_together(few: Runtime) -> None:
    async with calling(few) as stranger:
        for n in range(5):
            problem(await stranger.post("/auth/login", json=login(n), headers={"X-Forwarded-For": "203.0.113.1"}), 401)
        here = await stranger.post("/auth/login", json=login(5), headers={"X-Forwarded-For": "203.0.113.1"})
        assert problem(here, 429)["violated-policies"] == ["sign_in"]
        for n in range(3):
            headers = {"X-Forwarded-For": f"203.0.113.{10 + n}"}
            problem(await stranger.post("/auth/login", json=login(10 + n), headers=headers), 401)
        everywhere = await stranger.post("/auth/login", json=login(20), headers={"X-Forwarded-For": "203.0.113.99"})
        # Nothing is told of a limit that others use up.
        assert problem(everywhere, 429)["violated-policies"] == []
        assert '"sign_in";r=5' in everywhere.headers["ratelimit"]


async def test_the_owner_gets_in_from_a_known_device_whatever_others_try(few: Runtime) -> None:
    user = await make_user(few)
    headers = {"X-Forwarded-For": "203.0.113.1"}
    async with calling(few, Origin=ORIGIN) as browser, calling(few) as attacker:
        body = {"email": user.email, "password": PASSWORD}
        assert (await browser.post("/auth/login", json=body, headers=headers)).status_code == 200
        assert "np_device" in browser.cookies
        for n in range(20):
            await attacker.post("/auth/login", json=login(n), headers={"X-Forwarded-For": f"203.0.113.{n % 4}"})
        problem(await attacker.post("/auth/login", json=login(n), headers=headers), 429)
        planted = {"Cookie": "np_device=" + "x" * 32}
        problem(await attacker.post("/auth/login", json=login(n), headers=headers | planted), 429)
        assert (await browser.post("/auth/login", json=body, headers=headers)).status_code == 200


async def test_what_is_sensitive_is_counted_apart_per_user(few: Runtime) -> None:
    cookie = await make_cookie(few, (await make_user(few)).id)
    async with calling(few, Cookie=cookie, Origin=ORIGIN) as admin:
        for _ in range(3):
            made = await admin.post("/api-keys", json={"name": "x", "scopes": ["events:write"]})
            assert made.status_code == 201
            assert told(made)[0] == '"sensitive";q=3;w=604800'
        problem(await admin.post("/api-keys", json={"name": "x", "scopes": ["events:write"]}), 429)
        assert (await admin.get("/api-keys")).status_code == 200


async def test_the_pages_beside_the_api_are_limited_too(few: Runtime) -> None:
    transport = httpx.ASGITransport(make_api(few.settings))
    async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as browser:
        for _ in range(6):
            page = await browser.get("/login/logo.svg")
            assert page.status_code == 200
            assert told(page)[0] == '"public";q=6;w=604800'
        refused = await browser.get("/login")
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) > 0


async def test_every_route_counts_against_a_class_of_its_kind() -> None:
    from novapulse.api import API_ROUTERS

    for method, path, policy in policies_of(API_ROUTERS):
        if path.startswith("/auth/") and policy.who == "anybody" and path not in HARMLESS:
            assert policy.rate in ("sign_in", "sensitive"), (method, path)
        elif policy.who == "anybody":
            assert policy.rate == "public", (method, path)
