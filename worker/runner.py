"""A worker process: one receiver per queue on one event loop, a heartbeat, and a stop that loses nothing."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog
from sqlalchemy.exc import SQLAlchemyError

from novapulse.core import logging, tracing
from novapulse.core.lifecycle import Lifecycle
from novapulse.core.runtime import Runtime, open_runtime
from novapulse.jobs.modes import Modes
from novapulse.jobs.observed import Observed
from novapulse.metrics.definitions import WORKER_IN_FLIGHT
from novapulse.metrics.keeper import Keeper
from novapulse.settings import Settings
from novapulse.tasks import load_all_tasks
from worker.broker import QueueBroker
from worker.enqueue import make_enqueue
from worker.heartbeat import Heartbeat
from worker.probe import probes
from worker.receiver import QueueReceiver
from worker.stores import wait_for_stores
from worker.tasks.jobs import JobsCrew
from worker.tasks.webhook import WebhookCrew

_JOBS_AT_ONCE = 1_000  # bounded by `room`; Taskiq wants a number
_FLUSH_S = 2.0

log = structlog.get_logger(__name__)


class Crew(Protocol):
    """What works on one queue in one process."""

    @property
    def in_flight(self) -> int:
        """How much of what jobs carry is being worked on."""
        ...

    @property
    def slots(self) -> int:
        """How much of it can run at once."""
        ...

    def room(self) -> int:
        """How many more jobs can be taken now; none once it is stopping."""
        ...

    def register(self, broker: QueueBroker) -> None:
        """Let a broker run this queue's tasks."""
        ...

    async def stop(self, grace_s: float) -> None:
        """Finish within `grace_s`, and give back what cannot be finished."""
        ...


_CREWS: dict[str, Callable[[Runtime, str, str], Crew]] = {"webhook": WebhookCrew}


async def run_worker(settings: Settings, queues: Sequence[str], stop: asyncio.Event) -> None:
    """Work on these queues until `stop` is set, then finish or give back what runs."""
    logging.configure(settings, "worker")
    tracing.setup(settings, "worker")
    load_all_tasks(settings)
    enqueue = make_enqueue(settings)
    rt = open_runtime(settings, enqueue)
    modes = rt.part(Modes)
    name = f"{socket.gethostname()}-{os.getpid()}-{os.urandom(3).hex()}"
    crews = {queue: _CREWS.get(queue, JobsCrew)(rt, name, queue) for queue in queues}
    keeper = rt.part(Keeper)
    keeper.start("worker", told_by_others=not settings.probe_port)
    keeper.watch(lambda: [WORKER_IN_FLIGHT.set(crew.in_flight, queue) for queue, crew in crews.items()])
    heartbeat = Heartbeat(
        settings,
        name,
        {queue: crew.slots for queue, crew in crews.items()},
        lambda: {queue: crew.in_flight for queue, crew in crews.items()},
    )
    life = rt.part(Lifecycle)
    try:
        async with probes(rt):
            await wait_for_stores(rt, stop)
            # What is loaded by now stays: looking through it for garbage again and again was a tenth of a delivery's
            # time.
            gc.collect()
            gc.freeze()
            gc.set_threshold(20_000, 50, 50)
            await modes.look()
            looking = asyncio.create_task(modes.run())
            heartbeat.start()
            receivers = [
                asyncio.create_task(_receive(settings, queue, name, crew, stop)) for queue, crew in crews.items()
            ]
            life.ready()
            log.info("worker_started", worker=name, queues=list(queues))
            await stop.wait()
            life.drain()
            log.info("worker_stopping", in_flight=sum(crew.in_flight for crew in crews.values()))
            # The limit is for everything; what is left of it after the sends is for recording them.
            grace_s = max(1.0, settings.shutdown_timeout_s - 3.0)
            await asyncio.gather(*(crew.stop(grace_s) for crew in crews.values()))
            await asyncio.wait(receivers, timeout=_FLUSH_S)
            for receiver in receivers:
                receiver.cancel()
            looking.cancel()
            await asyncio.gather(*receivers, looking, return_exceptions=True)
            await _flush(rt)
    finally:
        heartbeat.stop()
        await enqueue.close()
        await rt.close()
        await tracing.shutdown(settings.shutdown_timeout_s / 5)
    log.info("worker_stopped", worker=name)


async def _receive(settings: Settings, queue: str, owner: str, crew: Crew, stop: asyncio.Event) -> None:
    broker = QueueBroker(settings, queue, owner, crew.room)
    crew.register(broker)
    while not stop.is_set():
        receiver = QueueReceiver(broker, max_async_tasks=_JOBS_AT_ONCE, wait_tasks_timeout=settings.shutdown_timeout_s)
        try:
            await receiver.listen(stop)
        except Exception as error:
            log.error("receiver_failed", queue=queue, error=repr(error)[:300])
            await asyncio.sleep(1.0)
    await broker.shutdown()


async def _flush(rt: Runtime) -> None:
    """Write what was only counted so far; without a database that is given up, and nothing else."""
    try:
        await asyncio.wait_for(rt.part(Observed).flush(), _FLUSH_S)
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        log.warning("not_flushed", error=str(error)[:200])
