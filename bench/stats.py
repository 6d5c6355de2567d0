"""`GET /queue/stats` with no job waiting and with a million: how long it takes, whether it is exact, and what it takes.

The jobs wait in a paused queue of a running NovaPulse, whose scheduler goes on handing out, sampling and reconciling.
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import time

import httpx

from bench.common import Instance, novapulse, wait_for
from bench.footprint import described, memory
from novapulse.core.database import Database
from novapulse.jobs.enqueue import NewJob, add_jobs_on
from novapulse.jobs.tasks import load_tasks

QUEUE, TASK, MODULE = "report", "bench.nothing", "bench.tasks"
_CHUNK = 10_000


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--jobs", type=int, default=1_000_000)
    options.add_argument("--calls", type=int, default=500)
    chosen = options.parse_args()
    load_tasks([MODULE])
    with novapulse(NOVAPULSE_TASK_MODULES=MODULE) as instance, instance.client() as client:
        client.post(f"/queue/{QUEUE}/pause", json={"note": "bench"}).raise_for_status()
        time.sleep(3)
        ask(client, 100)
        few = ask(client, chosen.calls)
        before = memory(instance)
        print(f"0 waiting          {spoken(few)}   memory {described(before)}", flush=True)
        started = time.monotonic()
        add(instance, chosen.jobs)
        print(f"{chosen.jobs:,} jobs made in {time.monotonic() - started:.0f} s")
        many = ask(client, chosen.calls)
        print(f"{chosen.jobs:,} waiting  {spoken(many)}   memory {described(memory(instance))}")
        size = sum(file.stat().st_size for file in instance.data_dir.glob("novapulse.db*"))
        print(f"database {size >> 20} MB, {size / chosen.jobs:.0f} bytes per job")
        check(instance, client, chosen.jobs)
        print(f"ratio {median(many) / median(few):.2f} (at most 2 is promised)")


def ask(client: httpx.Client, calls: int) -> list[float]:
    """Milliseconds of so many calls, one after the other, sorted."""
    took: list[float] = []
    for _ in range(calls):
        started = time.perf_counter()
        client.get("/queue/stats").raise_for_status()
        took.append((time.perf_counter() - started) * 1000)
    return sorted(took)


def median(took: list[float]) -> float:
    return took[len(took) // 2]


def spoken(took: list[float]) -> str:
    """Median and 99th percentile."""
    return f"p50 {median(took):5.1f} ms  p99 {took[len(took) * 99 // 100]:5.1f} ms"


def add(instance: Instance, jobs: int) -> None:
    """Make jobs as NovaPulse itself does."""

    async def make() -> None:
        database = Database(f"sqlite+aiosqlite:///{instance.data_dir / 'novapulse.db'}")
        for start in range(0, jobs, _CHUNK):
            new = [NewJob(TASK)] * min(_CHUNK, jobs - start)
            await database.run_write(lambda connection, new=new: add_jobs_on(connection, new))
        await database.close()

    asyncio.run(make())


def query(instance: Instance, sql: str) -> int:
    with sqlite3.connect(f"file:{instance.data_dir / 'novapulse.db'}?mode=ro", uri=True) as connection:
        return connection.execute(sql).fetchone()[0]


def check(instance: Instance, client: httpx.Client, jobs: int) -> None:
    """The counts against the rows."""
    stats = next(queue for queue in client.get("/queue/stats").json()["queues"] if queue["name"] == QUEUE)
    rows = query(instance, f"SELECT count(*) FROM job WHERE queue = '{QUEUE}' AND state = 'waiting'")
    asked_at = client.get("/queue/stats").json()["at"]
    wait_for(lambda: client.get("/queue/conservation").json()["checked_at"] > asked_at, 300)
    meter = client.get("/queue/conservation").json()
    assert stats["waiting"] == rows == jobs, (stats["waiting"], rows)
    own = next(queue for queue in meter["queues"] if queue["name"] == QUEUE)
    assert own["ok"] and own["enqueued"] == jobs, own
    print(f"exact: {stats['waiting']:,} counted, {rows:,} rows; checked against the rows in {meter['check_ms']} ms")


if __name__ == "__main__":
    main()
