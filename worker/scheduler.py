"""The scheduler: whatever must be done by one process only. Any number may run; a lease in Valkey elects one."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

import structlog

from novapulse.core import idempotency, logging, tracing
from novapulse.core.lifecycle import Lifecycle
from novapulse.core.runtime import Runtime, open_runtime
from novapulse.jobs.conservation import reconcile
from novapulse.jobs.handout import hand_out_jobs
from novapulse.jobs.modes import end_drains, mirror_modes
from novapulse.jobs.retention import delete_old_jobs, finish_discards
from novapulse.jobs.schedules import fire_schedules
from novapulse.live.sampler import sample
from novapulse.mail.retention import delete_old_mail
from novapulse.metrics.definitions import SCHEDULER_FAILED, SCHEDULER_TICK
from novapulse.metrics.keeper import Keeper
from novapulse.recovery.schedule import back_up_when_due
from novapulse.reports.retention import expire_reports
from novapulse.security.housekeeping import tidy_accounts
from novapulse.settings import Settings
from novapulse.tasks import load_all_tasks
from novapulse.webhooks.handout import hand_out
from novapulse.webhooks.retention import delete_old_events
from novapulse.workflows.settle import delete_old_runs, settle_runs
from worker.enqueue import PATIENT_S, make_enqueue
from worker.lease import Lease
from worker.probe import probes
from worker.stores import wait_for_stores

_TICK_S = 0.25

log = structlog.get_logger(__name__)


async def _housekeeping(rt: Runtime) -> None:
    await idempotency.delete_expired(rt)
    await delete_old_mail(rt)


# What is done, and how many seconds lie between two times.
_WORK: tuple[tuple[Callable[[Runtime], Awaitable[object]], float], ...] = (
    (hand_out, 0.5),
    (hand_out_jobs, 0.5),
    (mirror_modes, 1.0),
    (end_drains, 1.0),
    (fire_schedules, 0.5),
    (finish_discards, 1.0),
    (delete_old_jobs, 60.0),
    (delete_old_events, 60.0),
    (back_up_when_due, 60.0),
    (sample, 1.0),
    (reconcile, 5.0),
    (_housekeeping, 60.0),
    (tidy_accounts, 300.0),
    (expire_reports, 300.0),
    (settle_runs, 1.0),
    (delete_old_runs, 60.0),
)


async def run_scheduler(settings: Settings, stop: asyncio.Event) -> None:
    """Stand for election until `stop` is set; do the work while elected."""
    logging.configure(settings, "scheduler")
    tracing.setup(settings, "scheduler")
    load_all_tasks(settings)
    enqueue = make_enqueue(settings, PATIENT_S)
    rt = open_runtime(settings, enqueue)
    rt.part(Keeper).start("scheduler", told_by_others=not settings.probe_port)
    lease = Lease(rt)
    life = rt.part(Lifecycle)
    ended = asyncio.Event()
    standing = asyncio.create_task(lease.stand(ended))
    workers: list[asyncio.Task[None]] = []
    try:
        async with probes(rt):
            await wait_for_stores(rt, stop)
            workers = [asyncio.create_task(_repeat(rt, work, every_s, lease, stop)) for work, every_s in _WORK]
            life.ready()
            await stop.wait()
            life.drain()
            # What was begun is finished under the lease, so that nobody begins the same meanwhile.
            await asyncio.wait(workers, timeout=settings.shutdown_timeout_s / 2)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        ended.set()
        await standing
        await enqueue.close()
        await rt.close()
        await tracing.shutdown(settings.shutdown_timeout_s / 5)


async def _repeat(
    rt: Runtime, work: Callable[[Runtime], Awaitable[object]], every_s: float, lease: Lease, stop: asyncio.Event
) -> None:
    while await _go(lease, stop):
        started, since = time.monotonic(), time.time_ns()
        try:
            did = await work(rt)
            if tracing.active is not None and isinstance(did, int) and did:
                tracing.write_tick(work.__name__, since, did)
        except Exception as error:
            SCHEDULER_FAILED.add(1, work.__name__)
            log.warning("tick_failed", work=work.__name__, error=f"{type(error).__name__}: {error}"[:300])
        SCHEDULER_TICK.observe(time.monotonic() - started, work.__name__)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), max(_TICK_S, every_s - (time.monotonic() - started)))


async def _go(lease: Lease, stop: asyncio.Event) -> bool:
    """Wait until this scheduler is elected; False: it stops."""
    while not stop.is_set():
        if lease.held.is_set():
            return True
        # Whoever is not elected looks as often as the lease is asked for: cheaper than waiting for two events.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _TICK_S)
    return False
