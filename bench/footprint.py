"""What NovaPulse takes: start-up time, memory when idle and after events, and what a browser loads and waits for.

Absolute figures of one machine. Beside them, for the memory, a bare Reflex is no peer: nobody else has this in one
package; what can be compared is the growth, printed as a ratio of after to idle.
"""

from __future__ import annotations

import argparse
import time

import psutil
from playwright.sync_api import Response, sync_playwright

from bench.common import EMAIL, PASSWORD, Instance, novapulse, sink, wait_for
from tests import browser as chromium


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--events", type=int, default=20_000)
    chosen = options.parse_args()
    started = time.monotonic()
    with sink() as url, novapulse() as instance:
        print(f"first start, empty folder, until ready: {time.monotonic() - started:.1f} s (with making a key)")
        time.sleep(5)
        idle = memory(instance)
        print("memory when idle (PSS)       " + described(idle))
        load_page(instance)
        seen = memory(instance)
        print("memory with one open page    " + described(seen))
        send(instance, url, chosen.events)
        after = memory(instance)
        print(f"memory after {chosen.events:,} events  " + described(after))
        print(f"ratio {sum(after.values()) / sum(idle.values()):.2f} (1 would mean that events leave nothing behind)")


def memory(instance: Instance) -> dict[str, int]:
    """Proportional memory of each process, in MB."""
    parent = psutil.Process(instance.process.pid)
    found: dict[str, int] = {"supervisor": _pss(parent)}
    for child in parent.children(recursive=True):
        words = child.cmdline()
        name = "valkey" if "valkey" in words[0] else words[-1]
        found[name] = found.get(name, 0) + _pss(child)
    return found


def _pss(process: psutil.Process) -> int:
    info = process.memory_full_info()
    return getattr(info, "pss", info.uss) >> 20


def described(parts: dict[str, int]) -> str:
    """Parts and their sum as a line."""
    return f"{sum(parts.values())} MB: " + ", ".join(f"{name} {size}" for name, size in sorted(parts.items()))


def load_page(instance: Instance) -> None:
    """Open the overview in a fresh browser: what is transferred, and how long until its figures are live."""
    origin = instance.url.removesuffix("/api/v1")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium.find(), args=[*chromium.ARGUMENTS])
        context = browser.new_context(base_url=origin)
        credentials = {"email": EMAIL, "password": PASSWORD}
        answer = context.request.post("/api/v1/auth/login", data=credentials, headers={"Origin": origin})
        assert answer.ok, answer.text()
        for visit in ("first", "second"):
            responses: list[Response] = []
            page = context.new_page()
            page.on("response", lambda response, seen=responses: seen.append(response))
            began = time.monotonic()
            page.goto("/")
            page.get_by_test_id("stat-delivered").wait_for()
            live_ms = (time.monotonic() - began) * 1000
            scripts = [response for response in responses if response.url.split("?")[0].endswith(".js")]
            # From the cache, nothing is transferred, which Chromium calls -1 or less.
            kib = sum(max(0, response.request.sizes()["responseBodySize"]) for response in scripts) / 1024
            print(
                f"{visit} visit: live figures after {live_ms:.0f} ms, {len(scripts)} scripts, {kib:.0f} KiB transferred"
            )
            page.close()
        browser.close()


def send(instance: Instance, url: str, events: int) -> None:
    """Have events delivered."""
    with instance.client() as client:
        hook = client.post("/webhooks", json={"url": url, "event_types": ["*"]}).raise_for_status().json()
        for start in range(0, events, 1000):
            batch = [{"type": "invoice.paid", "data": {"x": "y" * 400}} for _ in range(min(1000, events - start))]
            client.post("/events/batch", json={"events": batch}).raise_for_status()

        def all_delivered() -> bool:
            stats = client.get(f"/webhooks/{hook['id']}/stats", params={"window": "1h"}).json()
            return stats["delivered"] == events

        wait_for(all_delivered)


if __name__ == "__main__":
    main()
