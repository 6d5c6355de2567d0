"""A real `novapulse up` per test, whose processes may be killed, stopped and starved."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import psutil
import pytest
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

EMAIL, PASSWORD = "chaos@example.com", "correct horse battery staple 7"

_STATES = ("waiting", "active", "delayed", "completed", "dead", "cancelled")
# One statement, so one moment.
COUNTED_AND_FOUND = """
    SELECT 'counted', queue, state, CAST(sum(n) AS BIGINT) FROM queue_count GROUP BY queue, state
    UNION ALL SELECT 'found', queue, state, count(*) FROM job GROUP BY queue, state
    UNION ALL SELECT 'found', 'webhook', CASE status WHEN 'pending' THEN 'waiting' WHEN 'sending' THEN 'active'
        WHEN 'retrying' THEN 'delayed' WHEN 'delivered' THEN 'completed' WHEN 'failed' THEN 'dead'
        ELSE 'cancelled' END, count(*) FROM delivery GROUP BY status
"""


_NOT_YET = (
    httpx.HTTPError, sqlite3.Error, asyncpg.PostgresError, SQLAlchemyError, RedisError, OSError, psutil.Error
)  # fmt: skip


def wait_until(check: Callable[[], Any], timeout_s: float, what: str | Callable[[], str]) -> None:
    """Poll until `check()` is true; an exception counts as not yet."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        with contextlib.suppress(*_NOT_YET):
            if check():
                return
        time.sleep(0.05)
    raise AssertionError(f"after {timeout_s} s still not: {what if isinstance(what, str) else what()}")


def assert_counts_are_true(rows: list[tuple[Any, ...]]) -> None:
    """What `COUNTED_AND_FOUND` finds has to agree."""
    counted = {(queue, state): n for what, queue, state, n in rows if what == "counted" and n}
    found = {(queue, state): n for what, queue, state, n in rows if what == "found"}
    assert {key: n for key, n in counted.items() if key[1] in _STATES} == found
    for queue in {queue for queue, _ in counted}:
        kept = sum(n for (own, state), n in counted.items() if own == queue and state not in ("enqueued", "failed"))
        assert counted.get((queue, "enqueued"), 0) == kept, queue


