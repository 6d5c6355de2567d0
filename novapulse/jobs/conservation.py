"""The conservation meter: what was enqueued is waiting, active, delayed, ended or deleted, and nowhere else.

Three things are compared. The counters with each other: what was made against the states, at every look. The counters
with the rows: once a minute by the scheduler, which corrects and reports what differs. The database with Valkey: jobs
that are marked as queued although their entry in the stream is gone; the scheduler hands such jobs out again, so one
that stays missing is a finding.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import time
from typing import Any

import orjson
import structlog
from redis.exceptions import RedisError
from sqlalchemy import Connection, text

from novapulse.core.actor import SYSTEM, Actor, Permission
from novapulse.core.clock import now_ms, rfc3339
from novapulse.core.errors import ForbiddenError
from novapulse.core.queues import oldest_queued_at
from novapulse.core.runtime import Runtime
from novapulse.jobs.counts import QUEUES, STATES, Counted, queue_name, read_counts
from novapulse.jobs.shapes import ConservationView, Conserved, Correction, RepairView
from novapulse.security import audit

_CHECKED = "{np}:conservation"
_CORRECTIONS = "{np}:corrections"
_CORRECTIONS_KEPT = 50
_EVERY_S = 60.0
_SHARE = 50  # a check that took a second is followed by 50 without one
_SLACK_MS = 15_000  # what the scheduler has not handed out again by then is missing
_MISSING_MOST, _IDS_SHOWN = 1_000, 10
_REPAIRED_AT_ONCE = 5_000
_LOCK = 8_113_001  # of Postgres: one who corrects at a time

_DELIVERY_STATE = (
    "CASE status WHEN 'pending' THEN 'waiting' WHEN 'sending' THEN 'active' WHEN 'retrying' THEN 'delayed'"
    " WHEN 'delivered' THEN 'completed' WHEN 'failed' THEN 'dead' ELSE 'cancelled' END"
)
# One statement, so one moment: rows and counters change in the same transactions, and can be compared at any time.
_TRUTH = text(
    f"""
    SELECT 'rows' AS what, queue, state, count(*) AS n FROM job GROUP BY queue, state
    UNION ALL
    SELECT 'rows', 'webhook', {_DELIVERY_STATE}, n
    FROM (SELECT status, count(*) AS n FROM delivery GROUP BY status) AS by_status
    UNION ALL
    SELECT 'count', queue, state, CAST(sum(n) AS BIGINT) FROM queue_count GROUP BY queue, state
    """  # noqa: S608 - our own words
)
_ADD = text("UPDATE queue_count SET n = n + :n WHERE queue = :queue AND state = :state AND shard = 0")
_ADD_ROW = text("INSERT INTO queue_count (queue, state, shard, n) VALUES (:queue, :state, 0, :n)")
# A connection that is gone has left its shard; whoever gets its number next may go on with it.
_FOLD = text(
    """
    WITH gone AS (
        DELETE FROM queue_count WHERE shard <> 0 AND shard NOT IN (SELECT pid FROM pg_stat_activity)
        RETURNING queue, state, n
    )
    INSERT INTO queue_count AS q (queue, state, shard, n)
    SELECT queue, state, 0, sum(n) FROM gone GROUP BY queue, state
    ON CONFLICT (queue, state, shard) DO UPDATE SET n = q.n + EXCLUDED.n
    """
)
_LOST_JOBS = (
    "FROM job WHERE state IN ('waiting', 'active', 'delayed') AND enqueued_at > 0 AND enqueued_at < :before"
    " AND state = 'waiting' AND queue = :queue"
)
_LOST_DELIVERIES = (
    "FROM delivery {by_index} WHERE status IN ('pending', 'sending', 'retrying') AND status <> 'sending'"
    " AND enqueued_at > 0 AND enqueued_at < :before AND next_attempt_at <= :now"
)

log = structlog.get_logger(__name__)


class _Pace:
    """When to check again. Made by `Runtime.part`."""

    def __init__(self, _rt: Runtime) -> None:
        self.next = 0.0


async def reconcile(rt: Runtime) -> None:
    """Compare the counters with the rows, correct and report what differs. By the scheduler, often: it paces itself."""
    pace = rt.part(_Pace)
    if time.monotonic() < pace.next:
        return
    started = time.monotonic()
    try:
        await fold_shards(rt)
        async with rt.database.read() as session:
            off = await (await session.connection()).run_sync(_differences)
    finally:
        # Also of one that failed: what took too long is not begun again at once.
        took_s = time.monotonic() - started
        pace.next = time.monotonic() + max(_EVERY_S, _SHARE * took_s)
    for queue in off:
        await _correct(rt, SYSTEM, queue)
    said = {"at": now_ms(), "ms": round(took_s * 1000, 1), "off": off}
    await rt.valkey.set(_CHECKED, orjson.dumps(said))


async def fold_shards(rt: Runtime) -> None:
    """Postgres: add the counts of connections that are gone to those of all, so that reading stays cheap."""
    if not rt.database.is_sqlite:
        async with rt.database.write() as session:
            await session.execute(_FOLD)


async def conservation(rt: Runtime, actor: Actor) -> ConservationView:
    """The meter of every queue, now."""
    actor.require(Permission.JOBS_READ)
    now = now_ms()
    counts = await read_counts(rt, now)
    checked: dict[str, Any] | None = None
    corrections: list[Correction] = []
    try:
        async with rt.valkey.pipeline(transaction=False) as pipe:
            pipe.get(_CHECKED)
            pipe.lrange(_CORRECTIONS, 0, -1)
            found, said = await pipe.execute()
        checked = orjson.loads(found) if found else None
        corrections = [Correction(**orjson.loads(each)) for each in said]
    except (RedisError, OSError, TimeoutError):
        log.debug("conservation_without_valkey")
    queues = [await _conserved(rt, actor, name, counts[name], checked, now) for name in QUEUES]
    return ConservationView(
        at=rfc3339(now),
        checked_at=rfc3339(checked["at"]) if checked else None,
        check_ms=checked["ms"] if checked else None,
        ok=all(queue.ok for queue in queues),
        queues=queues,
        corrections=corrections,
    )


async def repair(rt: Runtime, actor: Actor, queue: str) -> RepairView:
    """Make the counters what the rows say, and have jobs that Valkey lost handed out again.

    Raises:
        NotFoundError: no such queue.
        ForbiddenError: no permission, or a key of one tenant: a queue is of all.
    """
    actor.require(Permission.JOBS_WRITE)
    if actor.tenant is not None:
        raise ForbiddenError("A queue serves every tenant: only somebody of no tenant may repair its counters.")
    queue = queue_name(queue)
    done = await _correct(rt, actor, queue, lost_before=await _lost_before(rt, queue, now_ms()), drift_too=True)
    now = now_ms()
    counts = await read_counts(rt, now)
    return RepairView(queue=queue, done=done, conservation=await _conserved(rt, actor, queue, counts[queue], None, now))


async def _conserved(
    rt: Runtime, actor: Actor, name: str, counted: Counted, checked: dict[str, Any] | None, now: int
) -> Conserved:
    in_valkey = missing = None
    ids: list[str] = []
    before = await _lost_before(rt, name, now)
    if before is not None:
        in_valkey = await _held(rt, name)
        lost = await _lost_ids(rt, name, before, now)
        missing = len(lost)
        ids = lost[:_IDS_SHOWN] if actor.tenant is None else []
    return Conserved(
        name=name,
        enqueued=counted["enqueued"],
        **{state: counted[state] for state in STATES},
        gone=counted.gone,
        drift=counted.drift,
        counters_off=None if checked is None else checked["off"].get(name, {}),
        in_valkey=in_valkey,
        missing=missing,
        missing_ids=ids,
        ok=counted.drift == 0 and not missing,
    )


async def _held(rt: Runtime, queue: str) -> int:
    async with rt.valkey.pipeline(transaction=False) as pipe:
        pipe.hmget(f"{{np}}:q:{{{queue}}}:n", ["enqueued", "acked"])
        ((enqueued, acked),) = await pipe.execute()
    return max(0, int(enqueued or 0) - int(acked or 0))


async def _lost_before(rt: Runtime, queue: str, now: int) -> int | None:
    """What was queued before that (ms) is not in the stream any more; None: Valkey is away."""
    try:
        return await oldest_queued_at(rt, queue, now) - _SLACK_MS
    except (RedisError, OSError, TimeoutError):
        return None


async def _lost_ids(rt: Runtime, queue: str, before: int, now: int) -> list[str]:
    lost = text(f"SELECT id {_lost(queue, rt.database.is_sqlite)} LIMIT :most")
    values = {"before": before, "now": now, "queue": queue, "most": _MISSING_MOST}
    async with rt.database.read() as session:
        return list((await session.execute(lost, values)).scalars())


def _lost(queue: str, sqlite: bool) -> str:
    """Which rows are marked as queued from before `:before`, and wait."""
    if queue != "webhook":
        return _LOST_JOBS
    # SQLite would rather look at all deliveries of a status.
    return _LOST_DELIVERIES.format(by_index="INDEXED BY ix_delivery_due" if sqlite else "")


def _differences(connection: Connection) -> dict[str, dict[str, int]]:
    """By queue and state, by how much a counter differs from the rows; only what differs."""
    rows: dict[tuple[str, str], int] = {}
    counts: dict[tuple[str, str], int] = {}
    for what, queue, state, n in connection.execute(_TRUTH):
        (rows if what == "rows" else counts)[queue, state] = n
    off: dict[str, dict[str, int]] = {}
    for queue in QUEUES:
        for state in STATES:
            difference = counts.get((queue, state), 0) - rows.get((queue, state), 0)
            if difference:
                off.setdefault(queue, {})[state] = difference
    return off


async def _correct(
    rt: Runtime, actor: Actor, queue: str, *, lost_before: int | None = None, drift_too: bool = False
) -> list[str]:
    """Put right what is wrong with a queue, and report it; what was done, in words."""
    done: list[str] = []
    detail: dict[str, Any] = {}

    def correct(connection: Connection) -> None:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        # Looked at again under the lock: two who correct the same would correct it twice.
        off = _differences(connection).get(queue, {})
        for state, difference in off.items():
            _add(connection, queue, state, -difference)
        if off:
            detail["counters"] = off
            said = ", ".join(f"{state} {difference:+,}" for state, difference in off.items())
            done.append(f"Counters differed from the rows and follow them again: {said}.")
        if drift_too:
            drift = _drift(connection, queue)
            if drift:
                _add(connection, queue, "enqueued", -drift)
                detail["drift"] = drift
                done.append(f"The count of enqueued jobs was off by {drift:+,} and fits the rows again.")
        if lost_before is not None:
            lost = _hand_out_again(connection, queue, lost_before)
            if lost:
                detail["handed_out_again"] = lost
                done.append(f"{lost:,} jobs that Valkey had lost are handed out again.")
        if done:
            action = "queue.corrected" if actor is SYSTEM else "queue.repaired"
            audit.append_on(rt, connection, actor, action, target=("queue", queue, queue), detail=detail)

    await rt.database.run_write(correct)
    if done:
        log.warning("queue_corrected", queue=queue, by=actor.name, **detail)
        said = Correction(at=rfc3339(now_ms()), queue=queue, by=actor.name, text=" ".join(done))
        async with rt.valkey.pipeline(transaction=False) as pipe:
            pipe.lpush(_CORRECTIONS, said.model_dump_json())
            pipe.ltrim(_CORRECTIONS, 0, _CORRECTIONS_KEPT - 1)
            await pipe.execute(raise_on_error=False)
    return done


def _add(connection: Connection, queue: str, state: str, n: int) -> None:
    values = {"queue": queue, "state": state, "n": n}
    if connection.execute(_ADD, values).rowcount == 0:
        connection.execute(_ADD_ROW, values)


def _drift(connection: Connection, queue: str) -> int:
    found = connection.execute(
        text("SELECT state, CAST(sum(n) AS BIGINT) FROM queue_count WHERE queue = :queue GROUP BY state"),
        {"queue": queue},
    )
    return Counted({state: int(n) for state, n in found.all()}, None, "running", "", "", 0).drift


def _hand_out_again(connection: Connection, queue: str, before: int) -> int:
    """Unmark them; the scheduler takes what is not marked. One that is in the stream after all is not run twice."""
    table = "delivery" if queue == "webhook" else "job"
    rows = _lost(queue, connection.dialect.name == "sqlite")
    done = connection.execute(
        text(f"UPDATE {table} SET enqueued_at = 0 WHERE id IN (SELECT id {rows} LIMIT :most)"),  # noqa: S608
        {"before": before, "now": now_ms(), "queue": queue, "most": _REPAIRED_AT_ONCE},
    )
    return done.rowcount
