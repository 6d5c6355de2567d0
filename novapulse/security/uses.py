"""When each route and handler was last used: noted in memory, and put together in Valkey every few seconds."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio

import structlog
from redis.exceptions import RedisError

from novapulse.core.clock import now_ms
from novapulse.core.runtime import Runtime

USES = "{np}:uses"
_EVERY_S = 5.0

log = structlog.get_logger(__name__)


class Uses:
    """What was used lately in this process. Made by `Runtime.part`."""

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt
        self._noted: dict[tuple[str, str], int] = {}

    def note(self, kind: str, name: str) -> None:
        """Something was used now: a method and a path, or `handler` and its name."""
        self._noted[kind, name] = now_ms()

    async def run(self) -> None:
        """Write down what was noted, for as long as the process lives."""
        while True:
            await asyncio.sleep(_EVERY_S)
            await self.flush()

    async def flush(self) -> None:
        """Write down what was noted; what cannot be written is kept."""
        noted, self._noted = self._noted, {}
        if not noted:
            return
        try:
            flat = [part for (kind, name), at in noted.items() for part in (f"{kind} {name}", at)]
            await self._rt.valkey.execute_command("HSET", USES, *flat)
        except (RedisError, OSError, TimeoutError) as error:
            log.debug("uses_not_written", error=str(error)[:200])
            self._noted = noted | self._noted

    async def known(self) -> dict[str, int]:
        """When each was used, by any process; of this one alone while Valkey is away."""
        here = {f"{kind} {name}": at for (kind, name), at in self._noted.items()}
        try:
            shared: dict[str, str] = await self._rt.valkey.execute_command("HGETALL", USES) or {}
        except (RedisError, OSError, TimeoutError):
            shared = {}
        return {name: int(at) for name, at in shared.items()} | here
