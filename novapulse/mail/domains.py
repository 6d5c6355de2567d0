"""How many messages each receiving domain is sent, over all workers: GCRA in Valkey, in microseconds of server time.

A turn is reserved when it is asked for, so that those who wait go in order and none asks again and again. Without
Valkey each process keeps the limits by itself.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable

from redis.exceptions import RedisError

from novapulse.core.runtime import Runtime
from novapulse.security.rates import Rate

_OTHERS = "*"
# KEYS: when each limit is paid off. ARGV: for each, the time one costs, how many at once, how many now.
# Answers how long to wait, in microseconds; everything is taken. Beside each is when it was written: after a clock that
# was set back, what was owed then is owed, and not an hour more.
_RESERVE = """
local t = redis.call('TIME')
local now, wait = t[1] * 1000000 + t[2], 0
for i, key in ipairs(KEYS) do
  local step, burst, cost = tonumber(ARGV[3*i-2]), tonumber(ARGV[3*i-1]), tonumber(ARGV[3*i])
  local before, at = string.match(redis.call('GET', key) or '', '(%d+):(%d+)')
  local owed = math.max(0, (tonumber(before) or now) - math.max(now, tonumber(at) or now))
  local paid = now + owed + cost * step
  redis.call('SET', key, string.format('%.0f:%.0f', paid, now), 'PX', math.ceil((paid - now) / 1000) + 1)
  wait = math.max(wait, paid - math.max(burst, cost) * step - now)
end
return string.format('%.0f', wait)
"""


class DomainLimits:
    """Made by `Runtime.part`."""

    def __init__(self, rt: Runtime) -> None:
        self._limits = rt.settings.mail_domain_limits
        self._script = rt.valkey.register_script(_RESERVE)
        self._local: dict[str, int] = {}

    async def reserve(self, recipients: Iterable[str]) -> int:
        """Take a turn for one message to each of these; in how many ms it comes."""
        if not self._limits:
            return 0
        counted = Counter(address.rpartition("@")[2].lower() for address in recipients)
        taken = [
            (f"{{np}}:mail:{{rate}}:{domain}:{rate.window_s}", rate, cost)
            for domain, cost in counted.items()
            for rate in self._limits.get(domain, self._limits.get(_OTHERS, ()))
        ]
        if not taken:
            return 0
        try:
            arguments = [number for _, rate, cost in taken for number in (rate.step_us, rate.amount, cost)]
            wait_us = int(await self._script(keys=[key for key, _, _ in taken], args=arguments))
        except (RedisError, OSError, TimeoutError):
            wait_us = max(self._reserve_here(*each) for each in taken)
        return -(-wait_us // 1000)

    def _reserve_here(self, key: str, rate: Rate, cost: int) -> int:
        now = time.monotonic_ns() // 1000
        paid = max(self._local.get(key, now), now) + cost * rate.step_us
        self._local[key] = paid
        return max(0, paid - max(rate.amount, cost) * rate.step_us - now)
