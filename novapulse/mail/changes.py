"""A number that grows when a message or template changes: open pages read again then."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import contextlib

from redis.exceptions import RedisError

from novapulse.core.runtime import Runtime

_KEY = "np:mail:changes"
_SOON_S = 0.2


class _Told:
    """What is to be told soon, together. Made by `Runtime.part`."""

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt
        self.task: asyncio.Task[None] | None = None

    async def run(self) -> None:
        await asyncio.sleep(_SOON_S)
        self.task = None
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            await self._rt.valkey.incr(_KEY)


def tell_changed(rt: Runtime) -> None:
    """Say that something changed; never fails, and costs no more for a thousand messages than for one."""
    told = rt.part(_Told)
    if told.task is None:
        told.task = asyncio.create_task(told.run())


async def changes(rt: Runtime) -> int:
    """How often something was told to have changed."""
    return int(await rt.valkey.get(_KEY) or 0)
