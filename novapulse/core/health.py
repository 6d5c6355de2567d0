"""Is what NovaPulse needs there? Each check says how long it took and, if something is wrong, what.

Asking costs nothing: an answer is kept for a while, and while a check is under way, whoever else asks gets the answer
from before.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import orjson
import structlog
from sqlalchemy import text

from novapulse.core import trace
from novapulse.core.clock import now_ms, rfc3339
from novapulse.core.migrations import revision_of
from novapulse.core.runtime import Runtime

_TIMEOUT_S = 2.0
_FRESH_S = 1.0
_BAD_FRESH_S = 0.1  # a start is watched closely, and good news should not be late
_SELDOM_S = 5.0
_MIGRATED_S, _NOT_MIGRATED_S = 60.0, 1.0
_STALE_S = 10.0  # older answers are not given; who asks waits for the check
_QUEUES = ("email", "webhook", "workflow", "report")

# Little room is room for less than an hour, none is too little for a commit; small disks have less to begin with.
_LOW_BYTES, _LOW_SHARE = 1 << 30, 0.1
_FULL_BYTES, _FULL_SHARE = 64 << 20, 0.02

Status = Literal["ok", "warning", "failing"]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """What a check found; a check that has nothing to say answers with `Found()`."""

    reason: str | None = None  # what is wrong
    warning: bool = False  # it is, and NovaPulse works all the same
    detail: dict[str, Any] | None = None  # for operators, not for the public


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    ok: bool  # also with a warning
    latency_ms: float
    reason: str | None = None
    status: Status = "ok"
    checked_at: str = ""
    detail: dict[str, Any] | None = None

    def as_dict(self, *, details: bool = False) -> dict[str, Any]:
        """What is answered; details where who asks may know them."""
        told = asdict(self)
        del told["name"]
        if not details:
            del told["detail"]
        return told


Look = Callable[[], Awaitable[Found]]


class _Kept:
    """One check and its last answer."""

    def __init__(self, name: str, look: Look, fresh_s: float, bad_fresh_s: float, *, waits: bool) -> None:
        self._name, self._look = name, look
        self._fresh_s, self._bad_fresh_s, self._waits = fresh_s, bad_fresh_s, waits
        self._last: Check | None = None
        self._done_at = 0.0
        self._task: asyncio.Task[None] | None = None

    async def answer(self) -> Check:
        """The last answer while it is fresh, else a new one; for who does not start the check, the last one again."""
        last, age = self._last, time.monotonic() - self._done_at
        if last is not None and age <= (self._fresh_s if last.status == "ok" else self._bad_fresh_s):
            return last
        under_way = self._task is not None and not self._task.done()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._check(), context=trace.apart())
        if not self._waits:
            return last or Check(self._name, True, 0.0, "not looked at yet")
        if last is not None and under_way and age < _STALE_S:
            return last
        await asyncio.wait({self._task})
        assert self._last is not None
        return self._last

    async def _check(self) -> None:
        started = time.perf_counter()
        try:
            found = await asyncio.wait_for(self._look(), _TIMEOUT_S)
        except TimeoutError:
            found = Found(f"no answer within {_TIMEOUT_S:g} s")
        except Exception as error:  # whatever it is, it is the finding
            log.debug("health_check_failed", check=self._name, error=str(error)[:200])
            found = Found(f"not reachable ({type(error).__name__})")
        status: Status = "ok" if found.reason is None else "warning" if found.warning else "failing"
        latency_ms = round((time.perf_counter() - started) * 1000, 2)
        self._last = Check(
            self._name, status != "failing", latency_ms, found.reason, status, rfc3339(now_ms()), found.detail
        )
        self._done_at = time.monotonic()


class Health:
    """The checks of one process. Made by `Runtime.part`; other parts may add theirs."""

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt
        self._kept: dict[str, _Kept] = {}
        self.add("database", self._database)
        self.add("migrations", self._migrations, fresh_s=_MIGRATED_S, bad_fresh_s=_NOT_MIGRATED_S)
        self.add("valkey", self._valkey)
        self.add("disk", self._disk, fresh_s=_SELDOM_S)
        self.add("scheduler", self._scheduler)
        self.add("workers", self._workers)

    def add(
        self,
        name: str,
        look: Look,
        *,
        fresh_s: float = _FRESH_S,
        bad_fresh_s: float = _BAD_FRESH_S,
        waits: bool = True,
    ) -> None:
        """One more check. Its answer is kept for `fresh_s`, a bad one for `bad_fresh_s`; without `waits` nobody waits
        for it, and until its first answer it counts as good.
        """
        self._kept[name] = _Kept(name, look, fresh_s, bad_fresh_s, waits=waits)

    async def checks(self, wanted: Collection[str] | None = None) -> list[Check]:
        """The answers of these checks, or of all."""
        chosen = [kept for name, kept in self._kept.items() if wanted is None or name in wanted]
        return list(await asyncio.gather(*(kept.answer() for kept in chosen)))

    async def _database(self) -> Found:
        async with self._rt.database.read() as session:
            await session.execute(text("SELECT 1"))
        return Found()

    async def _migrations(self) -> Found:
        revision = await revision_of(self._rt.database)
        detail = {"revision": revision.now, "head": revision.head}
        if revision.behind:
            return Found("the database is behind this version: novapulse db upgrade", detail=detail)
        return Found(detail=detail)

    async def _valkey(self) -> Found:
        await self._rt.valkey.execute_command("PING")
        return Found()

    async def _disk(self) -> Found:
        folders = {"data folder": self._rt.settings.data_dir, "reports": self._rt.settings.reports}
        return await asyncio.to_thread(look_at_disks, folders)

    async def _scheduler(self) -> Found:
        lease: str | None = await self._rt.valkey.get("{np}:scheduler")
        if lease is None:
            return Found("no scheduler is running: retries are not handed out")
        holder, _, since = lease.partition("@")
        return Found(detail={"holder": holder, "since": rfc3339(int(since)) if since.isdigit() else None})

    async def _workers(self) -> Found:
        names = await self._rt.valkey.zrangebyscore("{np}:workers", now_ms(), "+inf")
        if not names:
            return Found("no worker is running: deliveries wait", detail={"workers": 0, "queues": {}})
        async with self._rt.valkey.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.get(f"{{np}}:worker:{name}")
            for queue in _QUEUES:
                pipe.xlen(f"{{np}}:q:{{{queue}}}")
            answers = await pipe.execute()
        beats = [orjson.loads(beat) for beat in answers[: len(names)] if beat]
        serving = Counter(queue for beat in beats for queue in beat["queues"])
        detail = {"workers": len(beats), "queues": {queue: serving[queue] for queue in _QUEUES}}
        idle = {
            queue: waiting for queue, waiting in zip(_QUEUES, answers[len(names) :], strict=True) if not serving[queue]
        }
        if not idle:
            return Found(detail=detail)
        waits = [queue for queue, waiting in idle.items() if waiting]
        named = ", ".join(waits or idle)
        reason = f"no worker for {named}" + (": its jobs wait" if waits else "")
        return Found(reason, warning=not waits, detail=detail)


def look_at_disks(folders: dict[str, Path]) -> Found:
    """How much room the disks of these folders have."""
    seen: set[int] = set()
    detail: dict[str, Any] = {}
    low: list[str] = []
    full: list[str] = []
    for name, folder in folders.items():
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        device = os.stat(folder).st_dev  # noqa: PTH116
        if device in seen:
            continue
        seen.add(device)
        disk = shutil.disk_usage(folder)
        detail[name] = {"free_bytes": disk.free, "size_bytes": disk.total}
        words = f"{name}: {disk.free >> 20} MB free of {disk.total >> 20}"
        if disk.free < min(_FULL_BYTES, disk.total * _FULL_SHARE):
            full.append(words)
        elif disk.free < min(_LOW_BYTES, disk.total * _LOW_SHARE):
            low.append(words)
    if full:
        return Found(f"the disk is full ({'; '.join(full)})", detail=detail)
    if low:
        return Found(f"the disk is nearly full ({'; '.join(low)})", warning=True, detail=detail)
    return Found(detail=detail)
