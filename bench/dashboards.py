"""Many open dashboards on real sockets: what they cost the web process, and how old what they show is, under load.

First the same load with nobody looking, then with all of them: the difference is what looking costs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import aiohttp
import httpx
import psutil

from bench.common import EMAIL, PASSWORD, Instance, novapulse, sink

_AT = re.compile(rb'"at_rx_state_":"([^"]+)"')
_CONNECTING = 25  # at once
_PER_SESSION = 10  # a session has a limited number of pages
LOAD = {
    "name": "reflex___state____state.novapulse___live___state____live_state.load",
    "payload": {},
    "router_data": {"pathname": "/", "query": {}},
}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--dashboards", type=int, default=500)
    options.add_argument("--seconds", type=int, default=20)
    options.add_argument("--rate", type=int, default=100, help="events per second while they look")
    chosen = options.parse_args()
    with sink() as url, novapulse() as instance:
        with instance.client() as client:
            client.post("/webhooks", json={"url": url, "event_types": ["*"]}).raise_for_status()
        (web,) = instance.children("web")
        with sending(instance, chosen.rate):
            time.sleep(5)
            alone = cores(web, chosen.seconds)
            print(f"nobody looks      {alone:.2f} cores of the web process", flush=True)
            cookies = [sign_in(instance) for _ in range(-(-chosen.dashboards // _PER_SESSION))]
            looked, ages, size = asyncio.run(look(instance, cookies, web, chosen.dashboards, chosen.seconds))
        ages.sort()
        more = looked - alone
        print(f"{chosen.dashboards} dashboards    {looked:.2f} cores, so {more:.2f} for looking (at most 0.5)")
        p50, p99 = ages[len(ages) // 2] * 1000, ages[len(ages) * 99 // 100] * 1000
        print(f"age of what arrives  p50 {p50:.0f} ms  p99 {p99:.0f} ms   {size:.0f} bytes per dashboard and second")


def cores(process: psutil.Process, seconds: float) -> float:
    """How many cores a process keeps busy from now on."""
    before = sum(process.cpu_times()[:2])
    started = time.monotonic()
    time.sleep(seconds)
    return (sum(process.cpu_times()[:2]) - before) / (time.monotonic() - started)


@contextmanager
def sending(instance: Instance, rate: int) -> Iterator[None]:
    """Events at a steady rate, in batches of a tenth of a second."""
    stop = threading.Event()

    def send() -> None:
        with instance.client() as client:
            while not stop.wait(0.1):
                events = [{"type": "bench.look", "data": {"n": n}} for n in range(rate // 10)]
                client.post("/events/batch", json={"events": events}).raise_for_status()

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def sign_in(instance: Instance) -> str:
    """The token of a fresh session."""
    credentials, headers = {"email": EMAIL, "password": PASSWORD}, {"Origin": instance.url.removesuffix("/api/v1")}
    answer = httpx.post(f"{instance.url}/auth/login", json=credentials, headers=headers).raise_for_status()
    return answer.cookies["np_session"]


async def look(
    instance: Instance, cookies: list[str], web: psutil.Process, dashboards: int, seconds: float
) -> tuple[float, list[float], float]:
    """Cores of the web process, ages of the readings that arrive (s), and bytes per dashboard and second."""
    origin = instance.url.removesuffix("/api/v1")
    ages: list[float] = []
    counted = {"bytes": 0, "open": 0}
    measuring = asyncio.Event()
    gate = asyncio.Semaphore(_CONNECTING)

    async def dashboard(client: aiohttp.ClientSession, number: int) -> None:
        headers = {"Cookie": f"np_session={cookies[number // _PER_SESSION]}", "Origin": origin}
        address = f"{origin}/_event/?EIO=4&transport=websocket&token=bench-{number}"
        async with gate:
            socket = await client.ws_connect(address, headers=headers, max_msg_size=0)
            await socket.receive()  # Engine.IO: open
            await socket.send_str("40/_event,")  # Socket.IO: connect
            while not (await socket.receive()).data.startswith("40/_event"):
                pass
            # A page that opens loads the first snapshot; from then on it is told.
            await socket.send_str(f"42/_event,{json.dumps(['event', LOAD | {'token': f'bench-{number}'}])}")
            while "at_rx_state_" not in (await socket.receive()).data:
                pass
        counted["open"] += 1
        async for message in socket:
            if message.data == "2":  # ping
                await socket.send_str("3")
            elif measuring.is_set():
                counted["bytes"] += len(message.data)
                found = _AT.search(message.data.encode())
                if found:
                    at = datetime.fromisoformat(found[1].decode()).timestamp()
                    ages.append(datetime.now(UTC).timestamp() - at)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:
        tasks = [asyncio.create_task(dashboard(client, number)) for number in range(dashboards)]
        while counted["open"] < dashboards:
            await asyncio.sleep(0.1)
            if failed := [task for task in tasks if task.done()]:
                raise SystemExit(f"a dashboard was cut off: {failed[0].exception()!r}")
        await asyncio.sleep(3)
        measuring.set()
        busy = await asyncio.to_thread(cores, web, seconds)
        measuring.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if len(ages) < dashboards * seconds / 2:
        raise SystemExit(f"only {len(ages)} readings arrived at {dashboards} dashboards in {seconds} s")
    return busy, ages, counted["bytes"] / dashboards / seconds


if __name__ == "__main__":
    main()
