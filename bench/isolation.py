"""One receiver that hangs among ten: what it costs the other nine, beside the same load without it.

Events arrive at a steady rate, one type per webhook. Measured is the time from an event's acceptance
to its recorded delivery, p50 and p99 over the nine webhooks whose receivers answer at once.
"""

from __future__ import annotations

import argparse
import sqlite3
import statistics
import time

from bench.common import Instance, novapulse, wait_for
from tests.receiver import Answer, Arrival, receiving

HOOKS = 10
HANGS_S = 30.0


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rate", type=int, default=300, help="events per second")
    options.add_argument("--seconds", type=int, default=20)
    options.add_argument("--rounds", type=int, default=3)
    chosen = options.parse_args()
    ratios: list[float] = []
    hanging = False

    def rule(arrival: Arrival) -> Answer:
        return Answer(delay_s=HANGS_S) if hanging and arrival.path == "/0" else Answer()

    for number in range(1, chosen.rounds + 1):
        p99: dict[bool, float] = {}
        for hanging in (False, True):
            with receiving(rule) as receiver, novapulse() as instance:
                took = measure(instance, receiver.url(""), chosen.rate, chosen.seconds)
            p99[hanging] = took[len(took) * 99 // 100]
            name = "one of ten hangs" if hanging else "all ten answer  "
            print(
                f"round {number}  {name}  p50 {statistics.median(took):6.0f} ms  p99 {p99[hanging]:6.0f} ms", flush=True
            )
        ratios.append(p99[True] / p99[False])
        print(f"         ratio of the p99s {ratios[-1]:.2f}", flush=True)
    print(f"median ratio of {len(ratios)} rounds: {statistics.median(ratios):.2f} (1 would mean: nobody notices)")


def measure(instance: Instance, url: str, rate: int, seconds: int) -> list[int]:
    """Milliseconds from acceptance to record of each delivery to the nine, sorted."""
    with instance.client() as client:
        hooks = [
            client.post("/webhooks", json={"url": f"{url}/{n}", "event_types": [f"kind.n{n}"], "timeout_s": 30})
            .raise_for_status()
            .json()["id"]
            for n in range(HOOKS)
        ]
        # One of each before the clock starts, so that connections stand.
        events = [{"type": f"kind.n{n}", "data": {}} for n in range(HOOKS)]
        client.post("/events/batch", json={"events": events}).raise_for_status()
        begin_ms = time.time_ns() // 1_000_000
        start = time.monotonic()
        for tick in range(seconds * 10):
            time.sleep(max(0.0, start + tick / 10 - time.monotonic()))
            events = [{"type": f"kind.n{n % HOOKS}", "data": {"n": n}} for n in range(rate // 10)]
            client.post("/events/batch", json={"events": events}).raise_for_status()
    others = ",".join(f"'{id_}'" for id_ in hooks[1:])
    database = sqlite3.connect(f"file:{instance.data_dir / 'novapulse.db'}?mode=ro", uri=True)
    owed = f"FROM delivery WHERE webhook_id IN ({others}) AND created_at >= {begin_ms}"
    wait_for(lambda: database.execute(f"SELECT count(*) {owed} AND status != 'delivered'").fetchone()[0] == 0)
    rows = database.execute(f"SELECT finished_at - created_at {owed} ORDER BY 1").fetchall()
    database.close()
    return [row[0] for row in rows]


if __name__ == "__main__":
    main()
