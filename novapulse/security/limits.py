"""Rate limits that hold across processes: one GCRA per limited thing, kept in Valkey by one atomic script.

`throttled-py` 3.5 was read and does not fit: it keeps seconds as a float that Lua writes with 14 digits, so that a
burst is not exact; it asks for one key a call, so that a call with two limits pays for the first when the second
refuses; and it opens connections of its own, for the whole process.

What is said without Valkey is decided per class (ASVS 5.0, 16.5.3: nothing that protects fails open):

- `sign_in`, `sensitive`, `public`: each process holds the same limits by itself, and knows what it has let pass before.
- `api`, `screen`, `ingest`: the call goes on. Once Valkey has failed it is asked once a second, in the background, so
  that nobody waits for it; an answer that comes late says as well that it is back.

Taking events in is too frequent to ask each time. There a process takes permits ahead, on lease: as many as it has
used lately, an eighth of what is left at most, for a second at most. All processes together never take more than the
limit; a lease that is not used up is lost.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

import structlog
from redis.exceptions import RedisError

from novapulse.core.runtime import Runtime
from novapulse.metrics.definitions import RATE_LIMITS
from novapulse.security.rates import UNLIMITED, Limit, LocalLimiter, RateClass, Rates, Standing, Verdict
from novapulse.settings import Settings

PATIENCE_S = 0.05  # how long Valkey may take to answer
_LATE_MAX = 5  # so often the clock starts anew because it was this process that was late
_AGAIN_S = 1.0  # how often Valkey is asked whether it is back
_TOLD_EVERY_S = 60.0  # a Valkey that is slow again and again does not fill the log
_LEASE_S = 1.0
_LEASE_MAX = 500
_KNOWN_MAX = 10_000
_PROTECTED = {RateClass.SIGN_IN, RateClass.SENSITIVE, RateClass.PUBLIC}

# For each key: how long one takes to come back, and how many there are. Takes between ARGV[1] and ARGV[2] of each, or
# none of any; answers how many, then for each key until when it is paid off, from now, and how long to wait. Beside
# each is when it was written: after a clock that was set back, what was owed then is owed, and not an hour more.
_TAKE = """
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local least, most = tonumber(ARGV[1]), tonumber(ARGV[2])
local taken, owed, waits = most, {}, {}
for i = 1, #KEYS do
  local step, amount = tonumber(ARGV[2 * i + 1]), tonumber(ARGV[2 * i + 2])
  local paid, at = string.match(redis.call('GET', KEYS[i]) or '', '(%d+):(%d+)')
  owed[i] = math.max(0, (tonumber(paid) or now) - math.max(now, tonumber(at) or now))
  waits[i] = math.max(0, owed[i] + (math.min(least, amount) - amount) * step)
  if waits[i] > 0 then taken = 0 end
  local left = math.floor((amount * step - owed[i]) / step)
  taken = math.min(taken, math.max(least, math.floor(left / 8)))
end
local answer = {taken}
for i = 1, #KEYS do
  if taken > 0 then
    owed[i] = owed[i] + tonumber(ARGV[2 * i + 1]) * taken
    redis.call('SET', KEYS[i], string.format('%.0f:%.0f', now + owed[i], now), 'PX', math.ceil(owed[i] / 1000))
  end
  answer[2 * i], answer[2 * i + 1] = owed[i], waits[i]
