"""A webhook's rate limit, shared by all workers: GCRA in Valkey, in whole microseconds of server time.

One call asks for several slots. Without Valkey each process keeps the rate by itself, so that the
limit is then exceeded at most by the number of workers, and never unlimited.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import time

from redis.asyncio import Redis
from redis.exceptions import RedisError

# KEYS[1] the webhook's theoretical arrival time; ARGV: interval in us, burst, slots wanted.
# Answers {slots granted, us until the next slot}.
_GCRA = """
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local interval, burst, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local tat = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)
tat = math.min(tat, now + burst * interval) -- later than that it is only where the clock was set back
local room = math.floor((now + burst * interval - tat) / interval)
local granted = math.max(0, math.min(room, wanted))
if granted > 0 then
  tat = tat + granted * interval
  redis.call('SET', KEYS[1], string.format('%.0f', tat), 'PX', math.ceil((tat - now) / 1000) + 1)
end
return {granted, math.max(0, tat + interval - burst * interval - now)}
"""


class RateLimits:
    """Grants sending slots per webhook."""

    def __init__(self, valkey: Redis) -> None:
        self._script = valkey.register_script(_GCRA)
        self._local: dict[str, int] = {}

    async def take(self, webhook_id: str, per_second: float, wanted: int) -> tuple[int, int]:
        """Ask for `wanted` slots: how many were granted, and in how many ms the next one comes."""
        interval = max(1, round(1_000_000 / per_second))
        burst = max(1, int(per_second))  # up to one second's worth at once
        try:
            granted, wait_us = await self._script(keys=[f"{{np}}:rate:{webhook_id}"], args=[interval, burst, wanted])
            return int(granted), -(-int(wait_us) // 1000)
        except (RedisError, OSError):
            return self._take_locally(webhook_id, interval, burst, wanted)

    def _take_locally(self, webhook_id: str, interval: int, burst: int, wanted: int) -> tuple[int, int]:
        now = time.monotonic_ns() // 1000
        tat = max(self._local.get(webhook_id, now), now)
        granted = max(0, min((now + burst * interval - tat) // interval, wanted))
        tat += granted * interval
        self._local[webhook_id] = tat
        return granted, max(0, -(-(tat + interval - burst * interval - now) // 1000))
