"""What a scrape of `/metrics` costs: how long it takes while deliveries are made, and what it takes of the processor.

The instance runs two workers, whose numbers the web tells of with its own, and answers each route once, so that there
are as many series as there will be. The processor's time is that of all processes, with many scrapes less without any.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time

import httpx
import psutil

from bench.common import Instance, novapulse, sink
from novapulse.api import API_ROUTERS
from novapulse.security.policy import policies_of

_EVERY_S = 5.0  # of Prometheus
_ROUND_S = 10.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench metrics", description=__doc__)
    parser.add_argument("--scrapes", type=int, default=100)
    parser.add_argument("--rate", type=int, default=500, help="events per second meanwhile")
    options = parser.parse_args()
    with sink() as receiver, novapulse(workers="2") as instance, instance.client() as client:
        root = instance.url.removesuffix("/api/v1")
        client.post("/webhooks", json={"url": receiver, "event_types": ["*"]}).raise_for_status()
        for method, path, _ in policies_of(API_ROUTERS):
            client.request(method, path.replace("{", "").replace("}", ""))
        with httpx.Client(base_url=root) as scraper:
            scraper.get("/metrics").raise_for_status()
            time.sleep(2)
            _told("at rest", _scrape(scraper, options.scrapes, 0.02))
            _cost(instance, scraper, options.scrapes)
            stop = threading.Event()
            load = threading.Thread(target=_send, args=(client, options.rate, stop))
            load.start()
            _told(f"at {options.rate} events/s", _scrape(scraper, options.scrapes, 0.1))
            stop.set()
            load.join()
            text = scraper.get("/metrics").text
    print(f"answer: {len(text) / 1000:.0f} kB, {sum(not line.startswith('#') for line in text.splitlines())} series")


def _scrape(scraper: httpx.Client, count: int, pause_s: float) -> list[float]:
    took: list[float] = []
    for _ in range(count):
        began = time.perf_counter()
        scraper.get("/metrics").raise_for_status()
        took.append((time.perf_counter() - began) * 1000)
        time.sleep(pause_s)
    return sorted(took)


def _told(when: str, took: list[float]) -> None:
    print(f"{when}: median {statistics.median(took):.1f} ms, p95 {took[int(len(took) * 0.95)]:.1f} ms")


def _cost(instance: Instance, scraper: httpx.Client, count: int) -> None:
    """By what many scrapes take of the processor: what one takes, and what share of a core one every 5 s is."""
    without = _used(instance, lambda: time.sleep(_ROUND_S))
    pause_s = _ROUND_S / count
    began = time.monotonic()
    with_ = _used(instance, lambda: _scrape(scraper, count, pause_s))
    each_s = (with_ - without * (time.monotonic() - began) / _ROUND_S) / count
    print(f"processor: {each_s * 1000:.1f} ms a scrape, {each_s / _EVERY_S:.2%} of a core at one every {_EVERY_S:g} s")


def _used(instance: Instance, work: object) -> float:
    processes = [psutil.Process(instance.process.pid), *instance.children("novapulse.launch.child")]
    before = sum(sum(process.cpu_times()[:2]) for process in processes)
    work()  # type: ignore[operator]
    return sum(sum(process.cpu_times()[:2]) for process in processes) - before


def _send(client: httpx.Client, rate: int, stop: threading.Event) -> None:
    events = [{"type": "bench.metrics", "data": {"n": n}} for n in range(max(1, rate // 10))]
    while not stop.is_set():
        began = time.monotonic()
        client.post("/events/batch", json={"events": events})
        time.sleep(max(0.0, 0.1 - (time.monotonic() - began)))


if __name__ == "__main__":
    main()
