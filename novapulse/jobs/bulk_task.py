"""The job that does a bulk action: step by step, throttled, with a canary if asked for."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import orjson
from redis.exceptions import RedisError
from sqlalchemy import Connection, insert, select, update

from novapulse.core.clock import now_ms
from novapulse.core.database import table_of
from novapulse.core.runtime import Runtime
from novapulse.jobs import acts
from novapulse.jobs.acts import BULK, UNDO_MS
from novapulse.jobs.bulk import BULK_TASK, BulkPayload, steps_of
from novapulse.jobs.enqueue import JOB, kick
from novapulse.jobs.listing import UNDO
from novapulse.jobs.models import OPEN_STATES, JobBulk, JobState
from novapulse.jobs.selecting import DELIVERY, STATE_OF, STATUS_OF, WINDOW, Branch, key_of
from novapulse.jobs.tasks import TASKS, JobContext, PutOff, task
from novapulse.webhooks import deliveries
from novapulse.webhooks.ingest import enqueue_deliveries

_BULK = table_of(JobBulk)
_b = _BULK.c
_STEP = 200
_WATCH_S = 1.0
_LOOK_UP = 500  # ids in one statement
_NUMBERS = ("cursor", "seen", "touched", "skipped", "succeeded", "failures", "batch_at")


@dataclass(slots=True)
class _Place:
    """How far it is, as the database knows."""

    cursor: str = "0:"  # branch and key
    seen: int = 0
    touched: int = 0
    skipped: int = 0
    succeeded: int = 0
    failures: int = 0
    batch: dict[str, int] = field(default_factory=dict[str, int])
    batch_at: int = 0

    @property
    def branch(self) -> int:
        return int(self.cursor.partition(":")[0])

    @property
    def above(self) -> str:
        return self.cursor.partition(":")[2]

    def numbers(self) -> dict[str, int]:
        return {
            "touched": self.touched,
            "skipped": self.skipped,
            "succeeded": self.succeeded,
            "failures": self.failures,
        }


@task(
    BULK_TASK,
    queue="workflow",
    payload=BulkPayload,
    max_attempts=10,
    timeout_s=24 * 3600.0,
    needs=BulkPayload.needs,
)
async def run_bulk(job: JobContext, payload: BulkPayload) -> dict[str, Any]:
    """Retries, cancels or discards all jobs that a filter finds."""
    rt = job.rt
    if payload.action == "undo":
        await _await_end(rt, payload.of)
    place = await _load(rt, job.id)
    steps = steps_of(payload)
    while True:
        if place.batch:
            place = await _await_batch(job, payload, place)
            if why := _stops(payload, place):
                await job.log(why, "warning")
                return {"stopped": why, **place.numbers()}
        if place.branch >= len(steps):
            if payload.action == "cancel":
                await _bound_undo(rt, job.id)
            await job.log(f"Done: {_words(payload, place)}.")
            return {"stopped": None, **place.numbers()}
        place = await _step(job, payload, place, steps)
        _tell(job, payload, place)


async def _step(job: JobContext, payload: BulkPayload, place: _Place, steps: Sequence[Branch]) -> _Place:
    """Look at the next few, and do it to them; the place after it."""
    rt, branch, size = job.rt, steps[place.branch], _size(payload, place)
    columns = [branch.id.label("id")]
    async with rt.database.read() as session:
        found = branch.rows(columns, limit=size, window=WINDOW, below=None, above=place.above)
        ids = list((await session.execute(found)).scalars())
        if len(ids) == size:
            cursor = f"{place.branch}:{key_of(ids[-1])}"
        else:
            end = branch.last_of_window(window=WINDOW, below=None, above=place.above)
            last = (await session.execute(end)).scalar_one_or_none() if branch.others else None
            cursor = f"{place.branch}:{key_of(last)}" if last else f"{place.branch + 1}:"

    def act(connection: Connection) -> tuple[list[tuple[str, str]], _Place]:
        done = _act(connection, branch, ids, payload, job) if ids else []
        after = replace(
            place,
            cursor=cursor,
            seen=place.seen + len(ids),
            touched=place.touched + len(done),
            skipped=place.skipped + len(ids) - len(done),
            batch=_attempts(connection, branch, [id_ for id_, _ in done]) if payload.canary else {},
            batch_at=now_ms(),
        )
        if not _keep(connection, job.id, place, after):
            raise RuntimeError("this bulk action goes on elsewhere")
        return done, after

    done, after = await rt.database.run_write(act)
    if payload.action in ("retry", "undo"):
        await _enqueue(rt, branch, done)
    await asyncio.sleep(len(done) / payload.per_s)
    return after


def _act(
    connection: Connection, branch: Branch, ids: Sequence[str], payload: BulkPayload, job: JobContext
) -> list[tuple[str, str]]:
    """Do it; the ids it was done to, and their queues."""
    now, by = now_ms(), f"{job.created_by} (bulk {job.id})"
    if payload.action == "undo":
        return _take_back(connection, branch, ids, payload, by)
    if branch.kind == "dlv":
        if payload.action == "retry":
            statuses = [STATUS_OF[JobState(state)].value for state in payload.states]
            moved = deliveries.retry_on(connection, ids, statuses, now=now, by=job.created_by)
        else:
            was = deliveries.as_they_were(connection, ids)
            moved = deliveries.cancel_on(connection, ids, now=now, by=job.created_by)
            acts.remember_bulk(connection, job.id, {id_: was[id_] for id_ in moved}, now=now)
        return [(id_, "webhook") for id_ in moved]
    ids = [id_ for id_ in ids if id_ != job.id]  # not this very job
    j = JOB.c
    queues = {row.id: row.queue for row in connection.execute(select(j.id, j.queue).where(j.id.in_(ids)))}
    if payload.action == "retry":
        if payload.lacks:
            ids = _allowed(connection, ids, payload)
        moved = acts.retry_on(connection, ids, payload.states, now=now, by=by)
    elif payload.action == "cancel":
        was = acts.as_they_were(connection, ids)
        called_off, stopping = acts.cancel_on(connection, ids, now=now, by=by)
        acts.remember_bulk(connection, job.id, {id_: was[id_] for id_ in called_off}, now=now)
        moved = [*called_off, *stopping]
    else:
        moved = acts.discard_on(connection, ids, payload.states)
    return [(id_, queues[id_]) for id_ in moved]


def _take_back(
    connection: Connection, branch: Branch, ids: Sequence[str], payload: BulkPayload, by: str
) -> list[tuple[str, str]]:
    called_off = acts.recall_bulk(connection, payload.of, ids)
    if branch.kind == "dlv":
        return [(id_, "webhook") for id_ in deliveries.restore_on(connection, called_off)]
    back = acts.restore_on(connection, called_off, now=now_ms(), by=by)
    j = JOB.c
    return [(row.id, row.queue) for row in connection.execute(select(j.id, j.queue).where(j.id.in_(back)))]


def _allowed(connection: Connection, ids: Sequence[str], payload: BulkPayload) -> list[str]:
    """Those that whoever asked may have run."""
    lacks, j = set(payload.lacks), JOB.c
    guarded = [name for name, each in TASKS.items() if each.needs]
    found = connection.execute(select(j.id, j.task, j.payload).where(j.id.in_(ids), j.task.in_(guarded)))
    refused = {row.id for row in found if lacks & TASKS[row.task].needs_of(row.payload)}
    return [id_ for id_ in ids if id_ not in refused]


async def _await_end(rt: Runtime, job_id: str) -> None:
    """See that the bulk cancel that is taken back has stopped; come back later while it has not.

    Raises:
        PutOff: it has to be waited for.
    """
    async with rt.database.read() as session:
        state = (await session.execute(select(JOB.c.state).where(JOB.c.id == job_id))).scalar_one_or_none()
    if state in [each.value for each in OPEN_STATES]:
        raise PutOff("waits until what it takes back has stopped", 0.5)


async def _bound_undo(rt: Runtime, job_id: str) -> None:
    """All is done: from now on it can be taken back for ten seconds."""
    u = UNDO.c
    left = update(UNDO).where(u.job_id == job_id, u.act == "cancel", u.was.contains(f'"{BULK}"'))
    await rt.database.run_write(lambda connection: connection.execute(left.values(until=now_ms() + UNDO_MS)))


async def _enqueue(rt: Runtime, branch: Branch, done: Sequence[tuple[str, str]]) -> None:
    if branch.kind == "dlv":
        with contextlib.suppress(RedisError, OSError, TimeoutError):  # the scheduler finds them in the database
            await enqueue_deliveries(rt, [id_ for id_, _ in done])
        return
    for queue in sorted({queue for _, queue in done}):
        await kick(rt, queue, [id_ for id_, each in done if each == queue])


async def _await_batch(job: JobContext, payload: BulkPayload, place: _Place) -> _Place:
    """See what became of the batch, and the place after it; come back later while some of it is still at work.

    Raises:
        PutOff: it has to be waited for.
    """
    assert payload.canary is not None
    good, bad, open_ = await _outcomes(job.rt, place.batch)
    if open_ and now_ms() - place.batch_at < payload.canary.wait_s * 1000:
        _tell(job, payload, place)
        raise PutOff(f"{_words(payload, place)}; waiting for {open_} of a batch of {len(place.batch)}", _WATCH_S)
    if open_:
        await job.log(f"{open_} were not over after {payload.canary.wait_s} s: they count as failed.", "warning")
    await job.log(f"Of a batch, {good} succeeded and {bad + open_} failed.")
    after = replace(place, succeeded=place.succeeded + good, failures=place.failures + bad + open_, batch={})
    await job.rt.database.run_write(lambda connection: _keep(connection, job.id, place, after))
    return after


def _stops(payload: BulkPayload, place: _Place) -> str | None:
    """Why it does not go on."""
    canary = payload.canary
    if canary is None or not place.failures:
        return None
    if place.touched <= canary.first:
        return f"Stopped: of the first {place.touched}, {place.failures} failed again."
    if place.failures >= canary.max_failures:
        return f"Stopped after {place.failures} new failures: {_words(payload, place)}."
    return None


async def _outcomes(rt: Runtime, batch: dict[str, int]) -> tuple[int, int, int]:
    """How many ended well, failed again, and are still at work."""
    states: dict[str, tuple[str, int]] = {}
    j, d = JOB.c, DELIVERY.c
    async with rt.database.read() as session:
        for at in range(0, len(batch), _LOOK_UP):
            ids = list(batch)[at : at + _LOOK_UP]
            jobs = await session.execute(select(j.id, j.state, j.attempts).where(j.id.in_(ids)))
            states |= {row.id: (row.state, row.attempts) for row in jobs}
            sent = await session.execute(select(d.id, d.status, d.attempts).where(d.id.in_(ids)))
            states |= {row.id: (STATE_OF[row.status], row.attempts) for row in sent}
    good = bad = open_ = 0
    for id_, attempts in batch.items():
        state, now = states.get(id_, (JobState.CANCELLED.value, attempts))
        if state == JobState.COMPLETED:
            good += 1
        elif state in (JobState.DEAD, JobState.CANCELLED) or (state == JobState.DELAYED and now > attempts):
            bad += 1
        else:
            open_ += 1
    return good, bad, open_


def _attempts(connection: Connection, branch: Branch, ids: Sequence[str]) -> dict[str, int]:
    c = branch.table.c
    return {row.id: row.attempts for row in connection.execute(select(c.id, c.attempts).where(c.id.in_(ids)))}


def _size(payload: BulkPayload, place: _Place) -> int:
    if payload.canary is None:
        return max(1, min(_STEP, payload.per_s))
    return payload.canary.batch if place.succeeded else payload.canary.first


def _keep(connection: Connection, job_id: str, before: _Place, after: _Place) -> bool:
    """Write where it is, unless another worker has taken it on since."""
    values = {name: getattr(after, name) for name in _NUMBERS} | {"batch": orjson.dumps(after.batch).decode()}
    held = update(_BULK).where(_b.job_id == job_id, _b.cursor == before.cursor).values(values)
    return connection.execute(held).rowcount == 1


async def _load(rt: Runtime, job_id: str) -> _Place:
    def load(connection: Connection) -> Any:
        found = connection.execute(select(_BULK).where(_b.job_id == job_id)).one_or_none()
        if found is None:
            new = asdict(_Place()) | {"batch": "{}"}
            connection.execute(insert(_BULK).values(new | {"job_id": job_id}))
        return found

    row = await rt.database.run_write(load)
    if row is None:
        return _Place()
    return _Place(batch=orjson.loads(row.batch), **{name: getattr(row, name) for name in _NUMBERS})


def _tell(job: JobContext, payload: BulkPayload, place: _Place) -> None:
    job.progress(place.seen / max(payload.expected, place.seen, 1), _words(payload, place))


def _words(payload: BulkPayload, place: _Place) -> str:
    done = {"retry": "retried", "cancel": "cancelled or stopped", "discard": "discarded", "undo": "taken back"}[
        payload.action
    ]
    words = f"{place.touched:,} of {max(payload.expected, place.seen):,} {done}"
    if place.skipped:
        words += f", {place.skipped:,} left alone (changed meanwhile, or not theirs)"
    if payload.canary is not None:
        words += f", {place.succeeded:,} succeeded, {place.failures:,} failed again"
    return words
