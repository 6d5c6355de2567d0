"""The history of a queue for charts, and rewinding the whole board to a moment of the last 24 hours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

from redis.exceptions import RedisError

from novapulse.core.actor import Actor, Permission
from novapulse.core.clock import now_ms, rfc3339
from novapulse.core.errors import InvalidError, UnavailableError
from novapulse.core.runtime import Runtime
from novapulse.jobs import rings
from novapulse.jobs.counts import QUEUES, queue_name
from novapulse.jobs.marks import read_marks
from novapulse.jobs.rings import Point
from novapulse.jobs.shapes import HistoryPoint, HistoryView, Moment, Percentiles, RewindView
from novapulse.webhooks.latency import percentile

Window = Literal["15m", "1h", "6h", "24h", "7d"]
# Window -> its length, the step of the ring it is read from, and the step that is shown (s).
WINDOWS: dict[Window, tuple[int, int, int]] = {
    "15m": (900, 1, 1),
    "1h": (3_600, 10, 10),
    "6h": (6 * 3_600, 60, 60),
    "24h": (24 * 3_600, 60, 300),
    "7d": (7 * 24 * 3_600, 60, 1_800),
}
_DAY_MS = 24 * 3_600_000
_MOMENTS = 300  # at most, in one rewind
_AROUND_MS = 5 * 60_000  # of a moment: marks this near are shown with it
_NO_POINT = HistoryPoint(
    at="",
    waiting=None,
    active=None,
    delayed=None,
    completed=None,
    dead=None,
    cancelled=None,
    workers=None,
    slots=None,
    paused=None,
    oldest_waiting_s=None,
    throughput_per_s=None,
    failed_per_s=None,
    error_rate=None,
    wait_ms=Percentiles(p50=None, p99=None),
    run_ms=Percentiles(p50=None, p99=None),
)


async def queue_history(rt: Runtime, actor: Actor, queue: str, window: Window = "1h") -> HistoryView:
    """A queue over a window that ends now.

    Raises:
        NotFoundError: there is no such queue.
        UnavailableError: Valkey, which holds it, is away.
    """
    actor.require(Permission.JOBS_READ)
    queue = queue_name(queue)
    length_s, ring_s, step_s = WINDOWS[window]
    step_ms = step_s * 1000
    until = now_ms()
    since = (until // step_ms + 1) * step_ms - length_s * 1000
    # One step more at the beginning: a rate is the difference to the step before.
    points = await _read(rt, queue, ring_s, since - step_ms, until)
    marks = await read_marks(rt, actor, since, until, queue)
    shown = _grid(points, since, until, step_ms, ring_s * 1000)
    return HistoryView(queue=queue, window=window, step_s=step_s, points=shown, marks=marks)


async def rewind(
    rt: Runtime, actor: Actor, *, at: int | None = None, since: int | None = None, until: int | None = None
) -> RewindView:
    """The whole board at a moment of the last 24 hours, or over a span of them. Times in ms.

    Raises:
        InvalidError: neither or both are given, or they are not in the last 24 hours.
        UnavailableError: Valkey, which holds the history, is away.
    """
    actor.require(Permission.JOBS_READ)
    now = now_ms()
    if (at is None) == (since is None):
        raise InvalidError.at("/at", "give either `at`, or `since` with or without `until`")
    for pointer, moment in (("/at", at), ("/since", since), ("/until", until)):
        if moment is not None and not now - _DAY_MS - 60_000 <= moment <= now + 60_000:
            raise InvalidError.at(pointer, "must lie in the last 24 hours")
    if at is not None:
        return await _moment(rt, actor, at, now)
    assert since is not None
    until = now if until is None else until
    if until <= since:
        raise InvalidError.at("/until", "must be after `since`")
    return await _span(rt, actor, since, until, now)


async def _moment(rt: Runtime, actor: Actor, at: int, now: int) -> RewindView:
    ring_s = 1 if at >= now - (rings.STEPS[1] - 10) * 1000 else 10
    queues: dict[str, HistoryPoint | None] = {}
    for name in QUEUES:
        found = await _read(rt, name, ring_s, at - 3 * ring_s * 1000, at)
        queues[name] = _shown(found[-1][0], found[-1][1], found[-2] if len(found) > 1 else None) if found else None
    marks = await read_marks(rt, actor, at - _AROUND_MS, at + _AROUND_MS)
    return RewindView(step_s=ring_s, moments=[Moment(at=rfc3339(at), queues=queues)], marks=marks)


async def _span(rt: Runtime, actor: Actor, since: int, until: int, now: int) -> RewindView:
    ring_s = 1 if since >= now - (rings.STEPS[1] - 10) * 1000 else 10
    step_s = ring_s * max(1, -(-(until - since) // (ring_s * 1000 * _MOMENTS)))
    step_ms = step_s * 1000
    first = since // step_ms * step_ms
    grids = {
        name: _grid(await _read(rt, name, ring_s, first - step_ms, until), first, until - 1, step_ms, ring_s * 1000)
        for name in QUEUES
    }
    times = [rfc3339(at) for at in range(first, until, step_ms)]
    moments = [
        Moment(at=at, queues={name: _known(grid[place]) for name, grid in grids.items()})
        for place, at in enumerate(times)
    ]
    return RewindView(step_s=step_s, moments=moments, marks=await read_marks(rt, actor, since, until))


def _known(point: HistoryPoint) -> HistoryPoint | None:
    return None if point.waiting is None else point


async def _read(rt: Runtime, queue: str, step_s: int, since: int, until: int) -> list[tuple[int, Point]]:
    try:
        return await rings.read(rt, queue, step_s, since, until)
    except (RedisError, OSError, TimeoutError):
        raise UnavailableError("Valkey, which holds the history, does not answer.") from None


def _grid(
    points: Sequence[tuple[int, Point]], since: int, until: int, step_ms: int, ring_ms: int
) -> list[HistoryPoint]:
    """One point per step; a step of which nothing is known has only its time."""
    by_step: dict[int, list[tuple[int, Point]]] = {}
    for at, point in points:
        by_step.setdefault(at // step_ms * step_ms, []).append((at, point))
    shown: list[HistoryPoint] = []
    before = _end_of(by_step.get(since // step_ms * step_ms - step_ms))
    for start in range(since // step_ms * step_ms, until + 1, step_ms):
        own = by_step.get(start)
        # A second between two readings that were 1.1 s apart is no gap.
        if own is None and before is not None and step_ms == ring_ms and start - before[0] == step_ms:
            own = [(start, before[1])] if by_step.get(start + step_ms) else None
        if own is None:
            shown.append(_NO_POINT.model_copy(update={"at": rfc3339(start)}))
            continue
        at, last = own[-1]
        shown.append(_shown(start, _merged([point for _, point in own], last), before))
        before = (at, last)
    return shown


def _end_of(own: Sequence[tuple[int, Point]] | None) -> tuple[int, Point] | None:
    return own[-1] if own else None


def _merged(points: Sequence[Point], last: Point) -> Point:
    """The end of a step, with the percentiles of all of it."""
    if len(points) == 1 or last.waits is None:
        return last
    waits, runs = _sum([point.waits for point in points]), _sum([point.runs for point in points])
    return last._replace(
        wait_p50=percentile(waits, 0.5),
        wait_p99=percentile(waits, 0.99),
        run_p50=percentile(runs, 0.5),
        run_p99=percentile(runs, 0.99),
    )


def _sum(parts: Sequence[Mapping[str, int] | None]) -> Counter[str]:
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part or {})
    return total


def _shown(at: int, point: Point, before: tuple[int, Point] | None) -> HistoryPoint:
    ended = failed = span_s = None
    if before is not None and at > before[0]:
        span_s = (at - before[0]) / 1000
        ended = max(0, point.ended - before[1].ended)
        failed = max(0, point.failed - before[1].failed)
    return HistoryPoint(
        at=rfc3339(at),
        waiting=point.waiting,
        active=point.active,
        delayed=point.delayed,
        completed=point.completed,
        dead=point.dead,
        cancelled=point.cancelled,
        workers=point.workers,
        slots=point.slots,
        paused=point.paused,
        oldest_waiting_s=None if point.oldest_ms is None else round(point.oldest_ms / 1000, 1),
        throughput_per_s=None if ended is None or span_s is None else round(ended / span_s, 2),
        failed_per_s=None if failed is None or span_s is None else round(failed / span_s, 2),
        error_rate=round(min(1.0, failed / ended), 4) if failed is not None and ended else None,
        wait_ms=Percentiles(p50=point.wait_p50, p99=point.wait_p99),
        run_ms=Percentiles(p50=point.run_p50, p99=point.run_p99),
    )
