"""The spans of jobs: called only where spans are written."""

from __future__ import annotations

from collections.abc import Sequence

from novapulse.core import tracing
from novapulse.core.trace import Place, new_span_id, stored
from novapulse.core.tracing import Value, Watch
from novapulse.jobs.engine.claim import Claim


def turn(watch: Watch, queue: str, jobs: Sequence[Claim], *, is_sqlite: bool) -> None:
    """These jobs were claimed, or their ends written, in one transaction."""
    places = [place for job in jobs if (place := place_of(job)) is not None and place.sampled]
    if not places:
        return
    around, links = tracing.together(places)
    own = Place(around.trace_id, new_span_id(), True)
    attributes: dict[str, Value] = {
        "messaging.system": "novapulse",
        "messaging.operation.type": "receive",
        "messaging.operation.name": "turn",
        "messaging.destination.name": queue,
        "messaging.batch.message_count": len(jobs),
    }
    watch.write(own, (), is_sqlite=is_sqlite, rows=len(jobs))
    tracing.write(f"turn {queue}", "client", own, around.span_id, watch.asked, watch.ended, attributes, links)


def place_of(job: Claim) -> Place | None:
    """Where a job belongs."""
    return None if job.trace_id is None else stored(job.trace_id, job.parent_span)