end
return answer
"""

log = structlog.get_logger(__name__)


def rates_of(settings: Settings, rate_class: RateClass) -> Rates:
    """The rates that are set for a class."""
    return {
        RateClass.PUBLIC: settings.limit_public,
        RateClass.SIGN_IN: settings.limit_sign_in,
        RateClass.SENSITIVE: settings.limit_sensitive,
        RateClass.API: settings.limit_api,
        RateClass.INGEST: settings.limit_ingest,
        RateClass.SCREEN: settings.limit_screen,
    }[rate_class]


def source_of(ip: str) -> str:
    """What counts as one source: an address, or the /64 of IPv6, all of which one machine can have."""
    try:
        address = ip_address(ip)
    except ValueError:
        return "unknown"
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_network((address, 64), strict=False))


@dataclass(slots=True)
class _Lease:
    """Permits that were taken ahead."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    left: int = 0
    given: int = 0
    until: float = 0.0
    size: int = 1  # of the next one
    standings: tuple[Standing, ...] = ()
    refusal: Verdict | None = None
    refused_cost: int = 0
    refused_until: float = 0.0

    def take(self, cost: int) -> Verdict | None:
        """Use some of it, or hear again what Valkey has just refused; None: Valkey has to be asked."""
        now = time.monotonic()
        if self.left >= cost and now < self.until:
            self.left -= cost
            return Verdict(tuple(Standing(s.limit, s.remaining + self.left, s.reset_us) for s in self.standings))
        return self.refusal if now < self.refused_until and cost >= self.refused_cost else None

    def wanted(self, cost: int, most: int) -> int:
        """How many to ask for: twice as many where the last ones were too few, else as many as were used."""
        in_time = time.monotonic() < self.until
        self.size = self.size * 2 if in_time else max(1, self.given - self.left)
        self.size = min(self.size, most)
        return max(cost, self.size)

    def fill(self, granted: int, verdict: Verdict, cost: int) -> None:
        """Put in what Valkey has granted, or its refusal."""
        now = time.monotonic()
        if not verdict.allowed:
            wait_s = max(each.wait_us for each in verdict.standings) / 1e6
            self.refusal, self.refused_cost = verdict, cost
            self.refused_until = now + min(wait_s, PATIENCE_S)
            return
        kept = self.left if now < self.until else 0
        self.left = self.given = kept + granted
        self.until = now + _LEASE_S
        self.standings = verdict.standings


