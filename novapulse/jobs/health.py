"""How a queue is, and why, in words that say what to do about it. The thresholds are settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from novapulse.core.clock import rfc3339
from novapulse.jobs.shapes import Health
from novapulse.settings import Settings

if TYPE_CHECKING:
    from novapulse.jobs.counts import Counted, Sampled

_WORST: tuple[Health, ...] = ("healthy", "degraded", "stalled", "down")
_FEW = 10  # attempts of which a share says something


def judge(
    settings: Settings,
    *,
    counted: Counted | None,
    workers: int | None,
    slots: int | None,
    oldest_s: float | None,
    sampled: Sampled,
) -> tuple[Health | None, list[str]]:
    """The health of a queue and its reasons; None if what it hangs on cannot be known."""
    if counted is None:
        return None, ["The database cannot be asked."]
    found: list[tuple[Health, str]] = []
    mode = _mode(counted)
    if workers is None or slots is None:
        if counted.mode != "paused":
            return None, [*mode, "Valkey cannot be asked: whether a worker is alive is not known."]
    else:
        found += _without_worker(counted, workers)
        # Nobody is to work on a paused queue: that nothing moves is no finding then.
        if counted.mode != "paused" and workers > 0:
            found += _slow(settings, counted, slots, oldest_s, sampled)
    if sampled.error_rate is not None and sampled.attempts >= _FEW and sampled.error_rate >= settings.queue_error_rate:
        found.append(("degraded", f"{sampled.error_rate:.0%} of the attempts of the last minute failed."))
    if counted.drift:
        found.append(("degraded", _drifting(counted.drift)))
    reasons = [*mode, *(reason for _, reason in found)]
    if counted.mode == "paused":
        return "paused", reasons
    return _WORST[max((_WORST.index(health) for health, _ in found), default=0)], reasons


def _mode(counted: Counted) -> list[str]:
    if counted.mode == "running":
        return []
    by, since = counted.by or "somebody", rfc3339(counted.since)[:16].replace("T", " ")
    note = f": {counted.note}" if counted.note else "."
    if counted.mode == "paused":
        return [f"Paused by {by} since {since} UTC{note}"]
    return [f"Draining, asked for by {by} at {since} UTC{note} What waits is worked off, then it pauses."]


def _without_worker(counted: Counted, workers: int) -> list[tuple[Health, str]]:
    if workers > 0:
        return []
    owed = counted["waiting"] + counted["active"] + counted["delayed"]
    if owed == 0:
        return [("degraded", "No worker is running for this queue: what comes in will wait. Start one.")]
    return [("down", f"No worker is running for this queue, and {_jobs(owed)} to be done. Start one.")]


def _slow(
    settings: Settings, counted: Counted, slots: int, oldest_s: float | None, sampled: Sampled
) -> list[tuple[Health, str]]:
    found: list[tuple[Health, str]] = []
    quiet_s = sampled.quiet_s
    if counted["waiting"] > 0 and quiet_s is not None and quiet_s >= settings.queue_stalled_s:
        if counted["active"] >= slots:
            found.append(("degraded", f"All {slots} slots are busy, and nothing has ended for {_span(quiet_s)}."))
        else:
            found.append(
                ("stalled", f"{_jobs(counted['waiting'])} waiting, and nothing has ended for {_span(quiet_s)}.")
            )
    if oldest_s is not None and oldest_s >= settings.queue_oldest_s:
        found.append(("degraded", f"The oldest job has waited for {_span(oldest_s)}."))
    if sampled.growing is not None:
        found.append(
            (
                "degraded",
                f"The backlog is growing: {sampled.growing:,} more in {_span(settings.queue_growing_s)}. Add workers.",
            )
        )
    return found


def _drifting(drift: int) -> str:
    if drift > 0:
        return f"{_jobs(drift)} missing: enqueued, and in no state. See the conservation meter."
    return f"There {'is 1 job' if drift == -1 else f'are {-drift:,} jobs'} more than were enqueued."


def _jobs(n: int) -> str:
    return "1 job is" if n == 1 else f"{n:,} jobs are"


def _span(seconds: float) -> str:
    for size, name in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} s"
