"""A report over 1,000,000 attempts: how long it takes, its memory, and what it costs webhooks meanwhile.

Deliveries are queued while the worker is stopped, and then drained by it: once with nothing beside, once while the
largest report is being made. Run: `python -m bench report`.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import time
from pathlib import Path

import httpx

from bench.common import Instance, novapulse, sink, wait_for

_DAY_MS = 86_400_000
_BATCH = 20_000
_HOOKS = 20


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--attempts", type=int, default=1_000_000)
    options.add_argument("--events", type=int, default=20_000)
    chosen = options.parse_args()
    with sink() as url, novapulse(NOVAPULSE_HEARTBEAT_TTL_S="600") as instance, instance.client() as client:
        now = int(time.time() * 1000)
        fill(instance.data_dir / "novapulse.db", chosen.attempts, now - 7 * _DAY_MS, now - _DAY_MS)
        params = {"since": moment(now - 8 * _DAY_MS), "until": moment(now - _DAY_MS // 2)}
        print(f"{chosen.attempts:,} attempts")
        for format_ in ("csv", "pdf", "xlsx"):
            began = time.monotonic()
            made = report(client, format_, params)
            took = time.monotonic() - began
            print(
                f"  {format_:5} {took:6.1f} s   {made['bytes'] / 1e6:7.1f} MB   "
                f"{made['peak_memory_bytes'] / 1e6:6.0f} MB of memory at most",
                flush=True,
            )
            assert made["rows"] == chosen.attempts, made
        alone = drain(instance, client, url, chosen.events)
        asked = ask(client, "xlsx", params)
        wait_for(lambda: status(client, asked)["status"] == "making")
        beside = drain(instance, client, url, chosen.events)
        still = status(client, asked)["status"] == "making"
        print(f"  deliveries/s alone {alone:8.0f}")
        print(f"  beside a report    {beside:8.0f}   {beside / alone:.0%} of it")
        if not still:
            print("  (the report was finished before the deliveries were: take fewer --events)")


def moment(ms: int) -> str:
    """A time as the API writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ms / 1000))


def ask(client: httpx.Client, format_: str, params: dict[str, str]) -> str:
    """Have a report made; its id."""
    answer = client.post("/reports", json={"kind": "deliveries", "format": format_, "params": params})
    answer.raise_for_status()
    return answer.json()["id"]


def status(client: httpx.Client, id_: str) -> dict[str, object]:
    """A report as it is now."""
    return client.get(f"/reports/{id_}").json()


def report(client: httpx.Client, format_: str, params: dict[str, str]) -> dict[str, int]:
    """A report, once it is finished."""
    id_ = ask(client, format_, params)
    wait_for(lambda: status(client, id_)["status"] not in ("queued", "making"), 1800)
    return status(client, id_)  # type: ignore[return-value]


def drain(instance: Instance, client: httpx.Client, url: str, events: int) -> float:
    """Deliveries per second of a worker that finds them waiting."""
    hook = client.post("/webhooks", json={"url": url, "event_types": [f"bench.n{random.randrange(10**9)}"]}).json()
    (worker,) = instance.children("worker")
    worker.suspend()
    time.sleep(0.2)
    for start in range(0, events, 1000):
        size = min(1000, events - start)
        batch = [{"type": hook["event_types"][0], "data": {"x": "y" * 400}} for _ in range(size)]
        client.post("/events/batch", json={"events": batch}).raise_for_status()
    database = sqlite3.connect(f"file:{instance.data_dir / 'novapulse.db'}?mode=ro", uri=True)
    count = "SELECT count(*) FROM delivery WHERE webhook_id = ? AND status = 'delivered'"
    began = time.monotonic()
    worker.resume()
    wait_for(lambda: database.execute(count, (hook["id"],)).fetchone()[0] == events)
    took = time.monotonic() - began
    database.close()
    return events / took


def fill(path: Path, attempts: int, since: int, until: int) -> None:
    """Deliveries of the past, with one attempt each, as rows."""
    chance = random.Random(1)
    database = sqlite3.connect(path, timeout=60, isolation_level=None)
    database.execute("BEGIN IMMEDIATE")
    for n in range(_HOOKS):
        database.execute(
            "INSERT INTO webhook (id, name, url, description, event_types, headers, timeout_s, ordered, demo, status,"
            " created_at, updated_at) VALUES (?, ?, 'https://example.com', '', '[]', '', 15, 0, 0, 'paused', 0, 0)",
            (f"wh_{n:032x}", f"Receiver {n}"),
        )
    event = f"evt_{since:012x}{0:020x}"
    database.execute(
        "INSERT INTO event (id, type, tenant_key, body, timestamp, created_at, deliveries)"
        " VALUES (?, 'invoice.paid', '', '{}', 0, 0, 1)",
        (event,),
    )
    database.execute("COMMIT")
    for start in range(0, attempts, _BATCH):
        deliveries, rows = [], []
        for n in range(start, min(attempts, start + _BATCH)):
            at, ok = since + (until - since) * n // attempts, chance.random() > 0.04
            hook = f"wh_{int(chance.random() ** 2 * _HOOKS):032x}"
            id_ = f"dlv_{at:012x}{n:020x}"
            ended = "delivered" if ok else "failed"
            deliveries.append((id_, event, hook, ended, at, at))
            code, error = (200, None) if ok else (500, "status")
            took = chance.lognormvariate(4, 0.7)
            rows.append((f"att_{at + 100:012x}{n:020x}", id_, ok, at, took, code, error))
        database.execute("BEGIN IMMEDIATE")
        database.executemany(
            "INSERT INTO delivery (id, event_id, webhook_id, event_type, status, attempts, schedule_from, manual,"
            " enqueued_at, claims, crashes, lease_until, created_at, finished_at)"
            " VALUES (?, ?, ?, 'invoice.paid', ?, 1, 0, 0, 0, 1, 0, 0, ?, ?)",
            deliveries,
        )
        database.executemany(
            "INSERT INTO attempt (id, delivery_id, number, ok, started_at, duration_ms, status_code, error,"
            " response_truncated) VALUES (?, ?, 1, ?, ?, ?, ?, ?, 0)",
            rows,
        )
        database.execute("COMMIT")
    database.close()


if __name__ == "__main__":
    main()
