"""A browser's socket without the browser: says to a running NovaPulse what it wants to, and keeps what comes back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import httpx
import socketio

from tests.instance import Instance

NAMESPACE = "/_event"
ROOT = "reflex___state____state"
LIST = f"{ROOT}.novapulse___webhooks___screens___list_state____list_state"
TRIAL = f"{ROOT}.novapulse___webhooks___screens___test_state____test_state"
LIMIT_S = 15.0


def sign_in(instance: Instance, email: str, password: str) -> str:
    """A fresh session; the token in its cookie."""
    body = {"email": email, "password": password}
    headers = {"Origin": instance.url}
    response = httpx.post(f"{instance.url}/api/v1/auth/login", json=body, headers=headers, trust_env=False)
    assert response.status_code == 200, response.text
    return response.cookies["np_session"]


class Tab:
    """An open page."""

    def __init__(self) -> None:
        self.sio = socketio.AsyncClient(reconnection=False)
        self.heard: list[Any] = []
        self.closed = asyncio.Event()
        self.sio.on("*", self._hear, namespace=NAMESPACE)
        self.sio.on("disconnect", self._end, namespace=NAMESPACE)

    async def _hear(self, name: str, *values: Any) -> None:
        self.heard.append([name, *values])

    async def _end(self, *_reason: Any) -> None:
        self.closed.set()

    @property
    def text(self) -> str:
        """All that was heard so far."""
        return json.dumps(self.heard, ensure_ascii=False)

    async def say(self, handler: str, *, router: dict[str, Any] | None = None, **payload: Any) -> None:
        """Send an event to a handler."""
        router_data = {"pathname": "/webhooks", "query": {}} | (router or {})
        event = {"name": handler, "payload": payload, "router_data": router_data, "token": "whatever"}
        await self.sio.emit("event", event, namespace=NAMESPACE)

    async def hears(self, *words: str) -> None:
        """Wait until all these words were heard."""
        async with asyncio.timeout(LIMIT_S):
            while not all(word in self.text for word in words):
                await asyncio.sleep(0.02)

    async def settle(self) -> None:
        """Wait until what was said before has been dealt with: events of a tab are handled in order."""
        self.heard = [each for each in self.heard if "is_hydrated_rx_state_" not in json.dumps(each)]
        await self.say(f"{ROOT}.hydrate")
        await self.hears('"is_hydrated_rx_state_"')


@asynccontextmanager
async def tab(
    instance: Instance, cookie: str, token: str, *, auth: dict[str, Any] | None = None, **headers: str
) -> AsyncGenerator[Tab]:
    """A page with this session, under this client token of Reflex."""
    opened = Tab()
    given = {"Cookie": f"np_session={cookie}", "Origin": instance.url} | headers
    await opened.sio.connect(
        f"{instance.url}?token={token}",
        headers=given,
        auth=auth,
        transports=["websocket"],
        namespaces=[NAMESPACE],
        socketio_path=NAMESPACE,
    )
    try:
        yield opened
    finally:
        await opened.sio.disconnect()


async def knock(instance: Instance, path: str = "/_event/?EIO=4&transport=websocket&token=t", **headers: str) -> bool:
    """Whether a websocket opens at this path, with these headers."""
    async with aiohttp.ClientSession() as session:
        try:
            async with session.ws_connect(f"{instance.url}{path}", headers=headers) as socket:
                message = await socket.receive(LIMIT_S)
                return message.type is aiohttp.WSMsgType.TEXT
        except aiohttp.WSServerHandshakeError:
            return False
