"""The counts of queues are what the rows say, whatever happens to jobs and deliveries; else it is found and mended."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import text

from novapulse.core.actor import Actor, Permission
from novapulse.core.clock import now_ms
from novapulse.core.errors import ForbiddenError, NotFoundError
from novapulse.core.runtime import Runtime, connect_valkey
from novapulse.jobs import conservation, counts, service
from novapulse.jobs.conservation import fold_shards, reconcile, repair
from novapulse.jobs.counts import QUEUES, STATES, read_counts, read_stats
from novapulse.jobs.engine.claim import claim
from novapulse.jobs.engine.record import recover
from novapulse.jobs.enqueue import NewJob, add_job, add_jobs_on
from novapulse.jobs.modes import pause
from novapulse.jobs.tasks import Backoff, GiveUp, JobContext, task
from novapulse.webhooks import deliveries, ingest, trial
from novapulse.webhooks import service as webhooks
from novapulse.webhooks.engine import Engine
from novapulse.webhooks.schemas import EventIn, RetryIn, WebhookCreate, WebhookPatch
from tests.jobs import run_jobs
from tests.receiver import Answer, receiving

_ROWS = """
    SELECT queue, state, count(*) FROM job GROUP BY queue, state
    UNION ALL SELECT 'webhook', CASE status WHEN 'pending' THEN 'waiting' WHEN 'sending' THEN 'active'
        WHEN 'retrying' THEN 'delayed' WHEN 'delivered' THEN 'completed' WHEN 'failed' THEN 'dead'
        ELSE 'cancelled' END, count(*) FROM delivery GROUP BY status
