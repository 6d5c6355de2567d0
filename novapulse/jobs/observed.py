"""What workers see of each queue: how long jobs waited and ran, and how they ended, as histograms in Valkey.

Noting costs an increment; once a second what has come together goes to Valkey in one round trip. The sums there only
grow: `novapulse.jobs.sampling` reads them once a second, and what lies between two readings is that second's.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from redis.exceptions import RedisError

from novapulse.core import trace
from novapulse.core.runtime import Runtime
from novapulse.metrics.definitions import JOB_RUN, JOB_WAIT
from novapulse.webhooks.latency import BUCKET_MAX, bucket_of, upper_bound_ms

_FLUSH_S = 1.0


def key(queue: str) -> str:
    """The sums of a queue: `w<bucket>` and `r<bucket>` count waits and runs, `ok` and `bad` what ended how."""
    return f"{{np}}:q:{{{queue}}}:o"


class _Seen:
    """What has come together of one queue since the last flush."""

    __slots__ = ("bad", "ok", "run_ms", "runs", "wait_ms", "waits")

    def __init__(self) -> None:
        self.waits = [0] * (BUCKET_MAX + 1)
        self.runs = [0] * (BUCKET_MAX + 1)
        self.wait_ms = self.run_ms = 0.0
        self.ok = 0
        self.bad = 0


class Observed:
    """What this process has seen. Made by `Runtime.part`; for use on the event loop only."""

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt
        self._seen: dict[str, _Seen] = {}
        self._flusher: asyncio.Task[None] | None = None

    def note(self, queue: str, wait_ms: float | None, run_ms: float, ok: bool) -> None:
        """One attempt has ended. `wait_ms` is from when it was due to its begin; None where that says nothing."""
        self.note_many(queue, ((wait_ms, run_ms, ok),))

    def note_many(self, queue: str, ended: Iterable[tuple[float | None, float, bool]]) -> None:
        """Several attempts have ended; each as for `note`."""
        seen = self._seen.get(queue)
        if seen is None:
            seen = self._seen[queue] = _Seen()
        waits, runs = seen.waits, seen.runs
        for wait_ms, run_ms, ok in ended:
            if wait_ms is not None:
                waits[bucket_of(wait_ms)] += 1
                seen.wait_ms += wait_ms
            seen.run_ms += run_ms
            runs[bucket_of(run_ms)] += 1
            if ok:
                seen.ok += 1
            else:
                seen.bad += 1
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush_soon(), context=trace.apart())

    async def flush(self) -> None:
        """Write now. A process that stops does so last; what Valkey does not take is kept for the next time."""
        seen, self._seen = self._seen, {}
        if not seen:
            return
        try:
            async with self._rt.valkey.pipeline(transaction=False) as pipe:
                for queue, own in seen.items():
                    for field, n in _fields(own):
                        pipe.hincrby(key(queue), field, n)
                await pipe.execute()
        except (RedisError, OSError, TimeoutError):
            for queue, own in seen.items():
                self._keep(queue, own)
            return
        for queue, own in seen.items():
            JOB_WAIT.take_in(_seconds(own.waits), own.wait_ms / 1000, queue)
            JOB_RUN.take_in(_seconds(own.runs), own.run_ms / 1000, queue)

    async def _flush_soon(self) -> None:
        while True:
            await asyncio.sleep(_FLUSH_S)
            await self.flush()
            if not self._seen:
                return

    def _keep(self, queue: str, own: _Seen) -> None:
        since = self._seen.setdefault(queue, _Seen())
        since.waits = [one + other for one, other in zip(since.waits, own.waits, strict=True)]
        since.runs = [one + other for one, other in zip(since.runs, own.runs, strict=True)]
        since.wait_ms += own.wait_ms
        since.run_ms += own.run_ms
        since.ok += own.ok
        since.bad += own.bad


def _seconds(counts: list[int]) -> Iterable[tuple[float, int]]:
    return ((upper_bound_ms(bucket) / 1000, n) for bucket, n in enumerate(counts) if n)


def _fields(own: _Seen) -> Iterable[tuple[str, int]]:
    for letter, counts in (("w", own.waits), ("r", own.runs)):
        yield from ((f"{letter}{bucket}", n) for bucket, n in enumerate(counts) if n)
    yield from ((name, n) for name, n in (("ok", own.ok), ("bad", own.bad)) if n)
