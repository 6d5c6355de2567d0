"""What a process does for its metrics: takes its file where others tell of it, and looks after what nobody counts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog
from redis.exceptions import RedisError
from sqlalchemy.pool import QueuePool

from novapulse.core.runtime import Runtime
from novapulse.metrics import definitions as m
from novapulse.metrics.sheet import SHEET, lock

_LOOK_S = 1.0
_ASK_EVERY = 5  # looks

log = structlog.get_logger(__name__)


class Keeper:
    """Of one process. Made by `Runtime.part`."""

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt
        self.folder = rt.settings.data_dir.resolve() / "metrics"
        self._watched: list[Callable[[], object]] = [self._pool]
        self._task: asyncio.Task[None] | None = None
        self._collector: object = None

    def start(self, process: str, *, told_by_others: bool) -> None:
        """Begin. `told_by_others`: this process answers no scrapes, a web process on this machine does so for it."""
        SHEET.begin(process)
        if told_by_others and not SHEET.shared:
            try:
                SHEET.share(self.folder)
            except OSError as error:
                log.warning("metrics_not_shared", folder=str(self.folder), error=str(error)[:200])
        self._task = asyncio.create_task(self._look())

    def watch(self, look: Callable[[], object]) -> None:
        """Have `look`, which sets gauges, called every second and before anybody is told."""
        self._watched.append(look)

    def refresh(self) -> None:
        """Set what is not counted."""
        for look in self._watched:
            look()

    def collects(self) -> bool:
        """Whether this process tells of those that have no port: of all web processes of a machine, one does."""
        if self._collector is None and SHEET.process == "web":
            try:
                self._collector = lock(self.folder / "collector.lock")
            except OSError:
                return False
        return self._collector is not None

    async def close(self) -> None:
        """Stop looking."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _look(self) -> None:
        rounds = 0
        while True:
            began = time.monotonic()
            await asyncio.sleep(_LOOK_S)
            m.LOOP_LAG.set(max(0.0, time.monotonic() - began - _LOOK_S), SHEET.process)
            self.refresh()
            if rounds % _ASK_EVERY == 0:
                await self._ask()
            rounds += 1

    async def _ask(self) -> None:
        began, sent = time.perf_counter(), time.time()
        try:
            seconds, micros = await self._rt.valkey.time()
        except (RedisError, OSError, TimeoutError):
            m.VALKEY_FAILED.add(1)
            return
        took = time.perf_counter() - began
        m.VALKEY.observe(took)
        # Its clock was read somewhere between question and answer: within that nothing is known.
        m.CLOCK_SKEW.set(max(0.0, abs(seconds + micros / 1e6 - sent - took / 2) - took / 2))

    def _pool(self) -> None:
        pool = self._rt.database.engine.pool
        if isinstance(pool, QueuePool):
            m.DB_POOL.set(pool.checkedout())
            m.DB_POOL_SIZE.set(pool.size() + max(0, pool._max_overflow))  # pyright: ignore[reportPrivateUsage]
