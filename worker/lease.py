"""The lease of the scheduler, in Valkey: of all that stand for it, one holds it, and says who it is and since when."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import time
from typing import Any

import structlog
from redis.exceptions import RedisError

from novapulse.core.clock import now_ms
from novapulse.core.runtime import Runtime
from novapulse.metrics.definitions import SCHEDULER_ELECTED
from worker import keys

_LEASE_S = 5.0
_ASK_EVERY_S = 1.0
_PATIENCE_S = 10.0  # with a Valkey that does not answer
_RELEASE_S = 1.5

# KEYS: lease. ARGV: holder, time to live (ms), since (ms). The value is `holder@since`.
_RENEW = """
local held = redis.call('GET', KEYS[1])
if held and string.sub(held, 1, #ARGV[1] + 1) == ARGV[1] .. '@' then
  return redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return redis.call('SET', KEYS[1], ARGV[1] .. '@' .. ARGV[3], 'NX', 'PX', ARGV[2]) and 1 or 0
"""
_RELEASE = """
local held = redis.call('GET', KEYS[1])
if held and string.sub(held, 1, #ARGV[1] + 1) == ARGV[1] .. '@' then return redis.call('DEL', KEYS[1]) end
return 0
"""

log = structlog.get_logger(__name__)


class Lease:
    """Stands for election."""

    def __init__(self, rt: Runtime) -> None:
        self.held = asyncio.Event()
        self._name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._renew = rt.valkey.register_script(_RENEW)
        self._release = rt.valkey.register_script(_RELEASE)

    async def stand(self, ended: asyncio.Event) -> None:
        """Ask for the lease again and again until `ended` is set, then give it back."""
        sure_until = 0.0
        ending = asyncio.ensure_future(ended.wait())
        while not ended.is_set():
            asked_at = time.monotonic()
            args = [self._name, round(_LEASE_S * 1000), now_ms()]
            asking = asyncio.ensure_future(self._renew(keys=[keys.SCHEDULER], args=args))
            both: set[asyncio.Future[Any]] = {asking, ending}
            await asyncio.wait(both, timeout=max(0.0, sure_until - asked_at), return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                # It may be somebody else's by now. The answer is waited for all the same: to ask anew over a slow
                # network takes a connection anew, and never ends.
                self._tell(held=False)
                await asyncio.wait(both, timeout=_PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
            try:
                if not asking.done():
                    asking.cancel()
                    raise TimeoutError(f"no answer within {_PATIENCE_S:g} s")
                sure_until = asked_at + _LEASE_S if asking.result() else 0.0
                self._tell(held=time.monotonic() < sure_until)
            except (RedisError, OSError, TimeoutError) as error:
                self._tell(held=time.monotonic() + _ASK_EVERY_S < sure_until)
                if not ended.is_set():
                    log.warning("lease_not_asked", error=str(error)[:200] or type(error).__name__)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), _ASK_EVERY_S)
        ending.cancel()
        self.held.clear()
        # If Valkey is away the lease runs out by itself.
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            await asyncio.wait_for(self._release(keys=[keys.SCHEDULER], args=[self._name]), _RELEASE_S)

    def _tell(self, *, held: bool) -> None:
        if held and not self.held.is_set():
            log.info("scheduler_elected", scheduler=self._name)
        (self.held.set if held else self.held.clear)()
        SCHEDULER_ELECTED.set(held)
