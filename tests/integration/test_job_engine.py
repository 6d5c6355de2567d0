"""The job engine on real stores: what it runs, in which order, how failures end, and who may record what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import orjson
import pytest
from pydantic import BaseModel
from sqlalchemy import text

from novapulse.core.actor import Actor, Permission
from novapulse.core.clock import now_ms
from novapulse.core.errors import ForbiddenError, NotFoundError
from novapulse.core.queues import DEAD_AFTER
from novapulse.core.runtime import Runtime
from novapulse.jobs import modes
from novapulse.jobs.engine import Engine
from novapulse.jobs.engine.claim import claim
from novapulse.jobs.engine.record import recover
from novapulse.jobs.enqueue import NewJob, add_jobs_on
from novapulse.jobs.handout import CARE_EVERY_S, hand_out_jobs
from novapulse.jobs.models import JobState
from novapulse.jobs.modes import Modes
from novapulse.jobs.tasks import Backoff, GiveUp, JobContext, PutOff, RetryLater, task
from novapulse.settings import Settings
from novapulse.webhooks import ingest, service
from novapulse.webhooks.schemas import EventIn, WebhookCreate
from tests.jobs import run_jobs
from tests.receiver import receiving
from worker.tasks.webhook import WebhookCrew

QUEUE = "workflow"


class Act(BaseModel):
    """What a job of these tests is to do."""

    do: str = "nothing"
    n: int = 0


ran: list[tuple[str, int]] = []
begun: asyncio.Queue[str] = asyncio.Queue()
may_end = asyncio.Event()


@pytest.fixture(autouse=True)
def _fresh() -> None:
    global begun, may_end
    ran.clear()
    begun, may_end = asyncio.Queue(), asyncio.Event()


@task("engine.act", queue="workflow", payload=Act, max_attempts=3, backoff=Backoff(first_s=100, jitter=0))
async def act(job: JobContext, payload: Act) -> Any:
    """Do as the payload says."""
    ran.append((payload.do, payload.n))
    begun.put_nowait(job.id)
    match payload.do:
        case "fail":
            raise ValueError(f"number {payload.n}\x00\ud800")
        case "later":
            raise RetryLater("come again", 7)
        case "give up":
            raise GiveUp("never")
        case "put off":
            raise PutOff("not yet", 30)
        case "hang":
            await may_end.wait()
        case "exit":
            raise SystemExit(3)
        case "break off":
            raise asyncio.CancelledError
        case "strange":
            return object()
        case "tell":
            await job.log("half\x00way", "nonsense")
            job.progress(0.5, "half")
            await may_end.wait()
    return {"n": payload.n} if payload.n else None


async def rows(rt: Runtime, query: str) -> list[tuple[Any, ...]]:
    async with rt.database.read() as session:
        return [tuple(row) for row in await session.execute(text(query))]


async def write(rt: Runtime, statement: str) -> None:
    async with rt.database.write() as session:
        await session.execute(text(statement))


async def add(rt: Runtime, *acts: str, **fields: Any) -> list[str]:
    jobs = [NewJob("engine.act", {"do": each, "n": number}, **fields) for number, each in enumerate(acts)]
    return await rt.database.run_write(lambda connection: add_jobs_on(connection, jobs))


@asynccontextmanager
async def working(rt: Runtime, owner: str = "w1") -> AsyncGenerator[Engine]:
    engine = Engine(rt, QUEUE, owner)
    await rt.part(Modes).look()
    engine.begin()
    try:
        yield engine
    finally:
        may_end.set()
        await engine.stop(5)


async def until(check: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not await check():
            await asyncio.sleep(0.02)


async def states(rt: Runtime) -> dict[str, int]:
    return dict(await rows(rt, "SELECT state, count(*) FROM job GROUP BY state"))  # type: ignore[arg-type]


async def test_all_run_once_the_most_urgent_first_and_counts_agree(any_rt: Runtime) -> None:
    await add(any_rt, *["nothing"] * 300, priority=7)
    await add(any_rt, *["urgent"] * 200, priority=1)
    await run_jobs(any_rt)
    assert [do for do, _ in ran] == ["urgent"] * 200 + ["nothing"] * 300
    assert await rows(any_rt, "SELECT state, attempts, count(*) FROM job GROUP BY state, attempts") == [
        ("completed", 1, 500)
    ]
    ((result, worker, started, finished),) = await rows(
        any_rt, "SELECT result, claimed_by, started_at, finished_at FROM job WHERE payload LIKE '%299%'"
    )
    assert (orjson.loads(result), worker) == ({"n": 299}, "test")
    assert 0 < started <= finished
    counts = await rows(any_rt, "SELECT state, sum(n) FROM queue_count WHERE queue = 'workflow' GROUP BY state")
    assert {state: int(n) for state, n in counts if n} == {"completed": 500, "enqueued": 500}


async def test_how_each_failure_ends(any_rt: Runtime) -> None:
    acts = ["fail", "later", "give up", "put off", "exit", "strange", "break off"]
    ids = await add(any_rt, *acts)
    (late,) = await add(any_rt, "hang", timeout_s=0.05)
    (unknown, misfit) = await add(any_rt, "nothing", "nothing")
    await write(any_rt, f"UPDATE job SET task = 'engine.newer' WHERE id = '{unknown}'")
    await write(any_rt, f"UPDATE job SET payload = '[]' WHERE id = '{misfit}'")
    before = now_ms()
    await run_jobs(any_rt)
    found = {
        row[0]: row[1:]
        for row in await rows(any_rt, "SELECT id, state, attempts, error, run_at, traceback, fingerprint FROM job")
    }

    def ended(id_: str, state: str, attempts: int, error: str | None, wait_s: float | None = None) -> None:
        row = found[id_]
        assert (row[0], row[1]) == (state, attempts), row
        assert row[2] == error if error is None else (row[2] or "").startswith(error), row[2]
        if wait_s is not None:
            assert 0 <= row[3] - before - wait_s * 1000 < 30_000

    fail, later, give_up, put_off, exit_, strange, broken_off = ids
    ended(fail, "delayed", 1, "ValueError: number 0�?", 100)
    assert "raise ValueError" in found[fail][4]
    ended(later, "delayed", 1, "come again", 7)
    ended(give_up, "dead", 1, "never")
    ended(put_off, "delayed", 0, None, 30)
    ended(exit_, "delayed", 1, "SystemExit: 3", 100)
    ended(strange, "delayed", 1, "TypeError", 100)
    ended(broken_off, "delayed", 1, "Something it waited for was cancelled.", 100)
    ended(late, "delayed", 1, "It took longer than 0.05 s.", 100)
    ended(unknown, "delayed", 0, None, 10)
    ended(misfit, "dead", 1, "The payload does not fit")
    # The next failures wait longer, then there is no attempt left; none of them is overwritten.
    for wait_s in (200, None):
        await write(any_rt, f"UPDATE job SET run_at = 0 WHERE id = '{fail}'")
        await run_jobs(any_rt)
        ((state, attempts, run_at),) = await rows(
            any_rt, f"SELECT state, attempts, run_at FROM job WHERE id = '{fail}'"
        )
        if wait_s is not None:
            assert (state, attempts) == ("delayed", 2)
            assert 0 <= run_at - before - wait_s * 1000 < 30_000
    assert (state, attempts) == ("dead", 3)
    assert await rows(any_rt, f"SELECT number FROM job_attempt WHERE job_id = '{fail}' ORDER BY number") == [
        (1,),
        (2,),
        (3,),
    ]
    # Failures alike have one fingerprint, whatever numbers they tell of.
    again = await add(any_rt, "nothing", "fail", max_attempts=1)
    await run_jobs(any_rt)
    assert await rows(
        any_rt, f"SELECT count(*), count(DISTINCT fingerprint) FROM job WHERE id IN ('{fail}', '{again[1]}')"
    ) == [(2, 1)]


async def test_a_running_job_tells_how_far_it_is_and_stops_when_it_is_asked_to(any_rt: Runtime) -> None:
    async with working(any_rt):
        (job_id,) = await add(any_rt, "tell")
        await until(lambda: rows(any_rt, "SELECT 1 FROM job WHERE progress = 0.5 AND progress_text = 'half'"))
        assert await rows(any_rt, "SELECT line, level, attempt FROM job_log") == [("half�way", "info", 1)]
        await write(any_rt, f"UPDATE job SET cancel_asked = TRUE WHERE id = '{job_id}'")
        asked = now_ms()
        await until(lambda: rows(any_rt, "SELECT 1 FROM job WHERE state = 'cancelled'"))
        ((finished, error, logged),) = await rows(
            any_rt, "SELECT finished_at, error, (SELECT count(*) FROM job_log) FROM job"
        )
        assert finished - asked < 2_000
        assert (error, logged) == ("Cancelled while it ran.", 1)


async def test_a_worker_that_was_taken_for_dead_cannot_record_and_its_job_runs_elsewhere(any_rt: Runtime) -> None:
    async with working(any_rt, "zombie"):
        (job_id,) = await add(any_rt, "hang")
        assert await begun.get() == job_id
        async with working(any_rt, "other") as other:
            running = asyncio.create_task(other.run([job_id], takeover_from="zombie"))
            assert await begun.get() == job_id
            assert await rows(any_rt, "SELECT claimed_by, claims, attempts, crashes FROM job") == [("other", 2, 1, 1)]
            may_end.set()
            await running
    assert await rows(any_rt, "SELECT state, claimed_by, attempts FROM job") == [("completed", "other", 2)]
    assert await rows(any_rt, "SELECT number, error, worker FROM job_attempt") == [
        (1, "Its worker zombie died while it ran.", "zombie")
    ]


async def test_a_job_that_kills_its_worker_twice_is_dead_and_innocent_ones_are_not(any_rt: Runtime) -> None:
    async def die(owner: str, *found: str) -> None:
        """A worker has claimed all that waits, and dies."""
        await any_rt.database.run_write(lambda connection: claim(connection, QUEUE, owner=owner, room=9, now=now_ms()))
        died = await any_rt.database.run_write(lambda connection: recover(connection, now=now_ms(), owners=[owner]))
        assert sorted(each.state for each in died) == sorted(found)

    # With nothing beside it, the second death says who it was.
    await add(any_rt, "nothing")
    await die("w1", "waiting")
    await die("w2", "dead")
    ((error, fingerprint),) = await rows(any_rt, "SELECT error, fingerprint FROM job")
    assert error == "Its worker died 2 times while it ran, w2 last: it may be what kills it."
    assert fingerprint == "worker-death"
    # Among others it does not: they run together again at once, and after that one at a time, beside new ones.
    poison, *_innocent = await add(any_rt, *["hang"] * 4)
    await die("w3", *["waiting"] * 4)
    ((errors,),) = await rows(
        any_rt, "SELECT count(*) FROM job_attempt WHERE error = 'Its worker w3 died while it and 3 others ran.'"
    )
    assert errors == 4
    async with working(any_rt, "w4"):
        together = [await begun.get() for _ in range(4)]
        assert together[0] == poison
        await any_rt.database.run_write(lambda connection: recover(connection, now=now_ms(), owners=["w4"]))
        assert await states(any_rt) == {"dead": 1, "waiting": 4}
    may_end.clear()
    async with working(any_rt, "w5"):
        new = await add(any_rt, "hang", "hang")
        assert {await begun.get() for _ in range(3)} == {poison, *new}
        await asyncio.sleep(1.2)
        assert await states(any_rt) == {"active": 3, "waiting": 3, "dead": 1}
        died = await any_rt.database.run_write(lambda connection: recover(connection, now=now_ms(), owners=["w5"]))
        assert [each.id for each in died if each.state is JobState.DEAD] == [poison]
    await run_jobs(any_rt)
    assert await states(any_rt) == {"dead": 2, "completed": 5}


async def test_a_stop_finishes_what_it_can_and_hands_back_the_rest_without_an_attempt(any_rt: Runtime) -> None:
    engine = Engine(any_rt, QUEUE, "w1")
    count = engine.slots + 5
    ids = await add(any_rt, *["hang"] * count)
    entry = asyncio.create_task(engine.run(ids))
    for _ in range(engine.slots):
        await begun.get()
    assert engine.room() == 1, "five more were promised; there is room for promises of as many as it runs at once"
    await engine.stop(0.05)
    await entry
    assert await rows(
        any_rt, "SELECT state, attempts, crashes, count(*) FROM job GROUP BY state, attempts, crashes"
    ) == [("waiting", 0, 0, count)]
    # As many were put on the queue again as wait.
    entries = await any_rt.valkey.xrange(f"{{np}}:q:{{{QUEUE}}}")
    assert sum(int(fields["n"]) for _, fields in entries) == count


async def test_what_an_entry_promised_and_others_have_run_is_done(any_rt: Runtime) -> None:
    async with working(any_rt) as engine:
        async with asyncio.timeout(10):
            await engine.run(["gone"] * 50)
        assert engine.room() > 0


async def test_paused_nothing_is_begun_and_drained_only_what_was_there(any_rt: Runtime, actor: Actor) -> None:
    said = await modes.pause(any_rt, actor, QUEUE, "deploy")
    assert (said.mode, said.note, said.changed_by) == ("paused", "deploy", "NovaPulse")
    looking = asyncio.create_task(any_rt.part(Modes).run())
    try:
        async with working(any_rt) as engine:
            await add(any_rt, "nothing", "nothing")
            assert engine.room() == 0
            await asyncio.sleep(1.0)
            assert not ran
            # Valkey may lose it: the database is asked, and the scheduler has Valkey say it again.
            await any_rt.valkey.flushall()
            await asyncio.sleep(0.6)
            assert engine.room() == 0
            await modes.mirror_modes(any_rt)
            assert "paused" in (await any_rt.valkey.hget("{np}:queues", QUEUE))
            await modes.resume(any_rt, actor, QUEUE)
            await until(lambda: _count(any_rt, "completed", 2))
            # What is made after the drain began waits; once the rest is done, the queue is paused.
            await add(any_rt, "hang")
            await begun.get()
            await begun.get()
            await begun.get()
            await modes.drain(any_rt, actor, QUEUE)
            await asyncio.sleep(0.01)
            await add(any_rt, "nothing")
            await modes.end_drains(any_rt)
            assert (await modes.list_modes(any_rt))[QUEUE].mode == "draining"
            may_end.set()
            await until(lambda: _count(any_rt, "completed", 3))
            await asyncio.sleep(1.0)
            assert await states(any_rt) == {"completed": 3, "waiting": 1}
            await modes.end_drains(any_rt)
            assert (await modes.list_modes(any_rt))[QUEUE].mode == "paused"
            await modes.resume(any_rt, actor, QUEUE)
            await until(lambda: _count(any_rt, "completed", 4))
    finally:
        looking.cancel()
    acts = await rows(any_rt, "SELECT action FROM audit WHERE noun = 'queue' ORDER BY seq")
    assert [action for (action,) in acts] == [
        "queue.paused",
        "queue.resumed",
        "queue.draining",
        "queue.paused",
        "queue.resumed",
    ]


async def _count(rt: Runtime, state: str, count: int) -> bool:
    return (await states(rt)).get(state, 0) == count


async def test_each_queue_has_its_own_number_of_slots(rt: Runtime) -> None:
    settings = rt.settings.model_copy(update={"job_concurrency": 7, "email_concurrency": 3, "report_concurrency": 1})
    own = replace(rt, settings=settings)
    assert {queue: Engine(own, queue, "w1").slots for queue in ("email", "workflow", "report")} == {
        "email": 3, "workflow": 7, "report": 1,
    }  # fmt: skip


async def test_who_may_pause(rt: Runtime) -> None:
    with pytest.raises(NotFoundError):
        await modes.pause(rt, Actor("user", "u", "u", frozenset(Permission)), "nothing")
    for somebody in (
        Actor("user", "u", "u", frozenset({Permission.JOBS_READ})),
        Actor("api_key", "k", "k", frozenset(Permission), tenant="acme"),
    ):
        with pytest.raises(ForbiddenError):
            await modes.pause(rt, somebody, QUEUE)
    assert (await modes.list_modes(rt))[QUEUE].mode == "running"


async def test_the_scheduler_hands_out_what_is_due_lost_or_held_by_the_dead(any_rt: Runtime) -> None:
    due, _not_due = [(await add(any_rt, "nothing", run_at=now_ms() + wait))[0] for wait in (200, 3_600_000)]
    assert await hand_out_jobs(any_rt) == 0
    await until(lambda: _handed(any_rt))
    assert await states(any_rt) == {"waiting": 1, "delayed": 1}
    # It is handed out once, and again when Valkey has lost it.
    await write(any_rt, f"UPDATE job SET enqueued_at = enqueued_at - 10000 WHERE id = '{due}'")
    await asyncio.sleep(2.0)
    assert await hand_out_jobs(any_rt) == 1, "its entry is younger: it counts as lost"
    assert await hand_out_jobs(any_rt) == 0
    # A worker of which there is no sign of life for long is dead.
    await any_rt.database.run_write(lambda connection: claim(connection, QUEUE, owner="dead", room=1, now=now_ms()))
    await until(lambda: _recovered(any_rt))
    await run_jobs(any_rt)
    assert await states(any_rt) == {"completed": 1, "delayed": 1}


def test_what_a_killed_worker_ran_runs_elsewhere_within_15_s_also_if_no_entry_tells_of_it() -> None:
    """By the defaults: the beat runs out, that is seen, it stays away, that is seen, and a worker looks for work."""
    ttl_s, tick_s, look_s = Settings.model_fields["heartbeat_ttl_s"].default, 0.5, 1.0
    assert ttl_s + DEAD_AFTER * ttl_s + 2 * (CARE_EVERY_S + tick_s) + look_s < 15


async def test_a_job_that_keeps_its_worker_busy_past_its_lease_is_not_run_twice_within_its_time(
    any_rt: Runtime,
) -> None:
    (job_id,) = await add(any_rt, "nothing", timeout_s=1200)
    await any_rt.database.run_write(lambda connection: claim(connection, QUEUE, owner="busy", room=1, now=now_ms()))
    await any_rt.valkey.set("{np}:worker:busy", "{}")  # its heartbeat
    later = now_ms() + 600_000
    assert not await any_rt.database.run_write(lambda connection: recover(connection, now=later))
    assert await states(any_rt) == {"active": 1}
    # Its own time over, too, it hangs: it is taken from the worker, alive or not.
    later += 1_200_000
    (found,) = await any_rt.database.run_write(lambda connection: recover(connection, now=later))
    assert (found.id, found.state) == (job_id, "waiting")


async def test_one_result_that_cannot_be_written_holds_nothing_up(any_rt: Runtime) -> None:
    ids = await add(any_rt, *["fail"] * 3, max_attempts=1)
    # An attempt of this number is there already, which no correct history has.
    await write(
        any_rt,
        "INSERT INTO job_attempt (job_id, number, started_at, finished_at, error, worker)"
        f" VALUES ('{ids[1]}', 1, 0, 0, '', '')",
    )
    await add(any_rt, *["nothing"] * 50)
    async with working(any_rt):
        await until(lambda: _count(any_rt, "completed", 50))
        await until(lambda: _count(any_rt, "dead", 3))
    assert await rows(any_rt, "SELECT id FROM job WHERE error LIKE 'What became of it could not%'") == [(ids[1],)]


async def _handed(rt: Runtime) -> int:
    return await hand_out_jobs(rt)


async def _recovered(rt: Runtime) -> bool:
    await hand_out_jobs(rt)
    return bool(await rows(rt, "SELECT 1 FROM job WHERE crashes = 1 AND state = 'waiting'"))


async def test_the_webhook_queue_follows_its_mode(rt: Runtime, actor: Actor) -> None:
    with receiving() as receiver:
        await service.create_webhook(rt, actor, WebhookCreate(url=receiver.url()))
        known = rt.part(Modes)
        crew = WebhookCrew(rt, "w1", "webhook")
        try:
            assert crew.room() > 0
            await modes.pause(rt, actor, "webhook")
            await known.look()
            assert crew.room() == 0
            await ingest.accept_batch(rt, actor, [EventIn(type="order.created", data={"n": 1})])
            await modes.drain(rt, actor, "webhook")
            await known.look()
            await asyncio.sleep(0.005)
            await ingest.accept_batch(rt, actor, [EventIn(type="order.created", data={"n": 2})])
            assert crew.room() > 0
            ids = [row[0] for row in await rows(rt, "SELECT id FROM delivery ORDER BY id")]
            await crew.deliver(ids, takeover_from=None)
            assert await rows(rt, "SELECT status FROM delivery ORDER BY id") == [("delivered",), ("pending",)]
            await modes.end_drains(rt)
            assert (await modes.list_modes(rt))["webhook"].mode == "paused"
        finally:
            await crew.stop(1)
