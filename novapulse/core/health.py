"""Is what NovaPulse needs there? Each check says how long it took and, if it failed, why."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog
from sqlalchemy import text

from novapulse.core.migrations import pending
from novapulse.core.runtime import Runtime

_TIMEOUT_S = 2.0
_CACHED_S = 1.0
_BAD_CACHED_S = 0.1  # a start is watched closely, and good news should not be late

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    ok: bool
    latency_ms: float
    reason: str | None = None


class Health:
    """The checks of one process; asked often, done at most once a second. Made by `Runtime.part`."""

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt
        self._done: list[Check] = []
        self._done_at = 0.0
        self._lock = asyncio.Lock()

    async def checks(self) -> list[Check]:
        """Database, migrations, Valkey, scheduler and workers."""
        async with self._lock:
            keep_s = _CACHED_S if all(check.ok for check in self._done) else _BAD_CACHED_S
            if time.monotonic() - self._done_at > keep_s:
                wanted = {
                    "database": self._database,
                    "migrations": self._migrations,
                    "valkey": self._valkey,
                    "scheduler": self._scheduler,
                    "workers": self._workers,
                }
                self._done = list(await asyncio.gather(*(_check(name, look) for name, look in wanted.items())))
                self._done_at = time.monotonic()
            return self._done

    async def _database(self) -> str | None:
        async with self._rt.database.read() as session:
            await session.execute(text("SELECT 1"))
        return None

    async def _migrations(self) -> str | None:
        return "the database is behind this version: novapulse db upgrade" if await pending(self._rt.database) else None

    async def _valkey(self) -> str | None:
        await self._rt.valkey.execute_command("PING")
        return None

    async def _scheduler(self) -> str | None:
        alive = await self._rt.valkey.exists("np:scheduler")
        return None if alive else "no scheduler is running: retries are not handed out"

    async def _workers(self) -> str | None:
        alive = await self._rt.valkey.zcount("np:workers", int(time.time() * 1000), "+inf")
        return None if alive else "no worker is running: deliveries wait"


async def _check(name: str, look: Callable[[], Awaitable[str | None]]) -> Check:
    started = time.perf_counter()
    try:
        reason = await asyncio.wait_for(look(), _TIMEOUT_S)
    except TimeoutError:
        reason = f"no answer within {_TIMEOUT_S:g} s"
    except Exception as error:  # whatever it is, it is the finding
        log.debug("health_check_failed", check=name, error=str(error)[:200])
        reason = f"not reachable ({type(error).__name__})"
    return Check(name, reason is None, round((time.perf_counter() - started) * 1000, 2), reason)
