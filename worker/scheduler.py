"""The scheduler: whatever must be done by one process only. Any number may run; a lease in Valkey elects one."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Awaitable, Callable

import structlog
from redis.exceptions import RedisError

from novapulse.core import idempotency, logging
from novapulse.core.runtime import Runtime, open_runtime
from novapulse.jobs.conservation import reconcile
from novapulse.jobs.handout import hand_out_jobs
from novapulse.jobs.modes import end_drains, mirror_modes
from novapulse.jobs.retention import delete_old_jobs, finish_discards
from novapulse.jobs.schedules import fire_schedules
from novapulse.live.sampler import sample
from novapulse.mail.retention import delete_old_mail
from novapulse.metrics.definitions import SCHEDULER_ELECTED, SCHEDULER_FAILED, SCHEDULER_TICK
from novapulse.metrics.keeper import Keeper
from novapulse.reports.retention import expire_reports
from novapulse.security.housekeeping import tidy_accounts
from novapulse.settings import Settings
from novapulse.tasks import load_all_tasks
from novapulse.webhooks.handout import hand_out
from novapulse.webhooks.retention import delete_old_events
from novapulse.workflows.settle import delete_old_runs, settle_runs
from worker import keys
from worker.enqueue import make_enqueue

_LEASE_MS = 5_000
_TICK_S = 0.25

_RENEW = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) and 1 or 0
"""
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"

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
    load_all_tasks(settings)
    enqueue = make_enqueue(settings)
    rt = open_runtime(settings, enqueue)
    rt.part(Keeper).start("scheduler", told_by_others=not settings.probe_port)
    token = secrets.token_hex(8)
    renew = rt.valkey.register_script(_RENEW)
    elected = asyncio.Event()
    workers = [asyncio.create_task(_repeat(rt, work, every_s, elected)) for work, every_s in _WORK]
    try:
        while not stop.is_set():
            try:
                held = bool(await renew(keys=[keys.SCHEDULER], args=[token, _LEASE_MS]))
            except (RedisError, OSError, TimeoutError) as error:
                # Without Valkey there is no lease, and nowhere to hand anything out to.
                held = False
                log.warning("lease_not_asked", error=str(error)[:200])
            if held and not elected.is_set():
                log.info("scheduler_elected")
            (elected.set if held else elected.clear)()
            SCHEDULER_ELECTED.set(held)
            try:
                await asyncio.wait_for(stop.wait(), _LEASE_MS / 5000)
            except TimeoutError:
                continue
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        # If Valkey is away the lease runs out by itself.
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            await rt.valkey.register_script(_RELEASE)(keys=[keys.SCHEDULER], args=[token])
        await enqueue.close()
        await rt.close()


async def _repeat(
    rt: Runtime, work: Callable[[Runtime], Awaitable[object]], every_s: float, elected: asyncio.Event
) -> None:
    while True:
        await elected.wait()
        started = time.monotonic()
        try:
            await work(rt)
        except Exception as error:
            SCHEDULER_FAILED.add(1, work.__name__)
            log.warning("tick_failed", work=work.__name__, error=f"{type(error).__name__}: {error}"[:300])
        SCHEDULER_TICK.observe(time.monotonic() - started, work.__name__)
        await asyncio.sleep(max(_TICK_S, every_s - (time.monotonic() - started)))
