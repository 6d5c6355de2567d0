"""Why a job is not running: each thing that can keep it is named, with an estimate where one can be made."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from pydantic import BaseModel
from sqlalchemy import text

from novapulse.core.actor import Actor, Permission
from novapulse.core.clock import now_ms
from novapulse.core.errors import NotFoundError
from novapulse.core.runtime import Runtime
from novapulse.jobs.counts import SAMPLED
from novapulse.jobs.engine.claim import claim
from novapulse.jobs.enqueue import NewJob, add_jobs_on
from novapulse.jobs.modes import drain, pause
from novapulse.jobs.shapes import WhyView
from novapulse.jobs.tasks import JobContext, task
from novapulse.jobs.waiting_reason import explain
from novapulse.webhooks import ingest, service
from novapulse.webhooks.schemas import EventIn, WebhookCreate, WebhookPatch
from tests.calls import PUBLIC_URL, calling, problem


class Nothing(BaseModel):
    pass


@task("why.nothing", queue="report", payload=Nothing)
async def nothing(_: JobContext, __: Nothing) -> None:
    """Nothing."""


async def add(rt: Runtime, n: int = 1, **fields: Any) -> list[str]:
    return await rt.database.run_write(lambda c: add_jobs_on(c, [NewJob("why.nothing", **fields)] * n))


async def staffed(rt: Runtime, slots: int = 2) -> None:
    """A worker and a scheduler that are alive."""
    now = now_ms()
    state = {
        "name": "w1", "host": "h", "pid": 1, "version": "1", "queues": ["report", "webhook"], "running": {},
        "slots": {"report": slots, "webhook": slots}, "rss_bytes": None, "started_at": now, "at": now,
    }  # fmt: skip
    await rt.valkey.set("{np}:worker:w1", orjson.dumps(state))
    await rt.valkey.zadd("{np}:workers", {"w1": now + 60_000})
    await rt.valkey.set("{np}:scheduler", "me")


async def write(rt: Runtime, statement: str) -> None:
    async with rt.database.write() as session:
        await session.execute(text(statement))


def codes(why: WhyView) -> list[str]:
    return [reason.code for reason in why.reasons]


async def test_nobody_works(any_rt: Runtime, actor: Actor) -> None:
    (job,) = await add(any_rt)
    why = await explain(any_rt, actor, job)
    assert codes(why) == ["no_worker", "no_scheduler"]
    assert (why.estimate_s, why.begins_at) == (None, None)
    await pause(any_rt, actor, "report", "printer on fire")
    why = await explain(any_rt, actor, job)
    assert codes(why)[0] == "paused"
    assert "printer on fire" in why.reasons[0].text and why.reasons[0].by == "NovaPulse"


async def test_a_drain_keeps_only_what_was_made_after_it(any_rt: Runtime, actor: Actor) -> None:
    await staffed(any_rt)
    (before,) = await add(any_rt)
    await drain(any_rt, actor, "report")
    await write(any_rt, f"UPDATE job SET created_at = {now_ms() - 60_000}")
    (after,) = await add(any_rt)
    await write(any_rt, f"UPDATE job SET created_at = {now_ms() + 1000} WHERE id = '{after}'")
    assert codes(await explain(any_rt, actor, before)) == ["next"]
    assert codes(await explain(any_rt, actor, after)) == ["draining", "ahead"]


async def test_it_is_not_its_turn(any_rt: Runtime, actor: Actor) -> None:
    rt = any_rt
    await staffed(rt)
    first = await add(rt, 2, tenant="other")
    await rt.database.run_write(lambda c: claim(c, "report", owner="w1", room=2, now=now_ms()))
    why = await explain(rt, actor, first[0])
    assert codes(why) == ["running"] and "w1" in why.reasons[0].text
    await add(rt, 3, priority=1)
    await add(rt, 2)
    (mine,) = await add(rt)
    await add(rt, 4)
    why = await explain(rt, actor, mine)
    assert codes(why) == ["slots_busy", "ahead"]
    assert why.reasons[0].ids == sorted(first)
    assert (why.ahead, why.ahead_exact) == (5, True)
    assert why.estimate_s is None and "not known" in why.basis
    sampled = {"at": now_ms(), "queues": {"report": {"throughput_per_s": 2.0}}}
    await rt.valkey.set(SAMPLED, orjson.dumps(sampled))
    why = await explain(rt, actor, mine)
    assert why.estimate_s == 3.0 and why.begins_at is not None
    sampled["queues"] = {"report": {"throughput_per_s": 0.0, "run": [4_000, 9_000]}}
    await rt.valkey.set(SAMPLED, orjson.dumps(sampled))
    assert (await explain(rt, actor, mine)).estimate_s == 12.0  # six, two at once, 4 s each
    # Who sees one tenant is not told of the jobs of others.
    await write(rt, f"UPDATE job SET tenant = 'one' WHERE id = '{mine}'")
    one = Actor("api_key", "key_1", "one", frozenset({Permission.JOBS_READ}), tenant="one")
    why = await explain(rt, one, mine)
    assert codes(why) == ["slots_busy", "ahead"] and why.reasons[0].ids == []
    with pytest.raises(NotFoundError):
        await explain(rt, one, first[0])


async def test_its_time_has_not_come(any_rt: Runtime, actor: Actor) -> None:
    rt = any_rt
    await staffed(rt)
    (job,) = await add(rt, run_at=now_ms() + 60_000)
    why = await explain(rt, actor, job)
    assert codes(why) == ["delayed"]
    assert why.estimate_s == pytest.approx(60, abs=2)
    await write(rt, "UPDATE job SET attempts = 2")
    why = await explain(rt, actor, job)
    assert codes(why) == ["retry"] and "Attempt 2 failed" in why.reasons[0].text
    await write(rt, f"UPDATE job SET state = 'waiting', run_at = {now_ms() - 1}")
    assert codes(await explain(rt, actor, job)) == ["next"]
    await write(rt, "UPDATE job SET state = 'dead'")
    assert codes(await explain(rt, actor, job)) == ["ended"]


async def test_a_delivery_waits_for_its_webhook_or_its_turn(any_rt: Runtime, actor: Actor) -> None:
    rt = any_rt
    await staffed(rt)
    made = await service.create_webhook(rt, actor, WebhookCreate(url=PUBLIC_URL, name="shop", ordered=True))
    await ingest.accept_batch(rt, actor, [EventIn(type="a.b", data=n) for n in range(3)])
    async with rt.database.read() as session:
        ids = list((await session.execute(text("SELECT id FROM delivery ORDER BY id"))).scalars())
    why = await explain(rt, actor, ids[2])
    assert codes(why)[0] == "held"
    assert why.reasons[0].ids == ids[:2]
    await service.update_webhook(rt, actor, made.id, WebhookPatch(status="paused"))
    why = await explain(rt, actor, ids[0])
    assert codes(why)[0] == "webhook_inactive" and "shop is paused" in why.reasons[0].text
    assert why.estimate_s is None


async def test_the_api_answers_all_of_it(rt: Runtime) -> None:
    (job,) = await add(rt)
    async with calling(rt, "jobs:read") as client:
        assert (await client.get(f"/jobs/{job}/why")).json()["reasons"][0]["code"] == "no_worker"
        problem(await client.get("/jobs/job_0/why"), 404)
        stats = (await client.get("/queue/stats")).json()
        assert {"at", "queues", "totals", "workers"} <= stats.keys()
        wanted = {
            "name", "waiting", "active", "delayed", "completed", "failed", "dead", "paused", "workers",
            "throughput_per_s", "wait_ms", "run_ms", "error_rate", "oldest_waiting_s", "health", "reasons",
        }  # fmt: skip
        report = next(queue for queue in stats["queues"] if queue["name"] == "report")
        assert wanted <= report.keys()
        assert (report["waiting"], report["health"], report["throughput_per_s"]) == (1, "down", None)
        assert stats["totals"]["waiting"] == 1
        assert len((await client.get("/queue/report/history", params={"window": "24h"})).json()["points"]) == 288
        problem(await client.get("/queue/report/history", params={"window": "2h"}), 422)
        problem(await client.get("/queue/none/history"), 404)
        problem(await client.get("/queue/rewind", params={"at": "yesterday"}), 422)
        assert (await client.get("/queue/conservation")).json()["ok"] is True
        problem(await client.post("/queue/report/repair"), 403)
