"""Counting the calls of the API against their limits: whom each is counted for, what it costs, what its answer says."""

from __future__ import annotations

from typing import Any, cast

from fastapi import Request

from novapulse.core.errors import LimitedError
from novapulse.core.http import answer_with
from novapulse.core.runtime import current
from novapulse.security import devices
from novapulse.security.authenticate import device_cookie, ip_of
from novapulse.security.limits import Limits, source_of
from novapulse.security.rates import RateClass, Verdict

# Registered by draft-ietf-httpapi-ratelimit-headers-11, with the member `violated-policies`.
QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"


class QuotaError(LimitedError):
    """A limit is used up."""

    def __init__(self, verdict: Verdict) -> None:
        seconds = verdict.retry_after_s
        super().__init__(f"Too many calls; wait {seconds} second{'s' if seconds > 1 else ''}.", seconds)
        self.type = QUOTA_EXCEEDED
        self.more = {"violated-policies": verdict.violated}


async def count_actor(request: Request, rate_class: RateClass, actor_id: str) -> None:
    """Count a call of somebody who is known; QuotaError if it is too much."""
    cost = await _events_in(request) if rate_class is RateClass.INGEST else 1
    _heed(request, await current().part(Limits).check(rate_class, actor_id, cost))


async def count_stranger(request: Request) -> None:
    """Count a call whose credentials do not work; QuotaError if there were too many from there."""
    await _count_source(request, RateClass.PUBLIC)


async def count_anybody(request: Request, rate_class: RateClass) -> None:
    """Count a call for which nobody has to be known; QuotaError if there were too many from there.

    Trying to sign in from a known device counts for that device alone: who tries from the same network, or from
    everywhere at once, keeps nobody out.
    """
    if rate_class is not RateClass.SIGN_IN:
        await _count_source(request, rate_class)
        return
    device_id = await devices.known_id(current(), device_cookie(request))
    if device_id is None:
        await _count_source(request, rate_class)
    else:
        _heed(request, await current().part(Limits).check(rate_class, device_id))


async def _count_source(request: Request, rate_class: RateClass) -> None:
    together = rate_class is RateClass.SIGN_IN
    source = source_of(ip_of(request))
    _heed(request, await current().part(Limits).check(rate_class, source, together=together))


def _heed(request: Request, verdict: Verdict) -> None:
    answer_with(request, verdict.fields())
    if not verdict.allowed:
        raise QuotaError(verdict)


async def _events_in(request: Request) -> int:
    """How many events a call sends: of a batch, each counts."""
    if not await request.body():
        return 1
    body = await request.json()
    events: Any = cast("dict[str, Any]", body).get("events") if isinstance(body, dict) else None
    return max(1, len(cast("list[Any]", events))) if isinstance(events, list) else 1
