"""Real worker processes: what the killed ones ran, and what they all do when a queue is paused, resumed and drained."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import text

from novapulse.core.actor import Actor
from novapulse.core.runtime import Runtime
from novapulse.jobs import modes
from novapulse.jobs.enqueue import NewJob, add_jobs_on, kick
from novapulse.jobs.handout import hand_out_jobs
from novapulse.webhooks import ingest, service
from novapulse.webhooks.handout import hand_out
from novapulse.webhooks.schemas import EventIn, WebhookCreate
from tests.integration import worker_tasks
from tests.receiver import Answer, Arrival, receiving

pytestmark = pytest.mark.slow
MODULE = worker_tasks.__name__
LIMIT_S = 30.0


class Crew:
    """Worker processes on the stores of a runtime, and a scheduler within this one."""

    def __init__(self, rt: Runtime) -> None:
        self.rt = rt
        self.folder = rt.settings.data_dir
        self.hold, self.ledger = self.folder / "hold", self.folder / "ledger"
        self.ledger.touch()
        self.log = (self.folder / "workers.log").open("ab")
        self.workers: list[subprocess.Popen[bytes]] = []

    def spawn(self, **settings: str) -> subprocess.Popen[bytes]:
        """Start one more."""
        environment = os.environ | {
            "NOVAPULSE_DATA_DIR": str(self.folder),
            "NOVAPULSE_REDIS_URL": self.rt.settings.redis_url,
            "NOVAPULSE_DATABASE_URL": self.rt.settings.database_url,
            "NOVAPULSE_TASK_MODULES": MODULE,
            "NOVAPULSE_HEARTBEAT_TTL_S": "2",
            "NOVAPULSE_ALLOW_PRIVATE_NETWORKS": "127.0.0.0/8",
            **settings,
        }
        command = [sys.executable, "-m", "novapulse.cli", "worker"]
        self.workers.append(subprocess.Popen(command, env=environment, stdout=self.log, stderr=self.log))
        return self.workers[-1]

    async def add(self, count: int, queue: str = "workflow", **payload: Any) -> list[str]:
        """Make jobs, as a service would; their ids."""
        what = {"ledger": str(self.ledger), "hold": str(self.hold), **payload}
        jobs = [NewJob(f"held.{queue}", what) for _ in range(count)]
        ids = await self.rt.database.run_write(lambda connection: add_jobs_on(connection, jobs))
        await kick(self.rt, queue, ids)
        return ids

    def begun(self) -> Counter[str]:
        """How often each job has begun."""
        return Counter(line.split()[0] for line in self.ledger.read_text().splitlines())

    def begun_by(self, worker: subprocess.Popen[bytes]) -> set[str]:
        lines = (line.split() for line in self.ledger.read_text().splitlines())
        return {words[0] for words in lines if words[1] == str(worker.pid)}

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        async with self.rt.database.read() as session:
            return [tuple(row) for row in await session.execute(text(query))]

    async def states(self) -> dict[str, int]:
        return dict(await self.rows("SELECT state, count(*) FROM job GROUP BY state"))  # type: ignore[arg-type]


@asynccontextmanager
async def crew_of(rt: Runtime) -> AsyncGenerator[Crew]:
    async def schedule() -> None:
        while True:
            await hand_out_jobs(rt)
            await hand_out(rt)
            await modes.end_drains(rt)
            await asyncio.sleep(0.3)

    crew = Crew(rt)
    scheduler = asyncio.create_task(schedule())
    try:
        yield crew
    finally:
        scheduler.cancel()
        for worker in crew.workers:
            worker.kill()
            worker.wait()
        crew.log.close()


async def until(check: Callable[[], bool] | Callable[[], Awaitable[bool]], limit_s: float = LIMIT_S) -> None:
    async with asyncio.timeout(limit_s):
        while True:
            found = check()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.05)


async def test_all_that_a_killed_worker_ran_runs_elsewhere_soon_and_only_what_kills_ends_dead(rt: Runtime) -> None:
    many = {"NOVAPULSE_JOB_CONCURRENCY": "60", "NOVAPULSE_REPORT_CONCURRENCY": "60"}
    async with crew_of(rt) as crew:
        crew.hold.touch()
        first = crew.spawn(**many)
        ids = [*await crew.add(55), *await crew.add(45, "report")]
        await until(lambda: len(crew.begun_by(first)) == 100)
        others = [crew.spawn(**many), crew.spawn(**many)]
        await until(lambda: _are_alive(rt, 3))
        first.kill()
        killed = time.monotonic()
        await until(lambda: set(crew.begun().values()) == {2})
        assert time.monotonic() - killed < 15
        dead = f"%-{first.pid}-%"
        assert await crew.rows(f"SELECT count(*) FROM job WHERE state = 'active' AND claimed_by LIKE '{dead}'") == [
            (0,)
        ]

        # A second time, somebody kills all there are: that was not the jobs, and none of them ends dead.
        for worker in others:
            worker.kill()
        crew.spawn(**many)
        crew.spawn(**many)
        crew.hold.unlink()
        await until(lambda: _is(crew, {"completed": 100}))
        assert await crew.rows("SELECT DISTINCT crashes, attempts FROM job") == [(2, 3)]
        assert set(crew.begun()) == set(ids)

        # Among twenty others is one that kills its worker, once in company, once more, and then alone: it is dead.
        (poison,) = await crew.add(1, kill=True)
        crew.hold.touch()
        await crew.add(20)

        async def is_found() -> bool:
            for worker in [worker for worker in crew.workers if worker.poll() is not None]:
                crew.workers.remove(worker)
                crew.spawn(**many)
            return (await crew.states()).get("dead") == 1

        await until(is_found, 60)
        crew.hold.unlink()
        await until(lambda: _is(crew, {"completed": 120, "dead": 1}))
        ((id_, error),) = await crew.rows("SELECT id, error FROM job WHERE state = 'dead'")
        assert (id_, "times while it ran" in error) == (poison, True)
        assert crew.begun()[poison] <= 3


async def test_pause_resume_and_drain_of_deliveries_reach_every_worker_within_a_second(
    rt: Runtime, actor: Actor
) -> None:
    times: list[float] = []

    def note(_arrival: Arrival) -> Answer:
        times.append(time.monotonic())
        return Answer()

    made = 0

    async def make(count: int) -> None:
        nonlocal made
        made += count
        await ingest.accept_batch(rt, actor, [EventIn(type="order.created", data={}) for _ in range(count)])

    async def keep_making() -> None:
        while True:
            await make(4)
            await asyncio.sleep(0.02)

    async def both_deliver() -> bool:
        return await crew.rows("SELECT count(DISTINCT worker) FROM attempt") == [(2,)]

    async def all_delivered() -> bool:
        return await crew.rows("SELECT count(*) FROM delivery WHERE status = 'delivered'") == [(made,)]

    with receiving(note) as receiver:
        await service.create_webhook(rt, actor, WebhookCreate(url=receiver.url()))
        async with crew_of(rt) as crew:
            crew.spawn()
            crew.spawn()
            await until(lambda: _are_alive(rt, 2))
            making = asyncio.create_task(keep_making())
            await until(both_deliver)
            await modes.pause(rt, actor, "webhook")
            paused = time.monotonic()
            before = made
            await until(lambda: made > before + 100)  # and events keep coming
            await until(lambda: time.monotonic() > paused + 2)
            assert [at for at in times if at > paused + 1] == [], "neither begins anything a second later"
            making.cancel()
            await asyncio.gather(making, return_exceptions=True)
            assert len(times) < made
            await modes.resume(rt, actor, "webhook")
            resumed = time.monotonic()
            await until(lambda: times[-1] > resumed)
            await until(all_delivered)
            # Drained, what was made before is worked off, and then the queue is paused.
            await modes.pause(rt, actor, "webhook")
            await asyncio.sleep(1)
            await make(50)
            await modes.drain(rt, actor, "webhook")
            await until(all_delivered)

            async def is_paused() -> bool:
                return (await modes.list_modes(rt))["webhook"].mode == "paused"

            await until(is_paused)
            assert len(times) == made


async def _is(crew: Crew, states: dict[str, int]) -> bool:
    return await crew.states() == states


async def _are_alive(rt: Runtime, count: int) -> bool:
    return len([key async for key in rt.valkey.scan_iter("{np}:worker:*")]) == count
