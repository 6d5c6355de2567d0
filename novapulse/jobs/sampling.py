"""What shows only over time: rates, percentiles, history. Looked at once a second by the elected scheduler.

A successor begins with what its predecessor left in Valkey, so that a restart leaves no hole but its own length.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import orjson
import structlog

from novapulse.core.runtime import Runtime
from novapulse.jobs import marks, observed, rings
from novapulse.jobs.counts import QUEUES, SAMPLED, Board, Counted, Sampled, read_board, stats_of
from novapulse.jobs.rings import Point
from novapulse.jobs.shapes import QueueStats
from novapulse.webhooks.latency import percentile

_RATE_MS = 10_000
_MINUTE = 60  # readings
_SAMPLED_KEPT_S = 7 * 24 * 3600  # its workers are compared with those of the next start

log = structlog.get_logger(__name__)


class _Step:
    """What comes together for the next point of a longer step."""

    def __init__(self) -> None:
        self.start: int | None = None
        self.point: Point | None = None
        self.waits: Counter[str] = Counter()
        self.runs: Counter[str] = Counter()


class _Trail:
    """What is remembered of one queue between readings."""

    def __init__(self, keep: int) -> None:
        self.seen: deque[tuple[int, Point]] = deque(maxlen=keep)
        self.sums: dict[str, int] | None = None  # of `observed`, at the last reading
        self.measured: deque[tuple[Counter[str], Counter[str]]] = deque()  # waits and runs of each second
        self.waits: Counter[str] = Counter()  # of the last minute
        self.runs: Counter[str] = Counter()
        self.quiet_since: int | None = None
        self.steps = {step_s: _Step() for step_s in rings.STEPS if step_s > 1}
        self.rates: deque[float] = deque(maxlen=_MINUTE)
        self.slowest: deque[float | None] = deque(maxlen=_MINUTE)


class _Memory:
    """Made by `Runtime.part`."""

    def __init__(self, rt: Runtime) -> None:
        keep = max(_MINUTE, round(rt.settings.queue_growing_s)) + 10
        self.trails = {name: _Trail(keep) for name in QUEUES}
        self.workers: dict[str, str] | None = None  # name -> version
        self.begun = False


async def sample_queues(rt: Runtime) -> tuple[QueueStats, dict[str, dict[str, list[Any]]]]:
    """Read everything once and keep it; the stats, and per queue the lines of the last minute."""
    memory = rt.part(_Memory)
    if not memory.begun:
        await _go_on(rt, memory)
        memory.begun = True
    board = await read_board(rt)
    sampled = {} if board.counts is None else await _look(rt, memory, board, board.counts)
    lines = {
        name: {"rates": [round(rate, 1) for rate in trail.rates], "slowest": list(trail.slowest)}
        for name, trail in memory.trails.items()
    }
    return stats_of(rt, board, sampled), lines


async def _go_on(rt: Runtime, memory: _Memory) -> None:
    """Remember what the sampler before knew."""
    found = await rt.valkey.get(SAMPLED)
    before: dict[str, Any] = orjson.loads(found) if found else {}
    memory.workers = before.get("workers")
    for name, trail in memory.trails.items():
        trail.quiet_since = before.get("quiet_since", {}).get(name)
        for at, point in await rings.last(rt, name, 1, trail.seen.maxlen or _MINUTE):
            _remember(trail, at, point)


async def _look(rt: Runtime, memory: _Memory, board: Board, counts: Mapping[str, Counted]) -> dict[str, Sampled]:
    at = board.at
    async with rt.valkey.pipeline(transaction=False) as pipe:
        for name in QUEUES:
            pipe.hgetall(observed.key(name))
        sums: list[dict[str, str]] = await pipe.execute()
    sampled: dict[str, Sampled] = {}
    async with rt.valkey.pipeline(transaction=False) as pipe:
        for name, read in zip(QUEUES, sums, strict=True):
            trail = memory.trails[name]
            waits, runs = _measured(trail, {field: int(n) for field, n in read.items()})
            point = _with_percentiles(_point(name, board, counts[name]), waits, runs)
            _remember(trail, at, point)
            rings.add(pipe, name, 1, at // 1000 * 1000, point)
            for step_s, step in trail.steps.items():
                _into_step(pipe, name, step_s, step, at, point, waits, runs)
            sampled[name] = _sampled(trail, rt.settings.queue_growing_s, rt.settings.queue_growing_min, at, point)
        if board.workers is not None:
            now_alive = {worker.name: worker.version for worker in board.workers}
            marks.note_workers(pipe, memory.workers, now_alive, at)
            memory.workers = now_alive
        said = {
            "at": at,
            "queues": {name: asdict(own) for name, own in sampled.items()},
            "quiet_since": {name: trail.quiet_since for name, trail in memory.trails.items()},
            "workers": memory.workers,
        }
        pipe.set(SAMPLED, orjson.dumps(said), ex=_SAMPLED_KEPT_S)
        for answer in await pipe.execute(raise_on_error=False):
            # Two may sample for a moment, when one takes over from another.
            if isinstance(answer, Exception) and "equal or smaller" not in str(answer):
                log.warning("history_not_kept", error=str(answer)[:200])
    return sampled


def _measured(trail: _Trail, sums: dict[str, int]) -> tuple[Counter[str], Counter[str]]:
    """Waits and runs of the time since the last reading, by bucket."""
    before = sums if trail.sums is None else trail.sums
    trail.sums = sums
    waits: Counter[str] = Counter()
    runs: Counter[str] = Counter()
    for field, n in sums.items():
        # A smaller sum means that Valkey lost its data: it began anew.
        new = n - before.get(field, 0) if n >= before.get(field, 0) else n
        if new and field[0] in "wr" and field[1:].isdigit():
            (waits if field[0] == "w" else runs)[field[1:]] = new
    trail.measured.append((waits, runs))
    trail.waits.update(waits)
    trail.runs.update(runs)
    if len(trail.measured) > _MINUTE:
        old_waits, old_runs = trail.measured.popleft()
        trail.waits -= old_waits
        trail.runs -= old_runs
    return waits, runs


def _point(name: str, board: Board, counted: Counted) -> Point:
    mine = None if board.workers is None else [worker for worker in board.workers if name in worker.queues]
    return Point(
        waiting=counted["waiting"],
        active=counted["active"],
        delayed=counted["delayed"],
        completed=counted["completed"],
        dead=counted["dead"],
        cancelled=counted["cancelled"],
        ended=counted.ended,
        failed=counted["failed"],
        workers=None if mine is None else len(mine),
        slots=None if mine is None else sum(worker.slots.get(name, 0) for worker in mine),
        mode=rings.mode_number(counted.mode),
        oldest_ms=None if counted.oldest_at is None else max(0, board.at - counted.oldest_at),
    )


def _with_percentiles(point: Point, waits: Mapping[str, int], runs: Mapping[str, int]) -> Point:
    return point._replace(
        wait_p50=percentile(waits, 0.5),
        wait_p99=percentile(waits, 0.99),
        run_p50=percentile(runs, 0.5),
        run_p99=percentile(runs, 0.99),
    )


def _remember(trail: _Trail, at: int, point: Point) -> None:
    rate = 0.0
    if trail.seen:
        before_at, before = trail.seen[-1]
        rate = max(0, point.ended - before.ended) / max(0.1, (at - before_at) / 1000)
        ended = point.ended != before.ended
    else:
        ended = False
    if point.waiting == 0 or point.paused:
        trail.quiet_since = None
    elif ended or trail.quiet_since is None:
        trail.quiet_since = at
    trail.rates.append(rate)
    trail.slowest.append(point.wait_p99)
    trail.seen.append((at, point))


def _into_step(
    pipe: Any,
    name: str,
    step_s: int,
    step: _Step,
    at: int,
    point: Point,
    waits: Counter[str],
    runs: Counter[str],
) -> None:
    start = at // (step_s * 1000) * step_s * 1000
    if step.start is not None and start != step.start and step.point is not None:
        done = _with_percentiles(step.point, step.waits, step.runs)._replace(waits=step.waits, runs=step.runs)
        rings.add(pipe, name, step_s, step.start, done)
        step.waits, step.runs = Counter(), Counter()
    step.start, step.point = start, point
    step.waits.update(waits)
    step.runs.update(runs)


def _sampled(trail: _Trail, growing_s: float, growing_min: int, at: int, point: Point) -> Sampled:
    rate_from = next((seen for seen in trail.seen if seen[0] >= at - _RATE_MS), (at, point))
    minute_from = next((seen for seen in trail.seen if seen[0] >= at - _MINUTE * 1000), (at, point))
    attempts = max(0, point.ended - minute_from[1].ended)
    failed = max(0, point.failed - minute_from[1].failed)
    span_s = (at - rate_from[0]) / 1000
    return Sampled(
        throughput_per_s=round(max(0, point.ended - rate_from[1].ended) / span_s, 1) if span_s > 0.5 else None,
        error_rate=round(min(1.0, failed / attempts), 4) if attempts else None,
        attempts=attempts,
        wait=(percentile(trail.waits, 0.5), percentile(trail.waits, 0.99)),
        run=(percentile(trail.runs, 0.5), percentile(trail.runs, 0.99)),
        quiet_s=None if trail.quiet_since is None else (at - trail.quiet_since) / 1000,
        growing=_growth(trail, growing_s, growing_min, at),
    )


def _growth(trail: _Trail, span_s: float, least: int, at: int) -> int | None:
    """By how many the backlog grew in `span_s`; None unless the last third lies above all of the first."""
    span = [(seen_at, point.waiting) for seen_at, point in trail.seen if seen_at >= at - span_s * 1000]
    if not span or at - span[0][0] < 0.9 * span_s * 1000 or span[-1][1] < least:
        return None
    third = span_s * 1000 / 3
    first = max(waiting for seen_at, waiting in span if seen_at <= span[0][0] + third)
    last = min(waiting for seen_at, waiting in span if seen_at >= at - third)
    return span[-1][1] - span[0][1] if last > first else None
