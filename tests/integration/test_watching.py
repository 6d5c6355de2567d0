"""What open pages watch is read once for all of them, told to who watches it alone, and to nobody costs nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import socketio

from novapulse.core.actor import SYSTEM
from novapulse.core.runtime import Runtime
from novapulse.live import watching
from novapulse.live.watching import Shown, Watching, _Topic  # pyright: ignore[reportPrivateUsage]
from novapulse.security.handlers import NAMESPACE, PAUSED


class Job:
    """Something that is watched, and how often it was read."""

    def __init__(self) -> None:
        self.progress = 0
        self.moves = True
        self.reads = 0

    def topic(self, path: str = "/jobs/job_1") -> _Topic:
        async def read(_: object) -> Shown:
            self.reads += 1
            return Shown({"progress": self.progress, "name": "bake"}, self.moves)

        return _Topic("state", path, SYSTEM, read)


class Sockets(socketio.AsyncServer):
    """A server whose sockets are told nothing over a wire: what each would be told is kept."""

    def __init__(self) -> None:
        super().__init__(async_mode="asgi", namespaces=[NAMESPACE])
        self.told: dict[str, list[dict[str, Any]]] = {}

    async def opened(self) -> str:
        sid: str = await self.manager.connect(f"eio{len(self.told)}", NAMESPACE)  # pyright: ignore[reportGeneralTypeIssues]
        self.told[sid] = []
        return sid

    async def emit(self, event: str, data: Any = None, **where: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        for sid, _ in list(self.manager.get_participants(where["namespace"], where["room"])):
            self.told[sid].append(data.delta["state"])


@pytest.fixture
async def sockets(rt: Runtime) -> Sockets:
    rt.part(Watching).server = made = Sockets()
    return made


async def test_several_watch_one_reads(rt: Runtime, sockets: Sockets, monkeypatch: pytest.MonkeyPatch) -> None:
    at = [100.0]
    monkeypatch.setattr(watching.time, "monotonic", lambda: at[0])
    watch, job, other = rt.part(Watching), Job(), Job()
    first, second, third = [await sockets.opened() for _ in range(3)]
    for sid in (first, second):
        await watch.join(sid, "job", "1", job.topic())
    await watch.join(third, "job", "2", other.topic("/jobs/job_2"))

    async def sweep() -> None:
        at[0] += 2
        await watch.sweep()

    await sweep()
    everything = {"progress_rx_state_": 0, "name_rx_state_": "bake"}
    assert (job.reads, other.reads) == (1, 1)
    assert [sockets.told[sid] for sid in (first, second, third)] == [[everything]] * 3
    assert watch.latest(first, "job") == {"progress": 0, "name": "bake"}
    # Only what changed is told, and only to who watches it.
    job.progress = 7
    await sweep()
    assert (job.reads, other.reads) == (2, 2)
    assert sockets.told[first][1:] == sockets.told[second][1:] == [{"progress_rx_state_": 7}]
    assert len(sockets.told[third]) == 1

    # What stands still is read when a count of jobs has changed, and then no more.
    job.moves = False
    await sweep()
    await sweep()
    assert job.reads == 3
    watch.stir()
    await sweep()
    await sweep()
    assert job.reads == 4

    # Who comes later is told all of it once: it may have changed between their own reading and their joining.
    late = await sockets.opened()
    await watch.join(late, "job", "1", Job().topic())
    await sweep()
    assert (job.reads, sockets.told[late]) == (5, [{"progress_rx_state_": 7, "name_rx_state_": "bake"}])

    # One page at a time: going elsewhere, to another job, or pausing, ends it; and nobody left means nothing read.
    await watch.join(first, "job", "2", other.topic("/jobs/job_2"))
    await watch.leave(second, stay_at="/webhooks")
    await watch.leave(late, what="job")
    await watch.leave(third, stay_at="/jobs/job_2")
    assert {sid for sid, _ in sockets.manager.get_participants(NAMESPACE, "watch job 2")} == {first, third}
    for sid in (first, third):
        await sockets.enter_room(sid, PAUSED, NAMESPACE)
        await watch.leave(sid)
        await watch.join(sid, "job", "2", other.topic("/jobs/job_2"))
    before = (job.reads, other.reads)
    watch.stir()
    await sweep()
    assert (job.reads, other.reads) == before
    assert watch.latest(first, "job") == {}
    running = asyncio.create_task(watch.run())
    await asyncio.sleep(0)
    assert not watch._some.is_set()  # pyright: ignore[reportPrivateUsage] - it waits to be woken, and reads nothing
    running.cancel()


async def test_what_cannot_be_read_keeps_nothing_else_from_it(rt: Runtime, sockets: Sockets) -> None:
    async def broken(_: object) -> Shown:
        raise OSError("the database is away")

    watch, job, sid = rt.part(Watching), Job(), await sockets.opened()
    await watch.join(sid, "broken", "1", _Topic("state", "/", SYSTEM, broken))
    await watch.join(sid, "job", "1", job.topic())
    await watch.sweep()
    assert job.reads == 1 and len(sockets.told[sid]) == 1
