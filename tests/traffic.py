"""Callers and open pages that come by a proxy, never try again, and keep a ledger: whatever fails has failed."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import socketio

from tests.fleet import EMAIL, PASSWORD, trust_anybody
from tests.tabs import NAMESPACE, ROOT

PATIENCE_S = 30.0


@dataclass
class Ledger:
    """What callers saw."""

    accepted: list[str] = field(default_factory=list[str])  # ids of events, answered with 202
    answers: Counter[str] = field(default_factory=Counter[str])
    failures: list[str] = field(default_factory=list[str])
    slowest_s: float = 0.0
    durations: list[float] = field(default_factory=list[float])


class Page:
    """An open page of somebody signed in: comes back as soon as its socket closes, as the browser's does."""

    def __init__(self, url: str, cookie: str, number: int) -> None:
        self._url, self._cookie, self._token = url, cookie, f"page-{number}"
        self.opened = 0
        self.refused: list[str] = []  # a browser would show that the connection is lost
        self.longest_away_s = 0.0
        self._closed = asyncio.Event()
        self._hydrated = asyncio.Event()
        self._ended = False

    async def run(self) -> None:
        """Stay open until `end`."""
        away_since = time.monotonic()
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust_anybody())) as http:
            while not self._ended:
                self._closed.clear()
                self._hydrated.clear()
                sio = socketio.AsyncClient(reconnection=False, http_session=http)
                sio.on("disconnect", self._end_of_socket, namespace=NAMESPACE)
                sio.on("event", self._hear, namespace=NAMESPACE)
                try:
                    await sio.connect(
                        f"{self._url}?token={self._token}",
                        headers={"Cookie": f"__Host-np_session={self._cookie}", "Origin": self._url},
                        transports=["websocket"],
                        namespaces=[NAMESPACE],
                        socketio_path=NAMESPACE,
                    )
                    event = {
                        "name": f"{ROOT}.hydrate",
                        "payload": {},
                        "router_data": {"pathname": "/", "query": {}},
                        "token": self._token,
                    }
                    await sio.emit("event", event, namespace=NAMESPACE)
                    async with asyncio.timeout(PATIENCE_S):
                        await self._hydrated.wait()
                except (socketio.exceptions.ConnectionError, TimeoutError) as error:
                    self.refused.append(f"{type(error).__name__}: {error}")
                    await asyncio.sleep(0.2)
                    continue
                self.opened += 1
                self.longest_away_s = max(self.longest_away_s, time.monotonic() - away_since)
                await self._closed.wait()
                away_since = time.monotonic()
                if self._ended:
                    await sio.disconnect()

    def end(self) -> None:
        """Close it."""
        self._ended = True
        self._closed.set()

    async def _end_of_socket(self, *_reason: Any) -> None:
        self._closed.set()

    async def _hear(self, *_values: Any) -> None:
        self._hydrated.set()


class Traffic:
    """Constant load on one address."""

    def __init__(self, url: str, key: str, *, per_s: int, pages: int) -> None:
        self.ledger = Ledger()
        self.pages: list[Page] = []
        self._url, self._key, self._per_s, self._page_count = url, key, per_s, pages
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._http: aiohttp.ClientSession | None = None
        self._cookie = ""

    async def __aenter__(self) -> Traffic:
        """Sign in, open the pages and begin."""
        # No kept connections to the proxy: each call shows anew whether somebody is there.
        connector = aiohttp.TCPConnector(ssl=trust_anybody(), limit=0, force_close=True)
        self._http = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(PATIENCE_S))
        body = {"email": EMAIL, "password": PASSWORD}
        async with self._http.post(
            f"{self._url}/api/v1/auth/login", json=body, headers={"Origin": self._url}
        ) as answer:
            assert answer.status == 200, await answer.text()
            self._cookie = answer.cookies["__Host-np_session"].value
        self.pages = [Page(self._url, self._cookie, number) for number in range(self._page_count)]
        self._tasks = [asyncio.create_task(page.run()) for page in self.pages]
        async with asyncio.timeout(PATIENCE_S):
            while not all(page.opened for page in self.pages):
                await asyncio.sleep(0.02)
        self._tasks.append(asyncio.create_task(self._run()))
        return self

    async def __aexit__(self, *_error: object) -> None:
        """End; what is under way is waited for."""
        self._stop.set()
        for page in self.pages:
            page.end()
        await asyncio.gather(*self._tasks)
        assert self._http is not None
        await self._http.close()

    async def _run(self) -> None:
        calls: set[asyncio.Task[None]] = set()
        number, began = 0, time.monotonic()
        while not self._stop.is_set():
            call = asyncio.create_task(self._call(number))
            calls.add(call)
            call.add_done_callback(calls.discard)
            number += 1
            await asyncio.sleep(max(0.0, began + number / self._per_s - time.monotonic()))
        await asyncio.gather(*calls)

    async def _call(self, number: int) -> None:
        """Most calls send an event; others read as a program, and as the person who is signed in."""
        assert self._http is not None
        key = {"Authorization": f"Bearer {self._key}"}
        began = time.monotonic()
        try:
            if number % 4:
                event = {"type": "rolling.event", "id": f"n-{number}", "data": {"n": number}}
                what, call = "send", self._http.post(f"{self._url}/api/v1/events", json=event, headers=key)
            elif number % 8:
                what, call = "read", self._http.get(f"{self._url}/api/v1/queue/stats", headers=key)
            else:
                cookie = {"Cookie": f"__Host-np_session={self._cookie}"}
                what, call = "me", self._http.get(f"{self._url}/api/v1/auth/me", headers=cookie)
            async with call as answer:
                body = await answer.json(content_type=None) if answer.status < 300 else await answer.text()
                if answer.status >= 300:
                    self.ledger.failures.append(f"{what} {number}: {answer.status} {str(body)[:200]}")
                    return
                if what == "send":
                    self.ledger.accepted.append(body["id"])
                self.ledger.answers[what] += 1
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self.ledger.failures.append(f"call {number}: {type(error).__name__}: {error}")
        finally:
            self.ledger.durations.append(time.monotonic() - began)