class Limits:
    """The limits of one process. Made by `Runtime.part`."""

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt
        self._script = rt.valkey.register_script(_TAKE)
        self._secret = rt.keyring.derive("novapulse rate limits")
        self._known: dict[tuple[RateClass, str], tuple[Limit, ...]] = {}
        self._leases: dict[str, _Lease] = {}
        self._local = LocalLimiter()
        self._away = False
        self._ask_again_at = 0.0
        self._told = False
        self._told_at = -_TOLD_EVERY_S
        self._tasks: set[asyncio.Future[Any]] = set()

    async def check(self, rate_class: RateClass, subject: str, cost: int = 1, *, together: bool = False) -> Verdict:
        """Count a call of `subject`. `together`: and against what all strangers may try to sign in."""
        verdict = await self._check(rate_class, subject, cost, together)
        RATE_LIMITS.add(1, rate_class, ("unshared" if self._away else "allowed") if verdict.allowed else "refused")
        return verdict

    async def _check(self, rate_class: RateClass, subject: str, cost: int, together: bool) -> Verdict:
        limits = self._limits(rate_class, subject)
        if together:
            limits += self._limits_together()
        if not limits:
            return UNLIMITED
        if rate_class is RateClass.INGEST:
            return await self._check_leased(limits, cost)
        granted = None if self._is_away() else await self._ask(limits, cost, cost)
        if rate_class not in _PROTECTED:
            return UNLIMITED if granted is None else granted[1]
        # Counted here too while Valkey answers: when it goes away, nobody has all of their tries again.
        local = self._local.take(limits, cost, time.monotonic_ns() // 1000)
        return local if granted is None else granted[1]

    async def _check_leased(self, limits: tuple[Limit, ...], cost: int) -> Verdict:
        lease = self._leases.get(limits[0].key)
        if lease is None:
            if len(self._leases) >= _KNOWN_MAX:
                self._leases.clear()
            lease = self._leases[limits[0].key] = _Lease()
        verdict = lease.take(cost)
        if verdict is not None:
            return verdict
        async with lease.lock:
            verdict = lease.take(cost)
            if verdict is not None:
                return verdict
            if self._is_away():
                return UNLIMITED
            most = max(1, min(_LEASE_MAX, min(each.rate.amount for each in limits) // 100))
            asked = await self._ask(limits, cost, lease.wanted(cost, most))
            if asked is None:
                return UNLIMITED
            lease.fill(*asked, cost)
            return lease.take(cost) or asked[1]

    async def _ask(self, limits: tuple[Limit, ...], least: int, most: int) -> tuple[int, Verdict] | None:
        """Take what may be taken; None: Valkey is away."""
        keys = [limit.key for limit in limits]
        arguments = [least, most]
        for limit in limits:
            arguments += (limit.rate.step_us, limit.rate.amount)
        try:
            found: list[int] = await self._patiently(self._script(keys=keys, args=arguments))
        except (RedisError, OSError, TimeoutError) as error:
            self._lost(error)
            return None
        standings = tuple(
            Standing(limit, max(0, limit.rate.amount - -(-owed // limit.rate.step_us)), owed, wait)
            for limit, owed, wait in zip(limits, found[1::2], found[2::2], strict=True)
        )
        return found[0], Verdict(standings)

    async def _patiently(self, work: Coroutine[Any, Any, Any]) -> Any:
        """The outcome of asking Valkey, unless it takes too long; then it is left to itself, not torn off."""
        task = asyncio.ensure_future(work)
        for _ in range(_LATE_MAX):
            began = time.monotonic()
            await asyncio.wait({task}, timeout=PATIENCE_S)
            if task.done():
                return task.result()
            if time.monotonic() - began < 1.5 * PATIENCE_S:
                break  # Otherwise the loop itself was late, which says nothing about Valkey.
        self._keep(task)
        raise TimeoutError(f"no answer within {PATIENCE_S * 1000:.0f} ms")

    def _is_away(self) -> bool:
        if self._away and time.monotonic() >= self._ask_again_at:
            self._ask_again_at = time.monotonic() + _AGAIN_S
            self._keep(asyncio.ensure_future(self._look()))
        return self._away

    async def _look(self) -> None:
        try:
            await self._patiently(self._rt.valkey.execute_command("PING"))
        except (RedisError, OSError, TimeoutError):
            return
        self._back()

    def _back(self) -> None:
        if self._away and self._told:
            log.info("limits_shared_again", what="Valkey answers again; limits hold across processes")
        self._away = self._told = False

    def _lost(self, error: Exception) -> None:
        self._ask_again_at = time.monotonic() + _AGAIN_S
        if self._away:
            return
        self._away = True
        if time.monotonic() - self._told_at < _TOLD_EVERY_S:
            return
        self._told, self._told_at = True, time.monotonic()
        log.warning(
            "limits_without_valkey",
            error=f"{type(error).__name__}: {error}"[:200],
            local=sorted(_PROTECTED),
            unlimited=sorted(set(RateClass) - _PROTECTED),
        )

    def _keep(self, task: asyncio.Future[Any]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._drop)

    def _drop(self, task: asyncio.Future[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is None and task.result() is not None:
            self._back()  # Valkey was slow, and is not away.

    def _limits(self, rate_class: RateClass, subject: str) -> tuple[Limit, ...]:
        found = self._known.get((rate_class, subject))
        if found is None:
            # No address or id is kept in Valkey as it is.
            name = hashlib.blake2b(subject.encode(), key=self._secret, digest_size=12).hexdigest()
            found = _named(rate_class, name, rates_of(self._rt.settings, rate_class))
            if len(self._known) >= _KNOWN_MAX:
                self._known.clear()
            self._known[rate_class, subject] = found
        return found

    def _limits_together(self) -> tuple[Limit, ...]:
        return _named(RateClass.SIGN_IN, "all", self._rt.settings.limit_sign_in_all, told=False)


def _named(rate_class: RateClass, subject: str, rates: Rates, *, told: bool = True) -> tuple[Limit, ...]:
    # In braces what a cluster places keys by: those of one call have to be in one place.
    place = rate_class if rate_class is RateClass.SIGN_IN else f"{rate_class}:{subject}"
    return tuple(
        Limit(
            rate_class if len(rates) == 1 else f"{rate_class}_{rate.window_s}s",
            f"{{np}}:rate:{{{place}}}:{subject}:{rate.window_s}",
            rate,
            told,
        )
        for rate in rates
    )
