"""What open pages may do: each session has its limit over all of its sockets, and a few background handlers at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from novapulse.core.runtime import Runtime
from novapulse.launch import frontend
from novapulse.security import handlers, sessions
from novapulse.security.models import User
from tests.calls import PASSWORD
from tests.instance import Instance, running
from tests.tabs import LIST, sign_in, tab

MANY = 12


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    root = frontend.source_tree()
    assert root is not None
    frontend.build_if_stale(root, quiet=True)
    settings = {"admin_email": "ada@example.com", "admin_password": PASSWORD, "limit_screen": f"{MANY}/7d"}
    with running(tmp_path_factory.mktemp("limited"), **settings) as started:
        yield started


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_a_session_is_limited_over_all_its_pages_and_another_is_not(instance: Instance) -> None:
    one, other = (sign_in(instance, "ada@example.com", PASSWORD) for _ in range(2))
    async with tab(instance, one, "first") as first, tab(instance, one, "second") as second:
        for n in range(MANY):
            await (first if n % 2 else second).say(f"{LIST}.select", webhook_id=f"wh_{n}", on=True)
        await first.say(f"{LIST}.load")
        await second.say(f"{LIST}.load")
        await first.hears("Too fast; wait")
        await second.hears("Too fast; wait")
    async with tab(instance, other, "third") as third:
        await third.say(f"{LIST}.load")
        await third.hears('"loaded_rx_state_": true')


@dataclass
class Slow:
    """A handler in the background that goes on until it is let go."""

    running: int = 0
    go: asyncio.Event = field(default_factory=asyncio.Event)

    def handler(self) -> Any:
        async def work(_state: object) -> None:
            self.running += 1
            await self.go.wait()
            self.running -= 1

        setattr(work, handlers.BACKGROUND_TASK_MARKER, True)
        return handlers.handler(handlers.Permission.WEBHOOKS_READ)(work)


async def test_of_one_session_only_so_many_handlers_run_in_the_background(
    rt: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = "ses_one"

    async def live() -> sessions.Live:
        return sessions.Live(session_id, User(id="usr_1", email="x@example.com", password_hash=""))

    monkeypatch.setattr(handlers, "_live_session", live)
    slow = Slow()
    handler, most = slow.handler(), handlers.BACKGROUND_MAX
    assert handlers.policy_of(type("R", (), {"handler": type("H", (), {"fn": handler})})) is not None
    tasks = [asyncio.create_task(handler(None)) for _ in range(most)]
    await asyncio.sleep(0.05)
    assert slow.running == most
    refused = await handler(None)
    assert "wait a moment" in str(refused.args)
    session_id = "ses_other"
    tasks.append(asyncio.create_task(handler(None)))
    await asyncio.sleep(0.05)
    assert slow.running == most + 1
    # One that is torn off, and those that end, make room.
    tasks[0].cancel()
    slow.go.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    session_id = "ses_one"
    assert await handler(None) is None
