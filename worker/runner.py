"""A worker process: one receiver per queue on one event loop, a heartbeat, and a stop that loses nothing."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Sequence

import structlog
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from novapulse.core import logging
from novapulse.core.runtime import Runtime, open_runtime
from novapulse.settings import Settings
from novapulse.webhooks.engine import Engine
from worker.broker import QueueBroker
from worker.enqueue import make_enqueue
from worker.heartbeat import Heartbeat
from worker.receiver import QueueReceiver
from worker.tasks import webhook

_JOBS_AT_ONCE = 1_000  # bounded by `room`; Taskiq wants a number
_STORE_WAIT_S = 2.0

log = structlog.get_logger(__name__)


async def run_worker(settings: Settings, queues: Sequence[str], stop: asyncio.Event) -> None:
    """Work on these queues until `stop` is set, then finish or give back what runs."""
    logging.configure(settings, "worker")
    enqueue = make_enqueue(settings)
    rt = open_runtime(settings, enqueue)
    name = f"{socket.gethostname()}-{os.getpid()}-{os.urandom(3).hex()}"
    engine = Engine(rt, name)
    heartbeat = Heartbeat(settings, name, list(queues), lambda: {"webhook": engine.in_flight})
    try:
        await _wait_for_database(rt, stop)
        heartbeat.start()
        receivers = [asyncio.create_task(_receive(settings, queue, name, engine, stop)) for queue in queues]
        log.info("worker_started", worker=name, queues=list(queues))
        await stop.wait()
        log.info("worker_stopping", in_flight=engine.in_flight)
        # The limit is for everything; what is left of it after the sends is for recording them.
        await engine.stop(max(1.0, settings.shutdown_timeout_s - 3.0))
        await asyncio.wait(receivers, timeout=2.0)
        for receiver in receivers:
            receiver.cancel()
        await asyncio.gather(*receivers, return_exceptions=True)
    finally:
        heartbeat.stop()
        await enqueue.close()
        await rt.close()
    log.info("worker_stopped", worker=name)


async def _receive(settings: Settings, queue: str, owner: str, engine: Engine, stop: asyncio.Event) -> None:
    # Other queues have no tasks yet that could run; what appears there is parked, not lost.
    room = (lambda: engine.free_slots() // webhook.BATCH) if queue == "webhook" else (lambda: 0 if stop.is_set() else 1)
    broker = QueueBroker(settings, queue, owner, room)
    if queue == "webhook":
        webhook.register(broker, engine)
    while not stop.is_set():
        receiver = QueueReceiver(broker, max_async_tasks=_JOBS_AT_ONCE, wait_tasks_timeout=settings.shutdown_timeout_s)
        try:
            await receiver.listen(stop)
        except Exception as error:
            log.error("receiver_failed", queue=queue, error=repr(error)[:300])
            await asyncio.sleep(1.0)
    await broker.shutdown()


async def _wait_for_database(rt: Runtime, stop: asyncio.Event) -> None:
    while not stop.is_set():
        try:
            async with rt.database.read() as session:
                await session.execute(text("SELECT version FROM routing_version"))
            return
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            log.warning("database_not_ready", error=str(error)[:200], retry_in_s=_STORE_WAIT_S)
            await asyncio.sleep(_STORE_WAIT_S)