"""


class Act(BaseModel):
    do: str = "nothing"


@task("counts.act", queue="report", payload=Act, max_attempts=2, backoff=Backoff(first_s=100, jitter=0), api=True)
async def act(_: JobContext, payload: Act) -> None:
    """Do as the payload says."""
    if payload.do == "fail":
        raise ValueError("no")
    if payload.do == "give up":
        raise GiveUp("never")


async def rows(rt: Runtime, query: str, **values: Any) -> list[tuple[Any, ...]]:
    async with rt.database.read() as session:
        return [tuple(row) for row in await session.execute(text(query), values)]


async def write(rt: Runtime, statement: str) -> None:
    async with rt.database.write() as session:
        await session.execute(text(statement))


async def counted(rt: Runtime, queue: str) -> dict[str, int]:
    """What the counters say, once it is sure that the rows say the same and nothing is missing."""
    found = await read_counts(rt, now_ms())
    truth = {(queue_, state): n for queue_, state, n in await rows(rt, _ROWS)}
    for name in QUEUES:
        assert {state: found[name][state] for state in STATES} == {
            state: truth.get((name, state), 0) for state in STATES
        }
        assert found[name].drift == 0
    return {state: n for state, n in found[queue].numbers.items() if n}


async def test_what_happens_to_jobs_is_counted(any_rt: Runtime, actor: Actor) -> None:
    rt = any_rt
    await rt.database.run_write(
        lambda c: add_jobs_on(c, [NewJob("counts.act", {"do": do}) for do in ("nothing", "fail", "give up", "nothing")])
    )
    async with rt.database.write() as session:
        later = await add_job(session, NewJob("counts.act", run_at=now_ms() + 3_600_000))
    with pytest.raises(ZeroDivisionError):
        async with rt.database.write() as session:
            await add_job(session, NewJob("counts.act"))
            _ = 1 / 0  # what is rolled back is not counted either
    assert await counted(rt, "report") == {"waiting": 4, "delayed": 1, "enqueued": 5}
    found = await read_counts(rt, now_ms())
    assert found["report"].oldest_at == (await rows(rt, "SELECT min(run_at) FROM job WHERE state = 'waiting'"))[0][0]

    claims = await rt.database.run_write(lambda c: claim(c, "report", owner="dead", room=2, now=now_ms()))
    assert await counted(rt, "report") == {"waiting": 2, "active": 2, "delayed": 1, "enqueued": 5}
    await rt.database.run_write(lambda c: recover(c, now=now_ms(), owners=["dead"]))
    after_crash = await counted(rt, "report")
    assert after_crash["waiting"] == 4 and after_crash.get("active", 0) == 0
    assert len(claims) == 2

    await run_jobs(rt, ["report"])
    ran = await counted(rt, "report")
    assert (ran["completed"], ran["dead"]) == (2, 1)
    assert ran["delayed"] == 2  # the one that failed comes again
    assert ran["failed"] >= 2

    dead = (await rows(rt, "SELECT id FROM job WHERE state = 'dead'"))[0][0]
    await service.retry_job(rt, actor, dead)
    assert (await counted(rt, "report"))["waiting"] == 1
    await service.cancel_job(rt, actor, later)
    assert (await counted(rt, "report"))["cancelled"] == 1
    await service.undo_job(rt, actor, later)
    assert (await counted(rt, "report")).get("cancelled", 0) == 0
    await write(rt, "DELETE FROM job WHERE state IN ('completed', 'waiting')")
    gone = await counted(rt, "report")
    assert (gone["gone_completed"], gone["gone_cancelled"]) == (2, 1)
    assert gone["enqueued"] == 5


async def test_what_happens_to_deliveries_is_counted(any_rt: Runtime, actor: Actor) -> None:
    rt = any_rt
    with receiving(lambda arrival: Answer(500 if b"bad" in arrival.body else 200)) as receiver:
        made = await webhooks.create_webhook(
            rt, actor, WebhookCreate(url=receiver.url(), retry=RetryIn(schedule_s=[0, 3600]))
        )
        events = [EventIn(type="a.b", data={"how": how}) for how in ("good", "bad", "good", "good")]
        await ingest.accept_batch(rt, actor, events)
        assert await counted(rt, "webhook") == {"waiting": 4, "enqueued": 4}
        ids = [row[0] for row in await rows(rt, "SELECT id FROM delivery ORDER BY id")]
        engine = Engine(rt, "w1")
        await engine.deliver(ids[:3])
        await engine.stop(1)
        numbers = {"waiting": 1, "completed": 2, "delayed": 1, "failed": 1, "enqueued": 4}
        assert await counted(rt, "webhook") == numbers
        await trial.send_test(rt, actor, made.id)
        assert await counted(rt, "webhook") == numbers | {"completed": 3, "enqueued": 5}
        await deliveries.retry_delivery(rt, actor, ids[0])
        await deliveries.cancel_delivery(rt, actor, ids[3])
        after = await counted(rt, "webhook")
        assert (after["completed"], after["delayed"], after["cancelled"]) == (2, 2, 1)
        await webhooks.update_webhook(rt, actor, made.id, WebhookPatch(status="paused"))
        await ingest.accept_batch(rt, actor, events[:1])
        held = (await read_counts(rt, now_ms()))["webhook"]
        assert held["waiting"] == 1 and held.oldest_at is not None  # of the retry, not of what is held
        await webhooks.delete_webhook(rt, actor, made.id)
    cascaded = await counted(rt, "webhook")
    assert cascaded["gone_completed"] == 2
    assert cascaded["gone_cancelled"] == 4  # open ones that were deleted have nobody to wait for
    assert cascaded["enqueued"] == 6


async def test_a_wrong_counter_is_found_corrected_and_reported(any_rt: Runtime, actor: Actor) -> None:
    rt = any_rt
    await rt.database.run_write(lambda c: add_jobs_on(c, [NewJob("counts.act")] * 3))
    await write(rt, "UPDATE queue_count SET n = n + 5 WHERE queue = 'report' AND state = 'dead' AND shard = 0")
    assert (await conservation.conservation(rt, actor)).ok is False
    await reconcile(rt)
    assert (await counted(rt, "report"))["waiting"] == 3
    meter = await conservation.conservation(rt, actor)
    report = next(queue for queue in meter.queues if queue.name == "report")
    assert meter.ok and report.counters_off == {"dead": 5}
    assert meter.checked_at is not None
    assert [(each.queue, each.by) for each in meter.corrections] == [("report", "NovaPulse")]
    assert await rows(rt, "SELECT action, target_id, detail FROM audit WHERE noun = 'queue'") == [
        ("queue.corrected", "report", '{"counters":{"dead":5}}')
    ]

    # A row that vanished behind the triggers' back: the counters follow, and the meter says that one is missing.
    await write(rt, "UPDATE queue_count SET n = n + 1 WHERE queue = 'report' AND state = 'enqueued' AND shard = 0")
    stats = next(queue for queue in (await read_stats(rt)).queues if queue.name == "report")
    assert stats.drift == 1
    assert any("missing" in reason for reason in stats.reasons)
    done = await repair(rt, actor, "report")
    assert done.conservation.ok and len(done.done) == 1
    await counted(rt, "report")
    assert (await repair(rt, actor, "report")).done == []
    with pytest.raises(NotFoundError):
        await repair(rt, actor, "nothing")
    tenants = Actor("api_key", "key_1", "one", frozenset(Permission), tenant="one")
    with pytest.raises(ForbiddenError):
        await repair(rt, tenants, "report")


async def test_jobs_that_valkey_lost_are_told_and_handed_out_again(any_rt: Runtime, actor: Actor) -> None:
    rt = any_rt
    ids = await rt.database.run_write(lambda c: add_jobs_on(c, [NewJob("counts.act")] * 2))
    await write(rt, f"UPDATE job SET enqueued_at = {now_ms() - 60_000}")
    report = next(queue for queue in (await conservation.conservation(rt, actor)).queues if queue.name == "report")
    assert (report.in_valkey, report.missing, sorted(report.missing_ids)) == (0, 2, sorted(ids))
    assert not report.ok
    done = await repair(rt, actor, "report")
    assert done.conservation.ok
    assert await rows(rt, "SELECT DISTINCT enqueued_at FROM job") == [(0,)]


async def test_the_shards_of_connections_that_are_gone_are_folded(any_rt: Runtime) -> None:
    rt = any_rt
    await rt.database.run_write(lambda c: add_jobs_on(c, [NewJob("counts.act")] * 3))
    await write(rt, "INSERT INTO queue_count VALUES ('report', 'completed', 999999999, 7)")
    await write(rt, "INSERT INTO queue_count VALUES ('report', 'completed', 999999998, -2)")
    before = (await read_counts(rt, now_ms()))["report"].numbers
    await fold_shards(rt)
    assert (await read_counts(rt, now_ms()))["report"].numbers == before
    shards = await rows(rt, "SELECT count(*) FROM queue_count WHERE shard > 999999000")
    assert shards == [(2 if rt.database.is_sqlite else 0,)]


async def test_what_cannot_be_known_is_null(rt: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    away = connect_valkey("redis://127.0.0.1:9/0")
    monkeypatch.setattr(rt, "valkey", away)
    stats = await read_stats(rt)
    assert stats.workers is None
    for queue in stats.queues:
        assert (queue.waiting, queue.workers, queue.slots, queue.throughput_per_s, queue.health) == (
            0, None, None, None, None,
        )  # fmt: skip
        assert queue.reasons
    assert stats.totals.waiting == 0 and stats.totals.throughput_per_s is None
    await away.aclose()

    async def broken(*_: object) -> None:
        raise OSError("gone")

    monkeypatch.setattr(counts, "read_counts", broken)
    stats = await read_stats(rt)
    assert all(queue.waiting is None and queue.health is None for queue in stats.queues)
    assert stats.totals.waiting is None


async def test_a_paused_queue_says_by_whom_and_why(rt: Runtime, actor: Actor) -> None:
    await pause(rt, actor, "email", "the provider is down")
    email, webhook, *_ = (await read_stats(rt)).queues
    assert (email.paused, email.health, email.mode_by, email.mode_note) == (
        True, "paused", "NovaPulse", "the provider is down",
    )  # fmt: skip
    assert "the provider is down" in email.reasons[0]
    assert (webhook.paused, webhook.mode_by) == (False, None)


async def test_no_count_looks_at_the_rows(rt: Runtime) -> None:
    plan = [row[-1] for row in await rows(rt, f"EXPLAIN QUERY PLAN {counts.counts_statement(sqlite=True)}", now=0)]
    scanned = {step.split()[1] for step in plan if step.startswith("SCAN")}
    assert scanned == {"queue_count", "CONSTANT", "not_queued", "queued"}  # the last two are one row each
    searches = [step for step in plan if step.startswith("SEARCH")]
    assert sum("ix_job_waiting" in step for step in searches) == 3
    assert sum("ix_delivery_due" in step for step in searches) == 2
    assert not any("TEMP B-TREE" in step for step in plan)
