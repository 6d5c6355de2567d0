"""Where the history of a queue is kept: one stream in Valkey per queue and step, each of a bounded length.

1 s for 15 minutes, 10 s for 24 hours, 1 minute for 7 days. An entry's id is the time, so that a moment is found without
looking at others; its one field is a JSON array, in the order of `Point`. Only minutes hold their histograms: they are
merged into longer steps, the others are shown as they are.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson
from redis.asyncio.client import Pipeline

from novapulse.core.runtime import Runtime

STEPS = {1: 900, 10: 8_640, 60: 10_080}  # seconds of a step -> how many are kept
_MODES = ("running", "paused", "draining")


class Point(NamedTuple):
    """A queue at the end of a step; percentiles are of what was measured within it."""

    waiting: int
    active: int
    delayed: int
    completed: int
    dead: int
    cancelled: int
    ended: int  # attempts, ever
    failed: int  # of these
    workers: int | None
    slots: int | None
    mode: int  # place in `_MODES`
    oldest_ms: int | None
    wait_p50: float | None = None
    wait_p99: float | None = None
    run_p50: float | None = None
    run_p99: float | None = None
    waits: Mapping[str, int] | None = None  # of minutes
    runs: Mapping[str, int] | None = None

    @property
    def paused(self) -> bool:
        """Whether nothing new was begun."""
        return _MODES[self.mode] == "paused"


_PLAIN = len(Point._fields) - 2  # all but the histograms


def mode_number(mode: str) -> int:
    """A mode as `Point` holds it."""
    return _MODES.index(mode)


def key(queue: str, step_s: int) -> str:
    """The stream of a queue with this step; its first number is that of the format."""
    return f"{{np}}:h1:{{{queue}}}:{step_s}"


def add(pipe: Pipeline, queue: str, step_s: int, at: int, point: Point) -> None:
    """Keep a point. It is refused if one of this or a later time is there: two who sample at once count once."""
    values: list[Any] = list(point[:-2])
    if step_s == 60:
        values += [_packed(point.waits or {}), _packed(point.runs or {})]
    pipe.xadd(key(queue, step_s), {"v": orjson.dumps(values)}, id=f"{at}-0", maxlen=STEPS[step_s], approximate=True)


async def read(rt: Runtime, queue: str, step_s: int, since: int, until: int) -> list[tuple[int, Point]]:
    """The points from `since` up to and including `until`, oldest first."""
    return _points(await rt.valkey.xrange(key(queue, step_s), min=since, max=until))


async def last(rt: Runtime, queue: str, step_s: int, count: int, until: int | None = None) -> list[tuple[int, Point]]:
    """The last points, of any age, oldest first."""
    end = "+" if until is None else until
    return _points(reversed(await rt.valkey.xrevrange(key(queue, step_s), max=end, count=count)))


def _points(entries: Iterable[tuple[str, dict[str, Any]]]) -> list[tuple[int, Point]]:
    found: list[tuple[int, Point]] = []
    for id_, fields in entries:
        values: list[Any] = orjson.loads(fields["v"])
        point = Point(*values[:_PLAIN], *(_unpacked(each) for each in values[_PLAIN:]))
        found.append((int(id_.partition("-")[0]), point))
    return found


def _packed(buckets: Mapping[str, int]) -> list[int]:
    """A histogram as its first bucket and the counts from there on: a third of what names would take."""
    if not buckets:
        return []
    first, last = min(map(int, buckets)), max(map(int, buckets))
    return [first, *(buckets.get(str(bucket), 0) for bucket in range(first, last + 1))]


def _unpacked(packed: Sequence[int]) -> dict[str, int]:
    return {str(bucket): n for bucket, n in enumerate(packed[1:], packed[0]) if n} if packed else {}
