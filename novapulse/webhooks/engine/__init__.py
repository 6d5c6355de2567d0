"""The delivery engine of one worker process: claims, paces, sends, records.

A batch is only how ids travel. Each delivery goes its own way from the moment it is claimed, so
that a slow receiver delays its own deliveries and nobody else's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from novapulse.core import tracing
from novapulse.core.clock import now_ms
from novapulse.core.runtime import Runtime
from novapulse.core.version import VERSION
from novapulse.metrics.definitions import CIRCUITS_OPEN
from novapulse.metrics.keeper import Keeper
from novapulse.webhooks import traced
from novapulse.webhooks.engine.claim import LEASE_MS, Claim, claim, claim_head, give_back, release_next, renew
from novapulse.webhooks.engine.pace import Pace
from novapulse.webhooks.engine.rate import RateLimits
from novapulse.webhooks.engine.record import Recorder, Result
from novapulse.webhooks.engine.request import build_headers, loggable
from novapulse.webhooks.engine.targets import Target, Targets
from novapulse.webhooks.guard import Guard
from novapulse.webhooks.outcome import ErrorCode, Outcome
from novapulse.webhooks.sender import Sender

_CRASHES_MAX = 5  # a delivery whose claims end with the worker's death so often is not tried like that again
_PIPELINE = 500  # deliveries claimed ahead of those being sent, so that the senders never run dry
_PAUSED = "Waits until the queue goes on."
_STORE_DOWN = (SQLAlchemyError, OSError, TimeoutError)

T = TypeVar("T")
log = structlog.get_logger(__name__)


class _Batch:
    """Ids that came together; done when each is recorded or given back."""

    def __init__(self, size: int) -> None:
        self.left = size
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def finish_one(self) -> None:
        self.left -= 1
        if self.left == 0 and not self.done.done():
            self.done.set_result(None)


class Engine:
    """Sends what it is handed, and knows when it is full."""

    def __init__(self, rt: Runtime, owner: str, may_begin: Callable[[], bool] = lambda: True) -> None:
        """`owner` names this process in claims; it is the name under which its heartbeat is seen.

        While `may_begin` says no, because the queue is paused, nothing is sent that was not begun before.
        """
        self._rt = rt
        self._owner = owner
        self._may_begin = may_begin
        self._targets = Targets(rt.keyring)
        self._rates = RateLimits(rt.valkey)
        self._sender = Sender(
            Guard(rt.settings.allow_private_networks, rt.settings.allowed_ports), user_agent=f"NovaPulse/{VERSION}"
        )
        self._recorder = Recorder(rt, owner, self._on_recorded)
        self._slots = asyncio.Semaphore(rt.settings.worker_concurrency)
        self._paces: dict[str, Pace] = {}
        self._held: dict[str, tuple[Claim, _Batch | None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._lanes: dict[str, asyncio.Task[None]] = {}
        self._lane_again: set[str] = set()
        self._lane_waits: dict[str, asyncio.Future[Result]] = {}
        self._claiming = 0  # ids that were handed in and are not claimed yet
        self._entering = 0  # calls of `deliver` whose claims are not all begun or given back yet
        self._none_enters = asyncio.Event()
        self._none_enters.set()
        self._stopping = False
        self._keeper: asyncio.Task[None] | None = None
        rt.part(Keeper).watch(self._count_circuits)

    @property
    def in_flight(self) -> int:
        """Deliveries that are claimed and not yet recorded."""
        return len(self._held)

    def free_slots(self) -> int:
        """How many more deliveries this process may claim."""
        if self._stopping:
            return 0
        return max(0, self._rt.settings.worker_concurrency + _PIPELINE - len(self._held) - self._claiming)

    async def deliver(self, ids: Sequence[str], *, takeover_from: str | None = None) -> None:
        """Claim what is due of `ids` and see each to its record, or back into the database."""
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep_leases())
        self._entering += 1
        self._none_enters.clear()
        try:
            batch = await self._enter(ids, takeover_from)
        finally:
            self._entering -= 1
            if not self._entering:
                self._none_enters.set()
        if batch is not None:
            await batch.done

    async def _enter(self, ids: Sequence[str], takeover_from: str | None) -> _Batch | None:
        # What is being sent here already must keep its claim: a newer one would fence its own result off.
        ids = [id_ for id_ in ids if id_ not in self._held]
        self._claiming += len(ids)
        try:
            watch = None if tracing.active is None else tracing.Watch()
            claimed = await self._persist(lambda connection: self._claim(connection, ids, takeover_from), watch=watch)
        finally:
            self._claiming -= len(ids)
        if not claimed:
            return None
        claims, targets = claimed
        if not claims:
            return None
        if watch is not None:
            traced.claimed(watch, claims, is_sqlite=self._rt.database.is_sqlite)
        batch = _Batch(len(claims))
        for item in claims:
            self._held[item.id] = (item, batch)
        by_webhook: dict[str, list[Claim]] = {}
        for item in claims:
            by_webhook.setdefault(item.webhook_id, []).append(item)
        back: list[tuple[Claim, int | None, str | None]] = []
        for webhook_id, own in by_webhook.items():
            target = targets.get(webhook_id)
            if self._stopping:
                back.extend((item, now_ms(), None) for item in own)
            elif target is None or not target.active:
                back.extend((item, None, "Waits until the webhook is active again.") for item in own)
            elif not self._may_begin():
                back.extend((item, now_ms(), _PAUSED) for item in own)
            elif target.ordered:
                back.extend((item, None, "Waits for the deliveries before it.") for item in own)
            else:
                back.extend(await self._admit(target, own))
        await self._give_back(back)
        for webhook_id in by_webhook:
            target = targets.get(webhook_id)
            if target is not None and target.active and target.ordered and not self._stopping:
                self._run_lane(webhook_id)
        return batch

    async def stop(self, grace_s: float) -> None:
        """Finish what is being sent within `grace_s`, give back the rest; an interrupted try is no attempt."""
        self._stopping = True
        # What is being claimed at this moment must not come after the end: nobody would begin it or give it back.
        with suppress(TimeoutError):
            await asyncio.wait_for(self._none_enters.wait(), grace_s)
        now = now_ms()
        await self._give_back([(item, now, None) for pace in self._paces.values() for item in _drain(pace)])
        running = [*self._tasks, *self._lanes.values()]
        if running:
            await asyncio.wait(running, timeout=grace_s)
        for task in [*self._tasks, *self._lanes.values()]:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._lanes.values(), return_exceptions=True)
        try:
            await asyncio.wait_for(self._recorder.flush(), max(1.0, grace_s))
        except TimeoutError:
            log.error("attempts_lost", count=len(self._held), why="the database did not answer in time")
        await self._give_back([(item, now, None) for item, _ in list(self._held.values())], once=True)
        if self._keeper is not None:
            self._keeper.cancel()
        await self._sender.close()

    def _claim(
        self, connection: Connection, ids: Sequence[str], takeover_from: str | None
    ) -> tuple[list[Claim], dict[str, Target]]:
        now = now_ms()
        claims = claim(connection, ids, owner=self._owner, takeover_from=takeover_from, now=now)
        return claims, self._targets.load(connection, {item.webhook_id for item in claims}, now)

    async def _admit(self, target: Target, claims: list[Claim]) -> list[tuple[Claim, int | None, str | None]]:
        """Start or queue what there is room for; what is to be put off comes back, with when and why."""
        pace = self._pace(target.id)
        now = now_ms()
        back: list[tuple[Claim, int | None, str | None]] = []
        room = len(claims)
        if target.rate_limit is not None:
            room, wait_ms = await self._rates.take(target.id, target.rate_limit, len(claims))
            step = 1000 / target.rate_limit
            first = max(now + wait_ms, pace.put_off_until if pace.put_off_until > now else 0)
            for place, item in enumerate(claims[room:]):
                pace.put_off_until = round(first + (place + 1) * step)
                back.append(
                    (item, pace.put_off_until, f"The webhook's rate limit is {target.rate_limit:g} per second.")
                )
        for item in claims[:room]:
            if item.crashes >= _CRASHES_MAX:
                self._record(Result(item, target, _crashed(now), {}))
            elif pace.is_open(now):
                back.append((item, pace.put_off(now), "The receiver does not answer; tried again shortly."))
            elif pace.may_start():
                self._start(item, target, pace)
            elif pace.may_wait():
                pace.waiting.append(item)
            else:
                back.append((item, pace.put_off(now), "The receiver is slow; waits for its turn."))
        return back

    def _count_circuits(self) -> None:
        now = now_ms()
        CIRCUITS_OPEN.set(sum(pace.is_open(now) for pace in self._paces.values()))

    def _pace(self, webhook_id: str) -> Pace:
        pace = self._paces.get(webhook_id)
        if pace is None:
            pace = self._paces[webhook_id] = Pace(self._rt.settings.webhook_concurrency)
        return pace

    def _start(self, item: Claim, target: Target, pace: Pace) -> None:
        pace.running += 1
        task = asyncio.create_task(self._send_one_by_one(item, target, pace))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send_one_by_one(self, first: Claim, target: Target, pace: Pace) -> None:
        """Send `first`, then what waits for the same webhook, as long as its pace allows."""
        item: Claim | None = first
        while item is not None:
            try:
                async with self._slots:
                    await self._recorder.room()
                    outcome = None
                    if self._may_begin():
                        headers = build_headers(item, target)
                        outcome = await self._sender.post(target.url, item.body, headers, target.timeout_s)
                        self._record(Result(item, target, outcome, loggable(headers, target)))
            finally:
                pace.running -= 1
            if outcome is None:
                # What waits behind it goes back as well, in one transaction.
                await self._give_back([(each, now_ms(), _PAUSED) for each in (item, *_drain(pace))])
                return
            pace.learn(outcome, now_ms())
            item = None
            if pace.waiting and pace.may_start() and not self._stopping:
                item = pace.waiting.popleft()
                pace.running += 1
            while pace.waiting and pace.may_start() and not self._stopping:
                self._start(pace.waiting.popleft(), target, pace)

    def _record(self, result: Result) -> None:
        self._recorder.add(result)

    def _on_recorded(self, result: Result) -> None:
        if not result.recorded:
            log.warning("claim_lost", delivery_id=result.claim.id, why="another worker has taken it over")
        self._let_go(result.claim)
        waiter = self._lane_waits.pop(result.claim.id, None)
        if waiter is not None and not waiter.done():
            waiter.set_result(result)

    def _let_go(self, item: Claim) -> None:
        held = self._held.pop(item.id, None)
        if held is not None and held[1] is not None:
            held[1].finish_one()

    async def _give_back(self, back: Sequence[tuple[Claim, int | None, str | None]], *, once: bool = False) -> None:
        if not back:
            return

        def write(connection: Connection) -> None:
            for reason in {why for _, _, why in back}:
                own = [(item, at) for item, at, why in back if why == reason]
                give_back(
                    connection, [i for i, _ in own], owner=self._owner, until=[at for _, at in own], reason=reason
                )

        await self._persist(write, once=once)
        for item, _, _ in back:
            self._let_go(item)

    # Ordered webhooks: one delivery at a time, oldest first, by one lane per process; the claim of
    # the head, which fails while another process sends it, makes it one lane per deployment.

    def _run_lane(self, webhook_id: str) -> None:
        if webhook_id in self._lanes:
            self._lane_again.add(webhook_id)
            return
        task = self._lanes[webhook_id] = asyncio.create_task(self._lane(webhook_id))
        task.add_done_callback(lambda _: self._lanes.pop(webhook_id, None))

    async def _lane(self, webhook_id: str) -> None:
        while not self._stopping and self._may_begin():
            self._lane_again.discard(webhook_id)
            watch = None if tracing.active is None else tracing.Watch()
            found = await self._persist(lambda connection: self._claim_head(connection, webhook_id), watch=watch)
            if found is None:
                if webhook_id in self._lane_again:
                    continue
                return
            item, target = found
            if watch is not None:
                traced.claimed(watch, [item], is_sqlite=self._rt.database.is_sqlite)
            self._held[item.id] = (item, None)
            if target is None or not target.active:
                await self._give_back([(item, None, "Waits until the webhook is active again.")])
                return
            if not await self._send_in_order(item, target):
                return
        # The next is held, and whoever goes on has to find it due.
        await self._persist(lambda connection: release_next(connection, webhook_id, now=now_ms()), once=True)

    def _claim_head(self, connection: Connection, webhook_id: str) -> tuple[Claim, Target | None] | None:
        now = now_ms()
        item = claim_head(connection, webhook_id, owner=self._owner, now=now)
        if item is None:
            return None
        return item, self._targets.load(connection, [webhook_id], now).get(webhook_id)

    async def _send_in_order(self, item: Claim, target: Target) -> bool:
        """Send one; True if it ended, so that the next may go."""
        if target.rate_limit is not None:
            while (await self._rates.take(target.id, target.rate_limit, 1))[0] == 0:  # noqa: ASYNC110 - elsewhere counted
                await asyncio.sleep(1 / target.rate_limit)
        recorded: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._lane_waits[item.id] = recorded
        if item.crashes >= _CRASHES_MAX:
            self._record(Result(item, target, _crashed(now_ms()), {}))
        else:
            async with self._slots:
                headers = build_headers(item, target)
                outcome = await self._sender.post(target.url, item.body, headers, target.timeout_s)
            self._record(Result(item, target, outcome, loggable(headers, target)))
        result = await recorded
        return result.recorded and result.next_attempt_at is None

    async def _keep_leases(self) -> None:
        while True:
            await asyncio.sleep(LEASE_MS / 3000)
            ids = list(self._held)
            if ids:
                await self._persist(lambda connection: renew(connection, ids, owner=self._owner, now=now_ms()))  # noqa: B023

    async def _persist(
        self, write: Callable[[Connection], T], *, once: bool = False, watch: tracing.Watch | None = None
    ) -> T | None:
        """Run `write` in a transaction; while the database is away, again until it is back."""
        wait_s = 0.1
        while True:
            try:
                return await self._rt.database.run_write(write, watch)
            except _STORE_DOWN as error:
                log.warning("database_away", error=str(error)[:200], retry_in_s=wait_s)
                if once or self._stopping:
                    return None
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, 5.0)


def _drain(pace: Pace) -> list[Claim]:
    items = list(pace.waiting)
    pace.waiting.clear()
    return items


def _crashed(now: int) -> Outcome:
    return Outcome(
        started_at=now,
        duration_ms=0.0,
        error=ErrorCode.CRASH,
        error_detail=f"The worker died {_CRASHES_MAX} times while it had this delivery.",
    )
