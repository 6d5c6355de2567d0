"""One reading a second for all dashboards of a deployment. Run by the elected scheduler."""

from __future__ import annotations

import time

import orjson

from novapulse.core.actor import SYSTEM
from novapulse.core.runtime import Runtime
from novapulse.jobs.conservation import conservation
from novapulse.jobs.sampling import sample_queues
from novapulse.jobs.shapes import ConservationView
from novapulse.reports.changes import changes as report_changes
from novapulse.security.audit_log import last_seq
from novapulse.webhooks.schemas import OverviewView
from novapulse.webhooks.stats import overview

# The number is that of the format: while versions change, nobody reads what another one wrote.
CHANNEL = "{np}:live:2"
LAST = "{np}:live:2:last"
_KEPT_S = 30
_OVERVIEW_EVERY_S = 3.0
_METER_EVERY_S = 5.0


class _Sampler:
    """What is remembered between readings. Made by `Runtime.part`."""

    def __init__(self, _rt: Runtime) -> None:
        self.overview: OverviewView | None = None
        self.overview_at = 0.0
        self.meter: ConservationView | None = None
        self.meter_at = 0.0


async def sample(rt: Runtime) -> None:
    """Read everything once and publish it."""
    state = rt.part(_Sampler)
    now = time.monotonic()
    stats, lines = await sample_queues(rt)
    if state.overview is None or now - state.overview_at > _OVERVIEW_EVERY_S:
        state.overview, state.overview_at = await overview(rt, SYSTEM), now
    if state.meter is None or now - state.meter_at > _METER_EVERY_S:
        state.meter, state.meter_at = await conservation(rt, SYSTEM), now
    snapshot = orjson.dumps(
        {
            "at": stats.at,
            "queues": [queue.model_dump(mode="json") | lines[queue.name] for queue in stats.queues],
            "totals": stats.totals.model_dump(mode="json"),
            "workers": None if stats.workers is None else [w.model_dump(mode="json") for w in stats.workers],
            "overview": state.overview.model_dump(mode="json"),
            # Everybody is told; ids are only for who may see the jobs.
            "meter": state.meter.model_dump(mode="json", exclude={"queues": {"__all__": {"missing_ids"}}}),
            "audit_seq": await last_seq(rt),
            "report_changes": await report_changes(rt),
        }
    )
    async with rt.valkey.pipeline(transaction=False) as pipe:
        pipe.set(LAST, snapshot, ex=_KEPT_S)
        pipe.publish(CHANNEL, snapshot)
        await pipe.execute()
