"""The job engine of one queue in one process: claims, runs, records.

An entry of the queue only says that so many jobs are due; which ones are run is decided by the database when there is
room: the most urgent. One loop writes: what ended and what is claimed next share a transaction, so that a job costs a
share of one commit and not three of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from redis.exceptions import RedisError
from sqlalchemy import Connection, select
from sqlalchemy.exc import SQLAlchemyError

from novapulse.core import tracing
from novapulse.core.away import is_away
from novapulse.core.clock import now_ms
from novapulse.core.runtime import Runtime
from novapulse.jobs.engine import traced
from novapulse.jobs.engine.claim import ANY, JOB, Claim, asked_to_stop, claim, renew
from novapulse.jobs.engine.record import Ended, finish, recover, undo_unknown, write_progress
from novapulse.jobs.engine.run import Context, broken_off, cancelled, given_back, perform
from novapulse.jobs.engine.suspects import ISOLATED_FROM, Isolation
from novapulse.jobs.enqueue import RUN_TASK
from novapulse.jobs.models import JobState
from novapulse.jobs.modes import Modes
from novapulse.settings import Settings

_AHEAD_MS = 50.0  # as much is claimed ahead of the slots as they work off in this time: nothing of long jobs
_AHEAD_MAX = 400
_READY_MAX_S = 1.0  # what was claimed ahead and not begun by then goes back, for others
_GROUP = 400  # most that end, and most that are claimed, per transaction
_FEW = 100  # results that wait for company, or for a claim, which takes them along
_GATHER_S = 0.02  # but no longer than this
_KEEP_S = 0.5
_PROBE_EVERY, _LEASE_EVERY = 2, 60  # rounds of the keeper
_CANCEL_AFTER_S = 0.25  # what runs shorter ends by itself before anybody could cancel it
_STOP_S = 2.0  # for jobs to end once they are cancelled
_STORE_DOWN = (SQLAlchemyError, OSError, TimeoutError)
_REFUSED_MAX = 3
_NOT_RECORDABLE = "What became of it could not be written: the worker's log says why."

log = structlog.get_logger(__name__)


def slots_of(settings: Settings, queue: str) -> int:
    """How many jobs of a queue a worker process runs at once."""
    own = {
        "email": settings.email_concurrency,
        "workflow": settings.workflow_concurrency,
        "report": settings.report_concurrency,  # each is a process of its own, which takes a core
    }
    return own.get(queue) or settings.job_concurrency


class _Batch:
    """Jobs that one entry of the queue promised; done when as many have ended, or none is left that waits."""

    def __init__(self, ids: Sequence[str]) -> None:
        self.ids = ids
        self.unclaimed = len(ids)
        self.running = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def settle(self) -> None:
        if self.unclaimed == 0 and self.running == 0 and not self.done.done():
            self.done.set_result(None)


@dataclass(slots=True, eq=False)
class _Held:
    """A job that is claimed and not recorded yet."""

    claim: Claim
    batch: _Batch | None
    since: float = field(default_factory=time.monotonic)  # claimed, then begun
    context: Context | None = None
    task: asyncio.Task[None] | None = None
    why: str | None = None  # it is cancelled: `asked`, `stop` or `lost`


class Engine:
    """Runs the jobs of one queue, and knows when it is full."""

    def __init__(self, rt: Runtime, queue: str, owner: str, note: Callable[[Ended, Claim], None] | None = None) -> None:
        """`owner` names this process in claims, as its heartbeat does. `note` is told of each attempt recorded."""
        self._rt = rt
        self.queue = queue
        self._owner = owner
        self._note = note
        self._modes = rt.part(Modes)
        self._isolation = rt.part(Isolation)
        self.slots = slots_of(rt.settings, queue)
        self._held: dict[str, _Held] = {}
        self._ready: deque[_Held] = deque()
        self._running: set[_Held] = set()
        self._ended: list[tuple[_Held, Ended]] = []
        self._batches: deque[_Batch] = deque()  # with jobs to be claimed
        self._hungry = False  # there may be something to claim
        self._run_ms = 100.0  # how long a job takes, of late
        self._wake = asyncio.Event()  # there is something to write
        self._news = asyncio.Event()  # and it should not wait for more
        self._writing = asyncio.Lock()  # two transactions of ours must not wait for each other's rows
        self._group = _GROUP
        self._unsure = False  # an answer of the database was lost: it may have claimed jobs for us
        self._stopping = False
        self._back: list[str] = []  # handed back because this process stops
        self._loops: list[asyncio.Task[None]] = []

    @property
    def in_flight(self) -> int:
        """Jobs that are claimed and not yet recorded."""
        return len(self._held)

    def room(self) -> int:
        """How many more entries this process can take."""
        if self._stopping or not self._modes.may_begin(self.queue):
            return 0
        promised = sum(batch.unclaimed for batch in self._batches)
        return 0 if promised >= self.slots + self._ahead() else 1 + self._ahead() // 100

    async def run(self, ids: Sequence[str], *, takeover_from: str | None = None) -> None:
        """Run as many jobs as there are ids, if as many wait; returns when they are recorded, or handed back."""
        if not ids:
            return
        self.begin()
        if takeover_from is not None:
            await self._take_over(takeover_from)
        batch = _Batch(ids)
        self._batches.append(batch)
        self._hungry = True
        self._wake.set()
        self._news.set()
        await batch.done

    async def stop(self, grace_s: float) -> None:
        """Let what runs finish within `grace_s`, and hand back the rest; an interrupted run is no attempt."""
        self._stopping = True
        self._news.set()
        self._hand_back_ready()
        await asyncio.sleep(0)  # a task that was made just now has to begin before it can be cancelled
        running = [held.task for held in self._running if held.task is not None]
        if running:
            await asyncio.wait(running, timeout=grace_s)
        interrupted = [held for held in self._running if not (held.task is None or held.task.done())]
        for held in interrupted:
            self._cancel(held, "stop")
        if interrupted:
            await asyncio.wait([held.task for held in interrupted if held.task is not None], timeout=_STOP_S)
        async with self._writing:  # not in the middle of a transaction, which might claim what nobody knows of then
            for loop in self._loops:
                loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        self._hand_back_ready()
        try:
            while self._ended:
                await self._turn(claiming=False)
        except _STORE_DOWN as error:
            log.error("jobs_not_recorded", queue=self.queue, jobs=list(self._held), error=str(error)[:200])
        if self._held:
            log.error("jobs_did_not_stop", queue=self.queue, jobs=list(self._held), then="others run them")
        if self._back:
            log.warning("jobs_handed_back", queue=self.queue, jobs=self._back)
        promised = [id_ for batch in self._batches for id_ in batch.ids[: batch.unclaimed]]
        await self._enqueue(self._back + promised)
        for batch in self._batches:
            batch.unclaimed = 0
            batch.settle()

    def begin(self) -> None:
        """Look for work from now on, told of any or not."""
        if not self._loops and not self._stopping:
            self._loops = [asyncio.create_task(self._write()), asyncio.create_task(self._keep())]

    # Claiming and recording: one loop, one transaction at a time.

    def _ahead(self) -> int:
        return min(_AHEAD_MAX, int(self.slots * _AHEAD_MS / max(self._run_ms, 0.01)))

    def _wanted(self) -> int:
        if not self._hungry or self._stopping or not self._modes.may_begin(self.queue):
            return 0
        ahead = self._ahead()
        free = self.slots + ahead - (len(self._held) - len(self._ended))
        # Few at a time would cost a transaction each; as long as there is something to run, wait for more room.
        if self._ready and free < ahead // 2:
            return 0
        return max(0, min(free, _GROUP))

    async def _write(self) -> None:
        wait_s, refused = 0.1, 0
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                while self._ended or self._wanted() > 0:
                    if self._wanted() <= 0 and len(self._ended) < _FEW and not self._stopping:
                        await self._gather()
                    await self._turn()
                    wait_s, refused = 0.1, 0
                self._group = _GROUP
            except Exception as error:
                # What was done must be remembered: keep it until the database is back.
                log.warning("jobs_not_recorded", queue=self.queue, error=str(error)[:200], retry_in_s=wait_s)
                if is_away(error):
                    self._unsure = True
                else:
                    refused += 1
                    self._isolate(refused, error)
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, 5.0)
                self._hungry = True
                self._wake.set()

    def _isolate(self, refused: int, error: Exception) -> None:
        """The database is there and refuses: find the one job that it refuses, and write of it that it could not be."""
        if refused < _REFUSED_MAX or not self._ended:
            return
        if self._group > 1:
            self._group = 1
            return
        held, ended = self._ended[0]
        log.error("job_not_recordable", job_id=ended.id, error=str(error)[:1000])
        if ended.bare:
            del self._ended[0]  # its lease ends, and the scheduler sees to it
            self._let_go(held)
            return
        bare = Ended(ended.id, ended.fence, ended.attempts, JobState.DEAD, ended.now, ended.started_at, bare=True)
        bare.error = _NOT_RECORDABLE
        self._ended[0] = (held, bare)

    async def _gather(self) -> None:
        """Wait for more: each transaction costs the disk, and those who make jobs have to wait for it."""
        self._news.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), _GATHER_S)

    async def _turn(self, *, claiming: bool = True) -> None:
        ended = self._ended[: self._group]
        wanted = self._wanted() if claiming else 0
        promised = list(self._batches)
        isolated = self._isolation.is_free(self._owner)
        made_until = self._modes.made_until(self.queue)
        known = list(self._held) if self._unsure else None

        def write(connection: Connection) -> tuple[set[str], list[Claim], bool]:
            if known is not None:
                undo_unknown(connection, self.queue, owner=self._owner, known=known, now=now_ms())
            ours = finish(connection, [each for _, each in ended]) if ended else set[str]()
            if not wanted:
                return ours, [], False
            return ours, *self._claim(connection, wanted, isolated, made_until)

        if wanted:
            self._hungry = False  # what comes while this runs makes it true again
        watch = None if tracing.active is None else tracing.Watch()
        async with self._writing:
            ours, claims, more = await self._rt.database.run_write(write, watch)
        if watch is not None:
            jobs = [*(held.claim for held, _ in ended), *claims]
            traced.turn(watch, self.queue, jobs, is_sqlite=self._rt.database.is_sqlite)
        if known is not None:
            self._unsure = False
        del self._ended[: len(ended)]
        for held, each in ended:
            self._let_go(held)
            if each.id not in ours:
                if known is not None:
                    continue  # or it was recorded before, and only the answer lost
                log.warning("claim_lost", job_id=each.id, why="another worker has taken it over")
            elif each.counts and self._note is not None:
                self._note(each, held.claim)
        for item in claims:
            batch = next((each for each in promised if each.unclaimed), None)
            if batch is not None:
                batch.unclaimed -= 1
                batch.running += 1
            held = self._held[item.id] = _Held(item, batch)
            if item.crashes < ISOLATED_FROM or self._isolation.enter(self._owner, item.id):
                self._ready.append(held)
            else:
                self._ended.append((held, given_back(item)))
        if wanted:
            if more:
                self._hungry = True
            elif isolated and self._isolation.is_free(self._owner) and made_until is None:
                # Nothing waits any more: others have run what these entries promised.
                for batch in promised:
                    batch.unclaimed = 0
            for batch in promised:
                batch.settle()
            while self._batches and self._batches[0].unclaimed == 0:
                self._batches.popleft()
        self._start()

    def _claim(
        self, connection: Connection, wanted: int, isolated: bool, made_until: int | None
    ) -> tuple[list[Claim], bool]:
        """Claim, but at most one that has to be isolated; and whether more may wait."""
        now = now_ms()
        made = ANY if made_until is None else made_until
        claims = claim(
            connection, self.queue, owner=self._owner, room=wanted, now=now, isolated=isolated, made_until=made
        )
        more = len(claims) == wanted
        extra = [item for item in claims if item.crashes >= ISOLATED_FROM][1:]
        if extra:
            finish(connection, [given_back(item, enqueued_at=now) for item in extra])
            claims = [item for item in claims if item not in extra]
        return claims, more

    def _let_go(self, held: _Held) -> None:
        self._held.pop(held.claim.id, None)
        if held.claim.crashes >= ISOLATED_FROM and self._isolation.leave(self._owner, held.claim.id):
            self._hungry = True  # the next may come
        if held.batch is not None:
            held.batch.running -= 1
            held.batch.settle()

    # Running.

    def _start(self) -> None:
        while (
            self._ready and len(self._running) < self.slots and not self._stopping and self._modes.may_begin(self.queue)
        ):
            held = self._ready.popleft()
            held.since = time.monotonic()
            held.context = Context(self._rt, held.claim, self._owner, self._flush_quietly)
            self._running.add(held)
            held.task = asyncio.create_task(self._run(held, held.context))

    async def _run(self, held: _Held, context: Context) -> None:
        started, began = now_ms(), time.perf_counter()
        ended: Ended | None
        try:
            ended = await perform(held.claim, context)
        except asyncio.CancelledError:
            ended = self._stopped(held, started)
        took_ms = (time.perf_counter() - began) * 1000
        self._run_ms += (min(took_ms, 10_000.0) - self._run_ms) / 16
        self._running.discard(held)
        if ended is None:
            self._let_go(held)
        else:
            ended.worker = self._owner
            ended.lines = context.lines
            if ended.progress is None and ended.state is not JobState.WAITING:
                ended.progress, ended.progress_text = context.done, ended.progress_text or context.text
            self._ended.append((held, ended))
        self._start()
        self._wake.set()
        if self._hungry or len(self._ended) >= _FEW:
            self._news.set()

    def _stopped(self, held: _Held, started: int) -> Ended | None:
        """What the end of a cancelled run means."""
        if held.why == "asked":
            return cancelled(held.claim, started)
        if held.why == "lost":
            return None  # whoever has it now says what becomes of it
        if held.why == "stop":
            return self._give_back(held.claim)
        return broken_off(held.claim, started)

    def _cancel(self, held: _Held, why: str) -> None:
        held.why = held.why or why
        if held.task is not None:
            held.task.cancel()

    def _hand_back_ready(self, since: float | None = None) -> None:
        """Undo claims that were not begun; with `since`, only what was claimed before it."""
        for held in [held for held in self._ready if since is None or held.since < since]:
            self._ready.remove(held)
            self._ended.append((held, self._give_back(held.claim)))
            self._wake.set()

    def _give_back(self, item: Claim) -> Ended:
        """An undone claim; of a process that stops, which puts it on the queue itself, at once."""
        if not self._stopping:
            return given_back(item)
        self._back.append(item.id)
        return given_back(item, enqueued_at=now_ms())

    # Keeping: leases, requests to cancel, progress and logs, and looking for what no entry told of.

    async def _keep(self) -> None:
        rounds = 0
        while True:
            await asyncio.sleep(_KEEP_S)
            rounds += 1
            try:
                await self._keep_once(rounds)
            except _STORE_DOWN as error:
                log.warning("database_away", queue=self.queue, error=str(error)[:200])

    async def _keep_once(self, rounds: int) -> None:
        now = time.monotonic()
        paused = not self._modes.may_begin(self.queue)
        self._hand_back_ready(None if paused else now - _READY_MAX_S)
        self._start()
        if rounds % _LEASE_EVERY == 0 and self._held:
            await self._renew()
        long = {held.claim.id: held for held in self._running if now - held.since > _CANCEL_AFTER_S}
        if long:
            asked = await self._read(lambda connection: asked_to_stop(connection, list(long)))
            for id_, fence in asked.items():
                if long[id_].claim.fence == fence:
                    self._cancel(long[id_], "asked")
        if rounds % 2 == 0:
            await self._flush()
        if rounds % _PROBE_EVERY == 0 and not self._hungry and not paused and await self._anything_waits():
            self._hungry = True
        if self._hungry:
            self._wake.set()

    async def _anything_waits(self) -> bool:
        found = select(JOB.c.id).where(JOB.c.queue == self.queue, JOB.c.state == JobState.WAITING.value).limit(1)
        return bool(await self._read(lambda connection: connection.execute(found).first()))

    async def _renew(self) -> None:
        ids = list(self._held)
        async with self._writing:
            ours = await self._rt.database.run_write(
                lambda connection: renew(connection, ids, owner=self._owner, now=now_ms())
            )
        for held in list(self._running):
            if held.claim.id in ids and ours.get(held.claim.id) != held.claim.fence:
                log.warning("claim_lost", job_id=held.claim.id, why="another worker has taken it over")
                self._cancel(held, "lost")

    async def _flush(self) -> None:
        """Write what running jobs said of themselves since the last time."""
        moved = [held for held in self._running if held.context is not None and held.context.moved]
        spoke = [held for held in self._running if held.context is not None and held.context.lines]
        if not moved and not spoke:
            return
        progress = {
            held.claim.id: (held.claim.id, held.claim.fence, held.context.done, held.context.text)
            for held in {*moved, *spoke}
            if held.context is not None
        }
        lines = [line for held in spoke if held.context is not None for line in held.context.lines]
        taken = [(held.context, len(held.context.lines)) for held in spoke if held.context is not None]
        for held in moved:
            if held.context is not None:
                held.context.moved = False
        async with self._writing:
            await self._rt.database.run_write(
                lambda connection: write_progress(connection, list(progress.values()), lines)
            )
            for context, count in taken:
                del context.lines[:count]

    async def _flush_quietly(self) -> None:
        """The same for a job: neither the database's trouble nor its own cancellation may come in between."""
        with contextlib.suppress(*_STORE_DOWN):
            await asyncio.shield(self._flush())

    async def _read(self, look: Callable[[Connection], Any]) -> Any:
        async with self._rt.database.read() as session:
            return await (await session.connection()).run_sync(look)

    async def _take_over(self, dead: str) -> None:
        try:
            async with self._writing:
                found = await self._rt.database.run_write(
                    lambda connection: recover(connection, now=now_ms(), owners=[dead], hung=(), keep_place=True)
                )
        except _STORE_DOWN as error:
            log.warning("database_away", queue=self.queue, error=str(error)[:200], then="the scheduler does it")
            return
        if found:
            log.warning("jobs_of_dead_worker", worker=dead, jobs=[(each.id, each.state.value) for each in found])

    async def _enqueue(self, ids: Sequence[str]) -> None:
        if not ids:
            return
        try:
            await self._rt.enqueue(self.queue, RUN_TASK, [ids[at : at + 100] for at in range(0, len(ids), 100)])
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("jobs_not_enqueued", count=len(ids), error=str(error)[:200], then="the scheduler will")
