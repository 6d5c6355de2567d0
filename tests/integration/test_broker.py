"""A queue on a real Valkey: what is on it is run, or put aside for people, and never lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any

import pytest
from redis.asyncio import Redis
from taskiq import Context, TaskiqDepends

from novapulse.core.runtime import Runtime
from worker import keys
from worker.broker import QueueBroker
from worker.enqueue import message
from worker.heartbeat import Heartbeat
from worker.receiver import TAKEOVER_LABEL, QueueReceiver

QUEUE, TASK = "report", "report.note"
STREAM, COUNTERS, PARKED = keys.stream(QUEUE), keys.counters(QUEUE), keys.parked(QUEUE)
pytestmark = pytest.mark.slow  # workers, and how long they take to be taken for dead and to stop
LIMIT_S = 20.0


class Worker:
    """A receiver of the queue whose task notes what it was given."""

    def __init__(self, rt: Runtime, name: str, room: int = 10) -> None:
        self.name = name
        self.room = room
        self.running = 0
        self.most = 0
        self.done: list[tuple[list[str], str | None]] = []
        self.act: Callable[[list[str]], Awaitable[None]] | None = None
        self._settings = rt.settings
        self.broker = QueueBroker(rt.settings, QUEUE, name, lambda: self.room - self.running)
        self.broker.register_task(self._task(), task_name=TASK)
        self.stop = asyncio.Event()

    def _task(self) -> Callable[..., Awaitable[None]]:
        async def note(ids: list[str], context: Annotated[Context, TaskiqDepends()]) -> None:
            self.running += 1
            self.most = max(self.most, self.running)
            try:
                if self.act is not None:
                    await self.act(ids)
                self.done.append((ids, context.message.labels.get(TAKEOVER_LABEL)))
            finally:
                self.running -= 1

        note.__annotations__ = {"ids": list[str], "context": Annotated[Context, TaskiqDepends()], "return": None}
        return note

    @property
    def ids(self) -> list[str]:
        return sorted(id_ for ids, _ in self.done for id_ in ids)

    async def run(self) -> None:
        await QueueReceiver(self.broker, max_async_tasks=100, wait_tasks_timeout=1).listen(self.stop)


@asynccontextmanager
async def working(rt: Runtime, name: str = "w1", room: int = 10, *, alive: bool = True) -> AsyncGenerator[Worker]:
    """A worker at work; `alive`: with a heartbeat."""
    worker = Worker(rt, name, room)
    heartbeat = Heartbeat(rt.settings, name, {QUEUE: 1}, dict) if alive else None
    if heartbeat is not None:
        heartbeat.start()
    running = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        worker.stop.set()
        await asyncio.wait({running}, timeout=LIMIT_S)
        assert running.done()
        await worker.broker.shutdown()
        if heartbeat is not None:
            await asyncio.to_thread(heartbeat.stop)


async def until(check: Callable[[], Awaitable[bool]] | Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while True:
            found = check()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.02)


async def is_clear(valkey: Redis) -> bool:
    return await valkey.xlen(STREAM) == 0 and (await valkey.xpending(STREAM, keys.GROUP))["pending"] == 0


async def left_behind(rt: Runtime, ids: list[str], *, times: int = 1, owner: str = "dead") -> str:
    """A job that `owner` has been given `times` times and never acknowledged; the id of its entry."""
    await rt.enqueue(QUEUE, TASK, [ids])
    await rt.valkey.xgroup_create(STREAM, keys.GROUP, id="0")
    ((_, ((entry, _),)),) = await rt.valkey.xreadgroup(keys.GROUP, owner, {STREAM: ">"})
    await rt.valkey.xclaim(STREAM, keys.GROUP, owner, 0, [entry], retrycount=times)
    return entry


async def test_a_job_is_run_acknowledged_deleted_and_counted(rt: Runtime) -> None:
    await rt.enqueue(QUEUE, TASK, [["a", "b"], ["c"]])
    async with working(rt) as worker:
        await until(lambda: worker.ids == ["a", "b", "c"])
        await until(lambda: is_clear(rt.valkey))
    assert await rt.valkey.hgetall(COUNTERS) == {"enqueued": "3", "acked": "3"}
    assert await rt.valkey.xlen(PARKED) == 0


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"data": b"\xff not JSON", "n": 1}, "not a job"),
        ({"data": b"", "n": 1}, "not a job"),
        ({"other": b"1"}, "not a job"),
        ({"data": b'{"task_name": "x"}', "n": "many"}, "not a job"),
        ({"data": b"[1, 2]", "n": -1}, "not a job"),
        ({"data": message("report.unheard", ["x"]), "n": 1}, "unknown task 'report.unheard'"),
    ],
)
async def test_what_cannot_be_run_is_put_aside_and_blocks_nothing(
    rt: Runtime, entry: dict[Any, Any], reason: str
) -> None:
    await rt.valkey.xadd(STREAM, entry)
    await rt.enqueue(QUEUE, TASK, [["good"]])
    async with working(rt) as worker:
        await until(lambda: worker.ids == ["good"])
        await until(lambda: is_clear(rt.valkey))
    raw = Redis(connection_pool=worker.broker.connection_pool)
    ((_, parked),) = await raw.xrange(PARKED)
    await raw.aclose()
    assert parked[b"reason"].decode().startswith(reason)
    assert parked[b"data"] == entry.get("data", b""), "as it was, for people to look at"


async def test_a_task_that_fails_is_ended_and_blocks_nothing(rt: Runtime) -> None:
    async def act(ids: list[str]) -> None:
        if ids == ["bad"]:
            raise RuntimeError("as planned")

    await rt.enqueue(QUEUE, TASK, [["bad"], ["good"]])
    async with working(rt) as worker:
        worker.act = act
        await until(lambda: is_clear(rt.valkey))
        assert worker.ids == ["good"]


async def test_a_worker_takes_no_more_than_it_has_room_for(rt: Runtime) -> None:
    release = asyncio.Event()

    async def act(_ids: list[str]) -> None:
        await release.wait()

    await rt.enqueue(QUEUE, TASK, [[f"{n}"] for n in range(9)])
    async with working(rt, room=3) as worker:
        worker.act = act
        await until(lambda: worker.running == 3)
        await asyncio.sleep(0.2)
        assert (await rt.valkey.xpending(STREAM, keys.GROUP))["pending"] == 3
        release.set()
        await until(lambda: len(worker.done) == 9)
        assert worker.most == 3


async def test_several_workers_share_the_jobs_and_run_each_once(rt: Runtime) -> None:
    jobs = [[f"{n:03d}"] for n in range(200)]
    async with working(rt, "w1") as first, working(rt, "w2") as second:
        await rt.enqueue(QUEUE, TASK, jobs)
        await until(lambda: len(first.done) + len(second.done) >= 200)
        await until(lambda: is_clear(rt.valkey))
        assert sorted(first.ids + second.ids) == [job[0] for job in jobs]


async def test_a_dead_workers_job_is_taken_over_on_a_quiet_queue(rt: Runtime) -> None:
    await left_behind(rt, ["a"])
    async with working(rt) as worker:
        await until(lambda: worker.done == [(["a"], "dead")])
        await until(lambda: is_clear(rt.valkey))

        async def is_forgotten() -> bool:
            return {row["name"] for row in await rt.valkey.xinfo_consumers(STREAM, keys.GROUP)} == {"w1"}

        await until(is_forgotten)


async def test_a_living_workers_job_is_its_own_however_long_it_takes(rt: Runtime) -> None:
    await left_behind(rt, ["a"], owner="slow")
    heartbeat = Heartbeat(rt.settings, "slow", {QUEUE: 1}, dict)
    heartbeat.start()
    async with working(rt) as worker:
        await asyncio.sleep(2 * rt.settings.heartbeat_ttl_s)
        assert worker.done == []
        await asyncio.to_thread(heartbeat.stop)
        await until(lambda: worker.done == [(["a"], "slow")])


async def test_a_job_that_kills_its_workers_goes_on_in_single_ids(rt: Runtime) -> None:
    await left_behind(rt, ["a", "b", "c"], times=3)
    async with working(rt) as worker:
        await until(lambda: len(worker.done) == 3)
        await until(lambda: is_clear(rt.valkey))
    assert sorted(worker.done) == [(["a"], None), (["b"], None), (["c"], None)]
    counted = await rt.valkey.hgetall(COUNTERS)
    assert int(counted["enqueued"]) == int(counted["acked"]), "what was split is not counted as waiting"


async def test_a_job_that_killed_ten_workers_is_put_aside(rt: Runtime) -> None:
    entry = await left_behind(rt, ["a"], times=10)
    async with working(rt) as worker:
        await until(lambda: is_clear(rt.valkey))
        assert worker.done == []
    ((_, parked),) = await rt.valkey.xrange(PARKED)
    assert (parked["entry"], parked["reason"]) == (entry, "its worker died 10 times")


async def test_a_queue_that_was_wiped_is_made_again(rt: Runtime) -> None:
    async with working(rt) as worker:
        await rt.enqueue(QUEUE, TASK, [["before"]])
        await until(lambda: worker.ids == ["before"])
        await rt.valkey.flushall()
        await rt.enqueue(QUEUE, TASK, [["after"]])
        await until(lambda: worker.ids == ["after", "before"])


async def test_a_worker_whose_read_loses_the_cancellation_stops_all_the_same(
    rt: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with working(rt) as worker:
        read, lost = worker.broker._read, asyncio.Event()

        async def loses(room: int) -> Any:
            try:
                return await read(room)
            except asyncio.CancelledError:  # as `asyncio.wait_for` of Python 3.11 does at times
                lost.set()
                return []

        monkeypatch.setattr(worker.broker, "_read", loses)
        await rt.enqueue(QUEUE, TASK, [["a"]])
        await until(lambda: worker.ids == ["a"])
    assert lost.is_set()
