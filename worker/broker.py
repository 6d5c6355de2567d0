"""One queue on a Redis stream: taskiq-redis's broker with its reading, acknowledging and recovering replaced.

As shipped, a dead worker's jobs wait for traffic, a fixed idle time counts long jobs as dead, entries
are acknowledged but never deleted, and any error of Redis ends the worker. Here:
- a read takes only what there is room for;
- a job belongs to its reader for as long as the reader's heartbeat is there, and is taken over when
  it is gone, also on a quiet stream;
- acknowledging deletes the entry and counts it, atomically;
- errors are survived under the same consumer name, and a lost group is made again.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError
from taskiq import AckableMessage, BrokerMessage
from taskiq_redis import RedisStreamBroker

from novapulse.core.valkey import make_pool
from novapulse.settings import Settings
from worker import keys
from worker.enqueue import make_enqueue, message

__all__ = ["Entry", "QueueBroker", "make_enqueue"]

_BLOCK_MS = 1_000
_SOCKET_TIMEOUT_S = 10.0  # longer than any blocking read
_FULL_WAIT_S = 0.01
_BACKOFF_FIRST_S, _BACKOFF_MAX_S = 0.1, 5.0
_CARE_EVERY_S = 1.0
_TAKEN_AT_ONCE = 20  # entries per take-over, so that one worker does not hoard them
_SPLIT_AFTER = 3  # deliveries of an entry, after which its ids go on one by one
_PARK_AFTER = 10

# KEYS: stream, heartbeat of the owner. ARGV: group, me, owner, count.
# Claims the owner's entries unless it is alive; answers {{id, times delivered, fields}, ...}.
_TAKE_OVER = """
if redis.call('EXISTS', KEYS[2]) == 1 then return {} end
local taken = {}
for _, p in ipairs(redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', ARGV[4], ARGV[3])) do
  local got = redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, p[1])
  if got[1] and got[1][2] then taken[#taken + 1] = {p[1], p[4] + 1, got[1][2]} end
end
return taken
"""
# KEYS: stream, counters. ARGV: group, id, what the job carried. Counts what was really acknowledged.
_ACK = """
local done = redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
redis.call('XDEL', KEYS[1], ARGV[2])
if done == 1 then redis.call('HINCRBY', KEYS[2], 'acked', ARGV[3]) end
return done
"""

log = structlog.get_logger(__name__)


class Entry(AckableMessage):
    """A job as it was read."""

    id: str
    n: int  # what it carries
    takeover_from: str | None = None  # the worker that had it and died


class QueueBroker(RedisStreamBroker):
    """The broker of one queue in one process."""

    def __init__(self, settings: Settings, queue: str, owner: str, room: Callable[[], int]) -> None:
        """`room` tells how many more jobs this process can take now."""
        super().__init__(
            "redis://",  # its own way to connect knows neither Sentinels nor one slot of a Cluster
            queue_name=keys.stream(queue),
            consumer_group_name=keys.GROUP,
            consumer_name=owner,
            consumer_id="0",
        )
        self.connection_pool = make_pool(  # pyright: ignore[reportAttributeAccessIssue] - one that makes nobody wait
            settings.valkey, socket_timeout=_SOCKET_TIMEOUT_S, socket_connect_timeout=3, health_check_interval=15
        )
        self.queue = queue
        self._room = room
        self._heartbeat_ttl_s = settings.heartbeat_ttl_s
        self._redis: Redis = Redis(connection_pool=self.connection_pool)
        self.ending: asyncio.Event | None = None  # set: `listen` is to end
        self._reading: set[str] = set()  # entries that were yielded and not acknowledged
        self._missing: dict[str, float] = {}  # consumer -> since when its heartbeat is gone
        self._lost_replies = False  # a read may have been answered into a broken connection
        self._take_over_script = self._redis.register_script(_TAKE_OVER)
        self._ack_script = self._redis.register_script(_ACK)

    async def kick(self, message: BrokerMessage) -> None:
        """Put a job on the queue, as `Enqueuer` does."""
        n = int(message.labels.get("n", 1))
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.xadd(self.queue_name, {"data": message.message, "n": n})
            pipe.hincrby(keys.counters(self.queue), "enqueued", n)
            await pipe.execute()

    async def startup(self) -> None:
        """Nothing may fail here: the group is made when it is found missing."""
        self.is_worker_process = True

    async def listen(self) -> AsyncGenerator[AckableMessage, None]:
        """Jobs, as long as there is room, until `ending` is set.

        Whoever stops cancels it as well. But Python 3.11's `asyncio.wait_for`, by which redis-py sends, loses a
        cancellation that comes at the moment it is done (https://github.com/python/cpython/issues/86296): without the
        event, a quiet queue would be listened to for ever then.
        """
        wait_s = _BACKOFF_FIRST_S
        next_care = 0.0
        while self.ending is None or not self.ending.is_set():
            try:
                if time.monotonic() >= next_care:
                    next_care = time.monotonic() + _CARE_EVERY_S
                    for entry in [*await self._regain(), *await self._take_over()]:
                        yield entry
                room = self._room()
                if room <= 0:
                    await asyncio.sleep(_FULL_WAIT_S)
                    continue
                for entry in await self._read(room):
                    yield entry
                wait_s = _BACKOFF_FIRST_S
            except ResponseError as error:
                if "NOGROUP" not in str(error) and "no such key" not in str(error):
                    log.error("queue_not_readable", queue=self.queue, error=str(error)[:200])
                    await asyncio.sleep(_BACKOFF_MAX_S)
                await self._make_group()
            except (RedisError, OSError, TimeoutError) as error:
                self._lost_replies = True
                log.warning("valkey_away", queue=self.queue, error=str(error)[:200], retry_in_s=wait_s)
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, _BACKOFF_MAX_S)

    async def park(self, entry: Entry, reason: str) -> None:
        """Put an entry aside for people to look at, and out of the way."""
        log.error("job_parked", queue=self.queue, entry=entry.id, reason=reason)
        try:
            await self._redis.xadd(
                keys.parked(self.queue), {"data": entry.data, "reason": reason, "entry": entry.id}, maxlen=10_000
            )
        except (RedisError, OSError):
            return  # not acknowledged: it comes back
        await self.finish(entry)

    async def finish(self, entry: Entry) -> None:
        """Acknowledge, delete and count; while Valkey is away, again until it is back."""
        wait_s = _BACKOFF_FIRST_S
        while True:
            try:
                await self._ack_script(
                    keys=[self.queue_name, keys.counters(self.queue)],
                    args=[self.consumer_group_name, entry.id, entry.n],
                )
                break
            except ResponseError:
                break  # the stream is not one any more: nothing to acknowledge
            except (RedisError, OSError, TimeoutError):
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, _BACKOFF_MAX_S)
        self._reading.discard(entry.id)

    async def _read(self, room: int) -> list[Entry]:
        answer: Any = await self._redis.xreadgroup(
            self.consumer_group_name, self.consumer_name, {self.queue_name: ">"}, block=_BLOCK_MS, count=room
        )
        return [self._entry(id_, fields) for _, found in answer or [] for id_, fields in found]

    async def _regain(self) -> list[Entry]:
        """Entries that are ours and never reached us, because the connection broke under the answer."""
        if not self._lost_replies:
            return []
        answer: Any = await self._redis.xreadgroup(
            self.consumer_group_name, self.consumer_name, {self.queue_name: "0"}, count=100
        )
        self._lost_replies = False
        found = [pair for _, entries in answer or [] for pair in entries]
        return [self._entry(id_, fields) for id_, fields in found if fields and id_.decode() not in self._reading]

    async def _take_over(self) -> list[Entry]:
        """Jobs of workers whose heartbeat has been gone for a while."""
        consumers: Any = await self._redis.xinfo_consumers(self.queue_name, self.consumer_group_name)
        now = time.monotonic()
        missing: dict[str, float] = {}
        taken: list[Entry] = []
        for consumer in consumers:
            name = consumer["name"].decode()
            if name == self.consumer_name or await self._redis.exists(keys.worker(name)):
                continue
            missing[name] = since = self._missing.get(name, now)
            # Not at first sight: after Valkey itself was away, the living need a moment to be seen again.
            if now - since < self._heartbeat_ttl_s / 2:
                continue
            if consumer["pending"] == 0:
                await self._redis.xgroup_delconsumer(self.queue_name, self.consumer_group_name, name)
            elif self._room() > 0:
                taken += await self._take_from(name)
        self._missing = missing
        return taken

    async def _take_from(self, owner: str) -> list[Entry]:
        rows: Any = await self._take_over_script(
            keys=[self.queue_name, keys.worker(owner)],
            args=[self.consumer_group_name, self.consumer_name, owner, max(1, min(_TAKEN_AT_ONCE, self._room()))],
        )
        entries: list[Entry] = []
        for id_, times, flat in rows:
            entry = self._entry(id_, dict(zip(flat[::2], flat[1::2], strict=True)), owner)
            if times > _PARK_AFTER:
                await self.park(entry, f"its worker died {times - 1} times")
            elif times > _SPLIT_AFTER and await self._split(entry):
                continue
            else:
                entries.append(entry)
        if entries:
            log.warning("jobs_taken_over", queue=self.queue, from_worker=owner, jobs=len(entries))
        return entries

    async def _split(self, entry: Entry) -> bool:
        """One job per id, so that an id that kills its worker takes no others with it."""
        try:
            parsed = self.formatter.loads(entry.data)
            ids: list[str] = parsed.args[0]
        except (ValueError, IndexError, TypeError):
            return False
        if len(ids) < 2:
            return False
        async with self._redis.pipeline(transaction=True) as pipe:
            for id_ in ids:
                pipe.xadd(self.queue_name, {"data": message(parsed.task_name, [id_]), "n": 1})
            pipe.hincrby(keys.counters(self.queue), "enqueued", len(ids))
            await pipe.execute()
        await self.finish(entry)
        return True

    async def _make_group(self) -> None:
        try:
            await self._redis.xgroup_create(self.queue_name, self.consumer_group_name, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                log.error("queue_not_usable", queue=self.queue, error=str(error)[:200])
                await asyncio.sleep(_BACKOFF_MAX_S)
        except (RedisError, OSError, TimeoutError):
            await asyncio.sleep(_BACKOFF_FIRST_S)

    def _entry(self, id_: bytes, fields: dict[bytes, bytes], takeover_from: str | None = None) -> Entry:
        name = id_.decode()
        self._reading.add(name)
        carried = fields.get(b"n", b"1")
        n = int(carried) if carried.isdigit() else 1
        entry = Entry(data=fields.get(b"data", b""), ack=_no_ack, id=name, n=n, takeover_from=takeover_from)
        return entry


async def _no_ack() -> None:
    """The receiver calls `finish` itself, with the entry in hand."""
