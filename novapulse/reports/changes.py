"""A number that grows when something about a report changes: open pages read again then."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import contextlib

from redis.exceptions import RedisError

from novapulse.core.runtime import Runtime

_KEY = "{np}:reports:changes"


async def tell_changed(rt: Runtime) -> None:
    """Say that something changed; never fails."""
    with contextlib.suppress(RedisError, OSError, TimeoutError):
        await rt.valkey.incr(_KEY)


async def changes(rt: Runtime) -> int:
    """How often something was told to have changed."""
    return int(await rt.valkey.get(_KEY) or 0)
