"""What the webhook form asks for: the tenants there are, and whether a URL could be sent to."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from novapulse.core.actor import ROLE_PERMISSIONS, Actor, Role
from novapulse.core.errors import ForbiddenError, InvalidError
from novapulse.core.runtime import Runtime
from novapulse.webhooks import guard, ingest, reach, service
from novapulse.webhooks.reach import look_up
from novapulse.webhooks.schemas import EventIn, WebhookCreate
from novapulse.webhooks.tenants import list_tenants

PRIVATE = "10.1.2.3"


def answers(*addresses: str, fails: bool = False) -> guard.Resolve:
    async def resolve(host: str, port: int) -> list[str]:
        if fails:
            raise guard.UnresolvedNameError(host)
        return list(addresses)

    return resolve


async def test_tenants_are_those_of_webhooks_and_of_events(any_rt: Runtime, actor: Actor) -> None:
    assert await list_tenants(any_rt, actor) == []
    for tenant in ("initech", "acme", "acme", None):
        await service.create_webhook(any_rt, actor, WebhookCreate(url="http://127.0.0.1/", tenant=tenant))
    events = [EventIn(type="a.b", data=n, tenant=("zeta", "acme", None)[n % 3]) for n in range(30)]
    await ingest.accept_batch(any_rt, actor, events)
    assert await list_tenants(any_rt, actor) == ["acme", "initech", "zeta"]
    assert await list_tenants(any_rt, replace(actor, tenant="acme")) == ["acme"]


async def test_there_may_be_more_tenants_than_are_listed(any_rt: Runtime, actor: Actor) -> None:
    events = [EventIn(type="a.b", data=n, tenant=f"t{n:03}") for n in range(250)]
    for at in range(0, 250, 50):
        await ingest.accept_batch(any_rt, actor, events[at : at + 50])
    assert await list_tenants(any_rt, actor) == [f"t{n:03}" for n in range(200)]


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("ftp://example.com/", "starts with https:// or http://"),
        (f"http://{PRIVATE}/", "not a public address"),
        ("https://example.com/", "not a public address"),
    ],
)
async def test_a_refused_url_comes_with_the_rule(
    rt: Runtime, actor: Actor, monkeypatch: pytest.MonkeyPatch, url: str, says: str
) -> None:
    monkeypatch.setattr(guard, "_system_resolve", answers("1.1.1.1", PRIVATE))
    with pytest.raises(InvalidError, match=says):
        await look_up(rt, actor, url)


async def test_an_allowed_url_comes_with_its_addresses(
    rt: Runtime, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "_system_resolve", answers("1.1.1.1", "1.0.0.1"))
    found = await look_up(rt, actor, "https://exämple.com/hook")
    assert found == reach.Reach("xn--exmple-cua.com", False, True, ["1.1.1.1", "1.0.0.1"])
    assert await look_up(rt, actor, "http://1.1.1.1/") == reach.Reach("1.1.1.1", True, False, ["1.1.1.1"])


async def test_a_name_without_an_address_is_no_mistake(
    rt: Runtime, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "_system_resolve", answers(fails=True))
    assert (await look_up(rt, actor, "https://later.example.com/")).addresses == []


async def test_a_slow_name_server_is_not_waited_for(rt: Runtime, actor: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    monkeypatch.setattr(guard, "_system_resolve", never)
    monkeypatch.setattr(reach, "_LOOK_UP_S", 0.05)
    assert (await look_up(rt, actor, "https://slow.example.com/")).addresses == []


async def test_who_may_not_make_webhooks_looks_nothing_up(rt: Runtime, actor: Actor) -> None:
    viewer = replace(actor, permissions=ROLE_PERMISSIONS[Role.VIEWER])
    with pytest.raises(ForbiddenError):
        await look_up(rt, viewer, "https://1.1.1.1/")
