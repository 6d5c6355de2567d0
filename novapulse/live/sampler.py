"""One reading a second for all dashboards of a deployment. Run by the elected scheduler."""

from __future__ import annotations

import time
from collections import deque

import orjson

from novapulse.core.actor import SYSTEM
from novapulse.core.runtime import Runtime
from novapulse.jobs.counts import read_stats
from novapulse.security.audit_log import last_seq
from novapulse.webhooks.schemas import OverviewView
from novapulse.webhooks.stats import overview

CHANNEL = "np:live"
LAST = "np:live:last"
_KEPT_S = 30
_OVERVIEW_EVERY_S = 3.0
_RATE_OVER_S = 10.0
_POINTS = 60  # seconds of the throughput line


class _Sampler:
    """What is remembered between readings. Made by `Runtime.part`."""

    def __init__(self, _rt: Runtime) -> None:
        self.completed: deque[tuple[float, int]] = deque()
        self.rates: deque[float] = deque([0.0] * _POINTS, maxlen=_POINTS)
        self.overview: OverviewView | None = None
        self.overview_at = 0.0


async def sample(rt: Runtime) -> None:
    """Read everything once and publish it."""
    state = rt.part(_Sampler)
    now = time.monotonic()
    stats = await read_stats(rt)
    if state.overview is None or now - state.overview_at > _OVERVIEW_EVERY_S:
        state.overview, state.overview_at = await overview(rt, SYSTEM), now
    completed = sum(queue.completed or 0 for queue in stats.queues)
    last = state.completed[-1] if state.completed else (now - 1, completed)
    # A smaller total means that Valkey lost its data: the count starts anew.
    state.rates.append(max(0.0, (completed - last[1]) / max(0.1, now - last[0])))
    state.completed.append((now, completed))
    while state.completed[0][0] < now - _RATE_OVER_S:
        state.completed.popleft()
    snapshot = orjson.dumps(
        {
            "at": stats.at,
            "queues": [queue.model_dump(mode="json") for queue in stats.queues],
            "workers": None if stats.workers is None else [w.model_dump(mode="json") for w in stats.workers],
            "per_s": round(sum(list(state.rates)[-5:]) / 5, 1),
            "rates": [round(rate, 1) for rate in state.rates],
            "overview": state.overview.model_dump(mode="json"),
            "audit_seq": await last_seq(rt),
        }
    )
    async with rt.valkey.pipeline(transaction=False) as pipe:
        pipe.set(LAST, snapshot, ex=_KEPT_S)
        pipe.publish(CHANNEL, snapshot)
        await pipe.execute()
