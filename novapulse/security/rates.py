"""Rates, the generic cell rate algorithm that keeps them, and the header fields that tell of them. Pure.

The GCRA (ITU-T I.371) keeps one number per limited thing: the time at which everything taken so far is paid off, in
integer microseconds, so that a burst of n passes exactly n. The fields are those of
draft-ietf-httpapi-ratelimit-headers-11.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

_SECOND_US = 1_000_000
_RATE = re.compile(r"(\d{1,9})/(\d{0,5})(s|m|h|d)")
_DOMAIN = re.compile(r"\*|[a-z0-9-]+(\.[a-z0-9-]+)*")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_PER_SECOND_MAX = 1_000_000  # a permit takes a whole number of microseconds to come back
_WINDOW_MAX_S = 7 * 86_400


class RateClass(StrEnum):
    """Which limit a call counts against."""

    PUBLIC = "public"  # what anybody may ask
    SIGN_IN = "sign_in"  # everything that guesses could be made at
    SENSITIVE = "sensitive"  # what a signed-in person does seldom
    API = "api"
    INGEST = "ingest"  # taking events in
    SCREEN = "screen"  # events of open pages


@dataclass(frozen=True, slots=True)
class Rate:
    """So many in so many seconds: all of them at once, if nothing was taken before."""

    amount: int
    window_s: int

    @property
    def step_us(self) -> int:
        """How long it takes for one to come back."""
        return -(-self.window_s * _SECOND_US // self.amount)

    def __str__(self) -> str:
        return f"{self.amount}/{self.window_s}s"


Rates = tuple[Rate, ...]


def parse_rates(text: str) -> Rates:
    """`600/60s`, several as `60/1m 600/1h`, or `off` for none.

    Raises:
        ValueError: something else.
    """
    if text.strip() == "off":
        return ()
    found: list[Rate] = []
    for part in text.replace(",", " ").split():
        match = _RATE.fullmatch(part)
        rate = match and Rate(int(match[1]), int(match[2] or 1) * _UNITS[match[3]])
        if not rate or rate.amount < 1 or not 0 < rate.window_s <= _WINDOW_MAX_S:
            raise ValueError(f"'{part}' is no rate; write one like 600/60s, several with spaces between, or off")
        if rate.amount > rate.window_s * _PER_SECOND_MAX:
            raise ValueError(f"'{part}' is more than a million a second; write off for no limit")
        if any(rate.window_s == each.window_s for each in found):
            raise ValueError(f"'{part}' has the same window as another one; keep the lower of both")
        found.append(rate)
    if not found:
        raise ValueError("it is empty; write a rate like 600/60s, or off for no limit")
    return tuple(found)


def parse_domain_rates(text: str) -> dict[str, Rates]:
    """`example.com=20/1s 1000/1h; *=100/60s`: the rates of domains, and of each that is not named.

    Raises:
        ValueError: something else.
    """
    found: dict[str, Rates] = {}
    for entry in filter(None, (part.strip() for part in text.split(";"))):
        name, separator, rates = entry.partition("=")
        domain = name.strip().lower()
        if not separator or not _DOMAIN.fullmatch(domain):
            raise ValueError(f"'{entry}' is no limit; write one like example.com=100/60s")
        if domain in found:
            raise ValueError(f"'{domain}' has two limits; put the second rate behind the first")
        found[domain] = parse_rates(rates)
    return found


@dataclass(frozen=True, slots=True)
class Limit:
    """A rate held against one thing."""

    name: str  # of the policy, as callers are told
    key: str  # what is counted
    rate: Rate
    told: bool = True  # not where it would tell what others do (the draft's section on security, 8.2)


@dataclass(frozen=True, slots=True)
class Standing:
    """What is left of one limit."""

    limit: Limit
    remaining: int
    reset_us: int  # until all of it is back
    wait_us: int = 0  # until this call would be taken


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said of a call, and told in its answer."""

    standings: tuple[Standing, ...]

    @property
    def allowed(self) -> bool:
        """Whether it may go on."""
        return all(each.wait_us == 0 for each in self.standings)

    @property
    def retry_after_s(self) -> int:
        """Whole seconds to wait before the next try."""
        return max([1, *(_seconds(each.wait_us) for each in self.standings)])

    @property
    def violated(self) -> list[str]:
        """The names of the policies that refuse, of those that callers are told of."""
        return [each.limit.name for each in self.standings if each.wait_us and each.limit.told]

    def fields(self) -> list[tuple[bytes, bytes]]:
        """`RateLimit-Policy` and `RateLimit`, as an ASGI server sends them; none where there is nothing to tell.

        Of a refused call, `t` is the same as `Retry-After`: with a GCRA the next one comes back long before all do.
        """
        told = [each for each in self.standings if each.limit.told]
        if not told:
            return []
        policies = ", ".join(f'"{s.limit.name}";q={s.limit.rate.amount};w={s.limit.rate.window_s}' for s in told)
        left = ", ".join(f'"{s.limit.name}";r={s.remaining};t={self._t(s)}' for s in told)
        return [(b"ratelimit-policy", policies.encode()), (b"ratelimit", left.encode())]

    def _t(self, standing: Standing) -> int:
        return self.retry_after_s if standing.wait_us else _seconds(standing.reset_us)


UNLIMITED = Verdict(())


def _seconds(us: int) -> int:
    return -(-us // _SECOND_US)


class LocalLimiter:
    """The same limits, kept in this process alone."""

    def __init__(self, most: int = 100_000) -> None:
        """`most`: so many things are remembered; those that were asked for longest ago are forgotten first."""
        self._most = most
        self._paid_at: OrderedDict[str, int] = OrderedDict()

    def take(self, limits: Sequence[Limit], cost: int, now_us: int) -> Verdict:
        """Take `cost` of each limit, or of none: what is done in Valkey, here."""
        paid_at = {limit: max(self._paid_at.get(limit.key, 0), now_us) for limit in limits}
        waits = {limit: wait_us(limit, paid_at[limit], now_us, cost) for limit in limits}
        if not any(waits.values()):
            for limit in limits:
                paid_at[limit] += limit.rate.step_us * cost
                self._paid_at[limit.key] = paid_at[limit]
                self._paid_at.move_to_end(limit.key)
            while len(self._paid_at) > self._most:
                self._paid_at.popitem(last=False)
        return Verdict(tuple(standing_of(limit, paid_at[limit], now_us, waits[limit]) for limit in limits))


def wait_us(limit: Limit, paid_at_us: int, now_us: int, cost: int) -> int:
    """How long a call has to wait for a limit.

    What costs more than a whole window is taken when nothing is owed, and is paid off afterwards.
    """
    step, amount = limit.rate.step_us, limit.rate.amount
    return max(0, paid_at_us + (min(cost, amount) - amount) * step - now_us)


def standing_of(limit: Limit, paid_at_us: int, now_us: int, wait: int = 0) -> Standing:
    """What is left of a limit that is paid off at a time."""
    owed_us = paid_at_us - now_us
    return Standing(limit, max(0, limit.rate.amount - -(-owed_us // limit.rate.step_us)), owed_us, wait)
