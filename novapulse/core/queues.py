"""What whoever hands out owed work has to know of the queues: what is still in one, and which workers are dead."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import time
from collections.abc import Iterable

from novapulse.core.runtime import Runtime

DEAD_AFTER = 2 / 3  # of its time to live, which is three beats


async def oldest_queued_at(rt: Runtime, queue: str, now: int) -> int:
    """When the oldest job in the queue was put there (ms); now, if it is empty.

    Whatever was queued before it is not in the queue any more.
    """
    entries = await rt.valkey.xrange(f"{{np}}:q:{{{queue}}}", count=1)
    if not entries:
        return now
    return min(now, int(str(entries[0][0]).split("-", 1)[0]))


class DeadOwners:
    """Tells the dead among those who hold claims, by their heartbeats."""

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt
        self._missing: dict[str, float] = {}  # owner -> since when no heartbeat was seen

    async def among(self, owners: Iterable[str]) -> list[str]:
        """Those whose heartbeat has been gone for long.

        It has run out, and two more beats are missing: a live worker is back after Valkey lost its data, a dead one
        is not.
        """
        missing: dict[str, float] = {}
        now = time.monotonic()
        for owner in owners:
            if not await self._rt.valkey.exists(f"{{np}}:worker:{owner}"):
                missing[owner] = self._missing.get(owner, now)
        self._missing = missing
        return [
            owner for owner, since in missing.items() if now - since > DEAD_AFTER * self._rt.settings.heartbeat_ttl_s
        ]
