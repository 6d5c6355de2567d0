"""The workers, and what each of them runs."""

from __future__ import annotations

import time
from typing import Any

import reflex as rx

from novapulse.core.actor import Actor, Permission
from novapulse.core.errors import ProblemError, UnavailableError
from novapulse.core.runtime import Runtime, current
from novapulse.jobs.workers import DoingView, GoneView, WorkerDetail, list_workers
from novapulse.live.shown import UNKNOWN, count, memory
from novapulse.live.watching import Shown, show
from novapulse.security.handlers import handler, handler_actor


class WorkersState(rx.State):
    """What `/jobs/workers` shows."""

    rows: list[dict[str, Any]] = []  # noqa: RUF012 - Reflex copies defaults
    gone: list[dict[str, Any]] = []  # noqa: RUF012
    known: bool = True
    loaded: bool = False
    problem: str = ""

    @handler(Permission.JOBS_READ)
    @rx.event
    async def load(self) -> None:
        """Read them, and go on showing how they are."""
        try:
            await show(self, await handler_actor(self), "workers", None, _look)
        except ProblemError as error:
            self.problem = error.detail


class _Processors:
    """What the workers used of their processors between their last two signs of life. Made by `Runtime.part`."""

    def __init__(self, _rt: Runtime) -> None:
        self._before: dict[str, tuple[float, float, str]] = {}

    def share(self, worker: WorkerDetail, now: float) -> str:
        """Per cent of one processor; `now` in seconds, of any clock."""
        if worker.cpu_s is None:
            return UNKNOWN
        at = now - worker.heartbeat_age_s
        before_at, before_s, said = self._before.get(worker.name, (at, worker.cpu_s, "…"))
        # The age is told in tenths of a second: less than a second apart it is the same sign.
        if at - before_at >= 1:
            said = f"{max(0.0, worker.cpu_s - before_s) / (at - before_at) * 100:.0f} %"
        elif worker.name in self._before:
            return said
        self._before[worker.name] = (at, worker.cpu_s, said)
        return said

    def keep(self, names: set[str]) -> None:
        """Forget the others."""
        self._before = {name: value for name, value in self._before.items() if name in names}


async def _look(actor: Actor) -> Shown:
    rt = current()
    try:
        view = await list_workers(rt, actor)
    except UnavailableError:
        return Shown({"known": False, "loaded": True}, moves=True)
    processors, now = rt.part(_Processors), time.monotonic()
    processors.keep({worker.name for worker in view.data})
    shown = {
        "rows": [_row(worker, processors.share(worker, now)) for worker in view.data],
        "gone": [_gone(worker) for worker in view.gone],
        "known": True,
        "problem": "",
        "loaded": True,
    }
    return Shown(shown, moves=True)


def _row(worker: WorkerDetail, cpu: str) -> dict[str, Any]:
    named = sum(worker.running.get(queue, 0) for queue in worker.queues if queue != "webhook")
    return {
        "name": worker.name,
        "host": worker.host,
        "pid": str(worker.pid),
        "version": worker.version,
        "memory": memory(worker.rss_bytes),
        "cpu": cpu,
        "started": worker.started_at,
        "late": worker.heartbeat_age_s > 5,
        "heartbeat": f"{worker.heartbeat_age_s:.0f} s ago" if worker.heartbeat_age_s >= 2 else "just now",
        "lanes": [_lane(queue, worker.running.get(queue, 0), worker.slots.get(queue)) for queue in worker.queues],
        "jobs": [_doing(job) for job in worker.jobs],
        "more": f"and {named - len(worker.jobs):,} more" if named > len(worker.jobs) > 0 else "",
    }


def _gone(worker: GoneView) -> dict[str, Any]:
    return {"name": worker.name, "at": worker.last_heartbeat_at, "jobs": [_doing(job) for job in worker.jobs]}


def _doing(job: DoingView) -> dict[str, str]:
    return {"id": job.id, "short": f"…{job.id[-8:]}", "task": job.task, "since": job.started_at}


def _lane(queue: str, running: int, slots: int | None) -> dict[str, Any]:
    """What a worker runs of one queue, of as many as it runs at once."""
    share = min(100, round(100 * running / slots)) if slots else 0
    return {"queue": queue, "running": f"{running:,} of {count(slots)} running", "share": share}
