"""Putting jobs on a queue, in Taskiq's message format, without importing any task."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Sequence

import orjson

from novapulse.core.ids import new_id
from novapulse.core.valkey import connect
from novapulse.settings import Settings
from worker import keys

_TIMEOUT_S = 1.0  # who takes events in must not wait for a Valkey that hangs
PATIENT_S = 10.0  # who hands them out has nothing else to do, and a slow network must not stop it


class Enqueuer:
    """Implements `novapulse.core.runtime.Enqueue`."""

    def __init__(self, settings: Settings, timeout_s: float) -> None:
        self._redis = connect(
            settings.valkey, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, health_check_interval=15
        )

    async def __call__(self, queue: str, task: str, batches: Sequence[Sequence[str]]) -> None:
        """One job per batch of ids, all in one round trip; see `Enqueue`."""
        stream, counters = keys.stream(queue), keys.counters(queue)
        async with self._redis.pipeline(transaction=True) as pipe:
            for ids in batches:
                pipe.xadd(stream, {"data": message(task, ids), "n": len(ids)})
            pipe.hincrby(counters, "enqueued", sum(len(ids) for ids in batches))
            await pipe.execute()

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()


def message(task: str, ids: Sequence[str]) -> bytes:
    """A Taskiq message that calls `task(ids)`."""
    return orjson.dumps(
        {
            "task_id": new_id("job"),
            "task_name": task,
            "labels": {"n": len(ids)},
            "labels_types": None,
            "args": [list(ids)],
            "kwargs": {},
        }
    )


def make_enqueue(settings: Settings, timeout_s: float = _TIMEOUT_S) -> Enqueuer:
    """The way to enqueue for a process, which waits for Valkey so long at most."""
    return Enqueuer(settings, timeout_s)
