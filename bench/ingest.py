"""Events taken in per second by the API, one per request, with p50 and p99; beside the same server's `/version`.

`/version` costs what HTTP, routing and authentication cost, so the ratio says what durability adds.
"""

from __future__ import annotations

import argparse
import asyncio
import time

import aiohttp

from bench.common import novapulse


async def load(url: str, key: str, body: dict[str, object] | None, requests: int, concurrency: int) -> list[float]:
    """Send `requests` requests over `concurrency` connections; the seconds each took."""
    took: list[float] = []
    numbers = iter(range(requests))
    headers = {"Authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=concurrency), headers=headers) as client:

        async def work() -> None:
            for _ in numbers:
                started = time.perf_counter()
                call = client.get(url) if body is None else client.post(url, json=body)
                async with call as answer:
                    await answer.read()
                    if answer.status not in (200, 202):
                        raise SystemExit(f"{url} answered {answer.status}: {await answer.text()}")
                took.append(time.perf_counter() - started)

        await asyncio.gather(*(work() for _ in range(concurrency)))
    return took


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--requests", type=int, default=10_000)
    options.add_argument("--concurrency", type=int, default=64)
    chosen = options.parse_args()
    event = {"type": "invoice.paid", "data": {"x": "y" * 400}}
    rates: list[float] = []
    with novapulse() as instance:
        with instance.client() as client:
            hook = {"url": "http://127.0.0.1:9/never", "event_types": ["*"]}
            made = client.post("/webhooks", json=hook).raise_for_status().json()
            # Paused: what is measured is taking in, not sending.
            client.patch(f"/webhooks/{made['id']}", json={"status": "paused"}).raise_for_status()
        for name, path, body in (("GET /version", "/version", None), ("POST /events", "/events", event)):
            started = time.perf_counter()
            took = sorted(
                asyncio.run(load(instance.url + path, instance.key, body, chosen.requests, chosen.concurrency))
            )
            rates.append(len(took) / (time.perf_counter() - started))
            p50, p99 = took[len(took) // 2] * 1000, took[len(took) * 99 // 100] * 1000
            print(f"{name:14s} {rates[-1]:7.0f} requests/s   p50 {p50:6.1f} ms   p99 {p99:6.1f} ms", flush=True)
    print(f"ratio {rates[1] / rates[0]:.2f} (1 would mean that a durable event costs no more than a bare answer)")


if __name__ == "__main__":
    main()