class House:
    """One running NovaPulse and handles to its parts."""

    def __init__(self, folder: Path, port: int, settings: dict[str, str]) -> None:
        self.folder = folder
        self.url = f"http://127.0.0.1:{port}"
        self.environment = os.environ | {
            "NOVAPULSE_DATA_DIR": str(folder),
            "NOVAPULSE_PORT": str(port),
            "NOVAPULSE_ADMIN_EMAIL": EMAIL,
            "NOVAPULSE_ADMIN_PASSWORD": PASSWORD,
            "NOVAPULSE_ALLOW_PRIVATE_NETWORKS": "127.0.0.0/8",
            "NOVAPULSE_HEARTBEAT_TTL_S": "3",
            **settings,
        }
        self._log = (folder.parent / f"{folder.name}.log").open("ab")
        self.process = self.start()
        self.key = self.cli("apikey", "create", "--name", "chaos", "--scope", "*").strip()
        self.client = httpx.Client(
            base_url=self.url + "/api/v1", headers={"Authorization": f"Bearer {self.key}"}, timeout=30
        )

    def start(self) -> subprocess.Popen[bytes]:
        """Start `novapulse up` and wait until it is ready."""
        command = [sys.executable, "-m", "novapulse.cli", "up"]
        self.process = subprocess.Popen(command, env=self.environment, stdout=self._log, stderr=self._log)
        ready = self.url + "/api/v1/health/ready"
        wait_until(lambda: httpx.get(ready).status_code == 200, 60, "ready")
        return self.process

    def cli(self, *arguments: str) -> str:
        """Run a command of the CLI and return what it printed."""
        command = [sys.executable, "-m", "novapulse.cli", *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def part(self, kind: str) -> psutil.Process:
        """The live process of one kind: web, worker, scheduler or valkey."""
        found: list[psutil.Process] = []

        def look() -> bool:
            children = psutil.Process(self.process.pid).children(recursive=True)
            found[:] = [child for child in children if _is_kind(child, kind)]
            return bool(found)

        wait_until(look, 20, f"a {kind} process")
        return found[0]

    def kill(self, kind: str, sign: int = signal.SIGKILL) -> None:
        """Send a signal to the process of one kind."""
        self.part(kind).send_signal(sign)

    def spawn(self, kind: str) -> subprocess.Popen[bytes]:
        """Start one more process of a kind beside those of `up`; the caller ends it."""
        command = [sys.executable, "-m", "novapulse.cli", kind]
        return subprocess.Popen(command, env=self.environment, stdout=self._log, stderr=self._log)

    def valkey(self) -> Redis:
        """A client of the embedded Valkey."""
        return Redis(unix_socket_path=str(next(self.folder.rglob("*.sock"))))

    def flush_valkey(self) -> None:
        """Lose everything that Valkey holds."""
        self.valkey().flushall()

    def webhook(self, url: str, **fields: Any) -> dict[str, Any]:
        """Make a webhook for every event type."""
        answer = self.client.post("/webhooks", json={"url": url, "event_types": ["*"], **fields})
        assert answer.status_code == 201, answer.text
        return answer.json()

    def send(self, count: int, *, start: int = 0, type_: str = "chaos.event") -> list[str]:
        """Send events, each with an id of its own, until each was accepted; the ids NovaPulse gave them.

        Sending again after an error is what a careful client does; the sender's id makes it safe.
        """
        ids: list[str] = []
        for first in range(start, start + count, 250):
            numbers = range(first, min(first + 250, start + count))
            batch = {"events": [{"type": type_, "id": f"n-{n}", "data": {"n": n}} for n in numbers]}
            accepted: list[dict[str, Any]] = []

            def post(batch: dict[str, Any] = batch, accepted: list[dict[str, Any]] = accepted) -> bool:
                answer = self.client.post("/events/batch", json=batch)
                if answer.status_code == 202:
                    accepted[:] = answer.json()["events"]
                return bool(accepted)

            wait_until(post, 60, "events accepted")
            assert all("error" not in item for item in accepted), accepted
            ids += [item["id"] for item in accepted]
        return ids

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Ask the database directly: it alone says what is owed."""
        if url := self.environment.get("NOVAPULSE_DATABASE_URL"):
            return asyncio.run(_postgres_rows(url, query))
        with contextlib.closing(sqlite3.connect(f"file:{self.folder / 'novapulse.db'}?mode=ro", uri=True)) as database:
            return database.execute(query).fetchall()

    def wait_delivered(self, count: int, timeout_s: float = 120) -> None:
        """Wait until `count` deliveries have ended well and none is open."""
        query = "SELECT status, count(*) FROM delivery GROUP BY status"
        wait_until(lambda: dict(self.rows(query)) == {"delivered": count}, timeout_s, f"{count} delivered")
        self.counts_are_true()

    def counts_are_true(self) -> None:
        """Whatever has happened: what the counters say is what the rows say, and nothing that was made is missing."""
        assert_counts_are_true(self.rows(COUNTED_AND_FOUND))

    def stop(self) -> None:
        """End it, whatever state it is in."""
        with contextlib.suppress(psutil.Error):
            everyone = psutil.Process(self.process.pid).children(recursive=True)
            for each in everyone:
                with contextlib.suppress(psutil.Error):
                    each.send_signal(signal.SIGCONT)
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(20)
            for each in everyone:
                with contextlib.suppress(psutil.Error):
                    each.kill()
        if self.process.poll() is None:
            self.process.kill()
        self._log.close()


async def _postgres_rows(url: str, query: str) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


def _is_kind(process: psutil.Process, kind: str) -> bool:
    with contextlib.suppress(psutil.Error):
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        words = process.cmdline()
        return (
            any("valkey-server" in word or "valkey" in Path(word).name for word in words[:2])
            if kind == "valkey"
            else kind in words
        )
    return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def make_house(tmp_path: Path) -> Iterator[Callable[..., House]]:
    """Start houses with given settings; all are torn down at the end."""
    houses: list[House] = []

    def make(**settings: str) -> House:
        folder = tmp_path / f"house-{len(houses)}"
        folder.mkdir()
        houses.append(House(folder, free_port(), settings))
        return houses[-1]

    yield make
    for house in houses:
        house.stop()


@pytest.fixture
def house(make_house: Callable[..., House]) -> House:
    """One NovaPulse on embedded defaults."""
    return make_house()
