"""Calls of the real API in this process: no socket between the test and the routes."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from sqlalchemy import text

from novapulse.api import make_api
from novapulse.core.actor import SYSTEM, Role
from novapulse.core.runtime import Runtime
from novapulse.security import api_keys, sessions, users

ORIGIN = "http://127.0.0.1:8000"
PASSWORD = "an uncommonly long phrase 42"
PUBLIC_URL = "https://93.184.215.14/hook"  # an address: nothing has to be looked up
TABLES = (
    "webhook",
    "webhook_secret",
    "event",
    "delivery",
    "attempt",
    "event_type",
    "user_account",
    "session",
    "api_key",
    "idempotent_answer",
    "audit",
    "email",
)


@asynccontextmanager
async def calling(
    rt: Runtime, *scopes: str, tenant: str | None = None, **headers: str
) -> AsyncGenerator[httpx.AsyncClient]:
    """A client with a fresh key of these scopes; without scopes, one without credentials."""
    if scopes:
        _, key = await api_keys.create_api_key(rt, SYSTEM, "test", list(scopes), tenant)
        headers["Authorization"] = f"Bearer {key}"
    transport = httpx.ASGITransport(make_api(rt.settings), raise_app_exceptions=False)
    base_url = f"{ORIGIN}/api/v1"
    async with httpx.AsyncClient(transport=transport, base_url=base_url, headers=headers, timeout=30) as client:
        yield client


async def make_user(rt: Runtime, role: Role = Role.ADMIN, email: str = "") -> users.UserView:
    """A user with `PASSWORD`."""
    return await users.create_user(rt, SYSTEM, email=email or f"{role.value}@example.com", password=PASSWORD, role=role)


async def make_cookie(rt: Runtime, user_id: str) -> str:
    """The `Cookie` header of a fresh session of a user."""
    async with rt.database.write() as session:
        made = await sessions.add_session(
            session, user_id, ip="127.0.0.1", user_agent="test", device_id=None, methods="password"
        )
    return f"np_session={made.token}"


async def row_counts(rt: Runtime) -> dict[str, int]:
    """How many rows each table has."""
    async with rt.database.read() as session:
        found = {table: await session.execute(text(f"SELECT count(*) FROM {table}")) for table in TABLES}
        return {table: int(result.scalar_one()) for table, result in found.items()}


def problem(response: httpx.Response, status: int, pointer: str | None = None) -> dict[str, Any]:
    """The problem document of an answer that has to be one, with an error at `pointer` if that is given."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    assert body["request_id"] == response.headers["x-request-id"]
    assert body["instance"] == response.request.url.path
    assert "Traceback" not in response.text
    if pointer is not None:
        assert pointer in [error["pointer"] for error in body["errors"]], body
    return body
