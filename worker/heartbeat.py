"""The sign of life of a worker, from a thread of its own: a busy event loop is not a dead one.

It stops with the process, by SIGKILL or SIGSTOP alike; what the worker held is then taken over.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import threading
from collections.abc import Callable
from typing import Any

import orjson
import structlog
from redis.exceptions import RedisError

from novapulse.core.clock import now_ms
from novapulse.core.valkey import connect
from novapulse.core.version import VERSION
from novapulse.settings import Settings
from worker import keys

log = structlog.get_logger(__name__)


class Heartbeat:
    """Beats every third of its time to live."""

    def __init__(
        self, settings: Settings, name: str, slots: dict[str, int], running: Callable[[], dict[str, int]]
    ) -> None:
        """`slots` tells of each queue how much the worker runs at once, `running` how much it has now."""
        self._settings = settings
        self._name = name
        self._running = running
        self._about: dict[str, Any] = {
            "name": name,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "version": VERSION,
            "queues": list(slots),
            "slots": slots,
            "started_at": now_ms(),
        }
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin; the first beat is at once."""
        self._thread.start()

    def stop(self) -> None:
        """End, and say so, so that nobody waits for the next beat."""
        with contextlib.suppress(RuntimeError):  # it has ended already
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout=3)

    def _run(self) -> None:
        with contextlib.closing(self._loop) as loop:
            loop.run_until_complete(self._beat())

    async def _beat(self) -> None:
        ttl_s = self._settings.heartbeat_ttl_s
        client = connect(self._settings.valkey, socket_timeout=ttl_s, socket_connect_timeout=ttl_s)
        away = False
        while True:
            try:
                pipe = client.pipeline()
                pipe.set(keys.worker(self._name), orjson.dumps(self._state()), px=round(ttl_s * 1000))
                pipe.zadd(keys.WORKERS, {self._name: now_ms() + round(ttl_s * 1000)})
                pipe.zremrangebyscore(keys.WORKERS, 0, now_ms() - 3_600_000)
                await pipe.execute()
                away = False
            except (RedisError, OSError, TimeoutError) as error:
                if not away:
                    log.warning("heartbeat_missed", error=str(error)[:200])
                away = True
            try:
                await asyncio.wait_for(self._stop.wait(), 0.2 if away else ttl_s / 3)
                break
            except TimeoutError:
                continue
        # If this fails it runs out by itself.
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            pipe = client.pipeline()
            pipe.delete(keys.worker(self._name))
            pipe.zrem(keys.WORKERS, self._name)
            await pipe.execute()
        await client.aclose()

    def _state(self) -> dict[str, Any]:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return {
            **self._about,
            "at": now_ms(),
            "running": self._running(),
            "rss_bytes": _rss_bytes(),
            "cpu_s": round(usage.ru_utime + usage.ru_stime, 2),
            "uptime_s": round((now_ms() - self._about["started_at"]) / 1000),
        }


def _rss_bytes() -> int | None:
    try:
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - read three times a heartbeat
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None  # not Linux
