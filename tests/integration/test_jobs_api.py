"""`/jobs` over HTTP: making, finding, retrying, calling off, discarding, taking back."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import Any

import httpx
import pytest
from pydantic import BaseModel
from sqlalchemy import text, update

from novapulse.core.actor import SYSTEM
from novapulse.core.clock import now_ms
from novapulse.core.errors import ConflictError, ForbiddenError, InvalidError, UnavailableError
from novapulse.core.runtime import Runtime, connect_valkey
from novapulse.jobs import listing, retention, selecting, service
from novapulse.jobs.engine.claim import claim
from novapulse.jobs.enqueue import JOB, NewJob, add_job
from novapulse.jobs.selecting import Wanted, branches
from novapulse.jobs.tasks import GiveUp, JobContext, RetryLater, task
from novapulse.jobs.workers import list_workers
from tests.calls import PUBLIC_URL, calling, problem
from tests.jobs import run_jobs
from worker.heartbeat import Heartbeat


class Work(BaseModel):
    """What the jobs here are to do."""

    what: str = "succeed"
    token: str = ""
    n: int = 0
    more: Any = None


@task("test.work", queue="workflow", payload=Work, api=True, max_attempts=2)
async def work(job: JobContext, payload: Work) -> dict[str, Any]:
    """Does what it is told."""
    await job.log(f"told to {payload.what}")
    if payload.what == "fail":
        raise GiveUp(f"refused, for the {payload.n}th time")
    if payload.what == "falter":
        raise RetryLater("not now", after_s=3600)
    return {"did": payload.what}


RAN: list[str] = []


@task("test.ledger", queue="workflow", payload=Work)
async def ledger(job: JobContext, payload: Work) -> None:
    """Writes down that it ran."""
    RAN.append(job.id)


@task("test.inner", queue="report", payload=Work)
async def inner(job: JobContext, payload: Work) -> None:
    """Only NovaPulse asks for this."""


async def make(rt: Runtime, **values: Any) -> str:
    """A job that waits."""
    async with rt.database.write() as session:
        return await add_job(session, NewJob(**({"task": "test.work"} | values)))


async def set_rows(rt: Runtime, sql: str, **values: Any) -> None:
    async with rt.database.write() as session:
        await session.execute(text(sql), values)


async def counted(rt: Runtime, queue: str) -> dict[str, int]:
    """The numbers of a queue, as triggers keep them."""
    async with rt.database.read() as session:
        rows = await session.execute(
            text("SELECT state, sum(n) FROM queue_count WHERE queue = :q GROUP BY state"), {"q": queue}
        )
        return {state: int(n) for state, n in rows}


async def found(api: httpx.AsyncClient, **query: Any) -> list[str]:
    """The ids of all pages, two per page."""
    ids: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        answer = await api.get("/jobs", params={"limit": 2, **query, **cursor})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        ids += [row["id"] for row in page["data"]]
        if page["next_cursor"] is None:
            return ids
        cursor = {"cursor": page["next_cursor"]}


async def owe(api: httpx.AsyncClient, count: int, **webhook: Any) -> list[str]:
    """Deliveries that wait, the oldest first."""
    made = (await api.post("/webhooks", json={"url": PUBLIC_URL} | webhook)).json()
    for n in range(count):
        await api.post("/events", json={"type": "a.b", "data": {"invoice": f"in_{n}"}})
    rows = (await api.get(f"/webhooks/{made['id']}/deliveries")).json()["data"]
    return sorted(row["id"] for row in rows)


async def test_what_cannot_run_is_refused_when_it_is_made_and_says_where(rt: Runtime) -> None:
    async with calling(rt, "*") as api:

        async def refused(pointer: str, word: str, **body: Any) -> None:
            answer = problem(await api.post("/jobs", json={"task": "test.work"} | body), 422, pointer)
            assert word in answer["detail"]

        await refused("/task", "test.work", task="nothing")
        await refused("/task", "NovaPulse itself", task="test.inner")
        await refused("/payload/n", "integer", payload={"n": "many"})
        await refused("/priority", "less than or equal to 9", priority=10)
        await refused("/run_at", "offset", run_at="2026-11-24T12:00:00")
        await refused("/unique_key", "at least 1", unique_key="")
        problem(await api.post("/jobs", json={"task": "test.work", "payload": {"what": "x" * 300_000}}), 413)
        for payload, word in (({"what": "é" * 132_000}, "256 KiB"), ({"more": object()}, "JSON")):
            with pytest.raises(InvalidError, match=word) as refusal:
                await make(rt, payload=payload)
            assert refusal.value.errors[0].pointer.startswith("/payload")
        assert await found(api) == []
        tasks = {row["name"]: row for row in (await api.get("/jobs/tasks")).json()["data"]}
        assert tasks["test.work"]["api"] and not tasks["test.inner"]["api"]
        assert tasks["test.work"]["payload_schema"]["properties"]["n"]["type"] == "integer"


async def test_a_job_is_made_once_runs_and_tells_everything(any_rt: Runtime) -> None:
    async with calling(any_rt, "*") as api:
        body = {"task": "test.work", "payload": {"token": "hidden-value", "n": 2**53}, "unique_key": "one"}
        answer = await api.post("/jobs", json=body)
        assert answer.status_code == 202
        made = answer.json()
        assert (made["state"], made["attempt_count"], made["max_attempts"]) == ("waiting", 0, 2)
        problem(await api.post("/jobs", json=body), 409)
        later = await api.post("/jobs", json={"task": "test.work", "run_at": "2099-01-01T00:00:00Z"})
        assert (later.json()["state"], later.json()["run_at"]) == ("delayed", "2099-01-01T00:00:00.000Z")
        await run_jobs(any_rt)
        answer = await api.get(f"/jobs/{made['id']}")
        detail = answer.json()
        assert (detail["state"], detail["result"], detail["worker"]) == ("completed", {"did": "succeed"}, None)
        assert "hidden-value" not in answer.text, "a payload is seen by more people than wrote it"
        assert detail["payload"]["n"] == 2**53
        assert [moment["what"] for moment in detail["timeline"]] == ["created", "started", "completed"]
        (attempt,) = detail["attempts"]
        assert (attempt["number"], attempt["state"], attempt["worker"]) == (1, "completed", "test")
        assert [line["line"] for line in detail["logs"]] == ["told to succeed"]
        assert detail["wait_ms"] is not None and detail["run_ms"] is not None
        assert (await api.post("/jobs", json=body)).status_code == 202, "the key is free again"


async def test_lists_find_what_they_name_page_by_page_and_agree_with_the_counts(any_rt: Runtime) -> None:
    async with calling(any_rt, "*") as api:
        first = await make(any_rt, payload={"what": "fail", "n": 1})
        sent = await owe(api, 3)
        second = await make(any_rt, payload={"what": "find me", "token": "a"}, unique_key="key-7", parent_id="run_1")
        report = await make(any_rt, task="test.inner", tenant="acme", schedule_id="sch_1")
        await set_rows(any_rt, "UPDATE job SET state = 'dead', fingerprint = 'f1' WHERE id = :id", id=first)
        await set_rows(any_rt, "UPDATE delivery SET status = 'failed' WHERE id = :id", id=sent[1])
        every = [report, second, *sent[::-1], first]
        assert await found(api) == every, "newest first, jobs and deliveries in one list"
        assert await found(api, queue="webhook") == sent[::-1]
        assert await found(api, queue="workflow") == [second, first]
        assert await found(api, state="dead") == [sent[1], first]
        assert await found(api, state="dead", queue="workflow") == [first]
        assert await found(api, state="waiting", queue="webhook") == [sent[2], sent[0]]
        assert await found(api, task="test.inner") == [report]
        assert await found(api, task="webhook.deliver", state="dead") == [sent[1]]
        assert await found(api, task="test.work", state="dead") == [first]
        assert await found(api, fingerprint="f1") == [first]
        assert await found(api, parent_id="run_1") == [second]
        assert await found(api, schedule_id="sch_1") == [report]
        assert await found(api, since="2099-01-01T00:00:00Z") == []
        assert await found(api, until="2099-01-01T00:00:00Z") == every
        for query, ids in {
            "FIND me": [second],
            "key-7": [second],
            '"invoice":"in_2"': [sent[2]],
            sent[0]: [sent[0]],
            first: [first],
            "test.inner": [report],
            "100%": [],
        }.items():
            assert await found(api, q=query) == ids, query
        for queue in ("email", "webhook", "workflow", "report"):
            numbers = await counted(any_rt, queue)
            for state in ("waiting", "active", "delayed", "completed", "dead", "cancelled"):
                assert len(await found(api, queue=queue, state=state)) == numbers[state], (queue, state)
        await api.post(f"/jobs/{second}/pin")
        assert await found(api, pinned=True) == [second]
        problem(await api.get("/jobs", params={"cursor": "x"}), 422, "/cursor")
        problem(await api.get("/jobs", params={"state": "done"}), 422, "/state")
    async with calling(any_rt, "jobs:read", "jobs:write", "deliveries:read", tenant="acme") as api:
        assert await found(api) == [report]
        problem(await api.get(f"/jobs/{second}"), 404)
        problem(await api.post(f"/jobs/{second}/cancel"), 404)
        problem(await api.get(f"/jobs/{sent[0]}"), 404)
    async with calling(any_rt, "jobs:read") as api:
        assert await found(api) == [report, second, first], "who may not see deliveries sees jobs"
        problem(await api.get("/jobs?queue=webhook"), 403)
        problem(await api.get(f"/jobs/{sent[0]}"), 403)


async def test_a_search_does_not_tell_what_views_hide(any_rt: Runtime) -> None:
    async with calling(any_rt, "jobs:read", "jobs:write") as api:
        made = (
            await api.post("/jobs", json={"task": "test.work", "payload": {"what": "open", "token": "zebra"}})
        ).json()
        assert await found(api, q='"what":"open"') == [made["id"]]
        for query in ("zebra", "zeb", '"token":"z'):
            assert await found(api, q=query) == [], query
            preview = {"action": "discard", "filter": {"q": query}}
            answer = (await api.post("/jobs/bulk/preview", json=preview)).json()
            assert answer["matched"] == 0, answer


async def test_a_search_looks_at_so_many_and_says_how_far_it_came(
    any_rt: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "WINDOW", 4)
    ids = [await make(any_rt, payload={"what": "this" if n in (0, 7, 9) else "that"}) for n in range(10)]
    async with calling(any_rt, "*") as api:
        page = (await api.get("/jobs?q=this")).json()
        assert [row["id"] for row in page["data"]] == [ids[9], ids[7]]
        assert page["searched_back_to"] is not None, "four were looked at, not all"
        page = (await api.get("/jobs", params={"q": "this", "cursor": page["next_cursor"]})).json()
        assert (page["data"], page["searched_back_to"] is None) == ([], False)
        page = (await api.get("/jobs", params={"q": "this", "cursor": page["next_cursor"]})).json()
        assert [row["id"] for row in page["data"]] == [ids[0]]
        assert (page["next_cursor"], page["searched_back_to"]) == (None, None)
        assert await found(api, q="this") == [ids[9], ids[7], ids[0]]


async def test_no_list_has_to_be_sorted(rt: Runtime) -> None:
    asked = [
        Wanted(),
        Wanted(queue="email"),
        Wanted(state="dead"),
        Wanted(queue="email", state="waiting"),
        Wanted(task="test.work"),
        Wanted(task="test.work", state="dead"),
        Wanted(fingerprint="f"),
        Wanted(schedule_id="s"),
        Wanted(parent_id="p"),
        Wanted(pinned=True),
    ]
    async with rt.database.read() as session:
        for wanted in asked:
            for branch in branches(wanted):
                statement = branch.rows(list(branch.table.c), limit=51, window=1000, below="f" * 32, above=None)
                compiled = statement.compile(rt.database.engine.sync_engine, compile_kwargs={"literal_binds": True})
                plan = [row[3] for row in await session.execute(text(f"EXPLAIN QUERY PLAN {compiled}"))]
                where = [step for step in plan if "materialize" not in step.lower()]
                if not branch.others:
                    assert not [step for step in where if "TEMP B-TREE" in step], (wanted, plan)
                assert not [step for step in plan if step.startswith("SCAN job") and "USING" not in step], plan


async def test_what_failed_runs_once_more_when_asked(any_rt: Runtime) -> None:
    async with calling(any_rt, "*") as api:
        id_ = await make(any_rt, payload={"what": "fail", "n": 1}, unique_key="k")
        problem(await api.post(f"/jobs/{id_}/retry"), 409)
        await run_jobs(any_rt)
        await set_rows(any_rt, "UPDATE job SET attempts = 2 WHERE id = :id", id=id_)
        other = await make(any_rt, payload={"what": "falter"}, unique_key="k")
        problem(await api.post(f"/jobs/{id_}/retry"), 409)
        await run_jobs(any_rt)
        assert (await api.get(f"/jobs/{other}")).json()["state"] == "delayed"
        hurried = (await api.post(f"/jobs/{other}/retry")).json()
        assert (hurried["state"], hurried["max_attempts"]) == ("waiting", 2), "now, but no more often"
        await api.post(f"/jobs/{other}/cancel")
        retried = await api.post(f"/jobs/{id_}/retry")
        assert (retried.status_code, retried.json()["state"], retried.json()["max_attempts"]) == (202, "waiting", 3)
        await run_jobs(any_rt)
        detail = (await api.get(f"/jobs/{id_}")).json()
        assert (detail["state"], detail["attempt_count"]) == ("dead", 3)
        assert "Retried by test." in [moment["detail"] for moment in detail["timeline"]]
        await set_rows(any_rt, "UPDATE job SET payload = '{}' WHERE id = :id", id=id_)
        await api.post(f"/jobs/{id_}/retry")
        await run_jobs(any_rt)
        assert (await api.get(f"/jobs/{id_}")).json()["state"] == "completed"
        problem(await api.post("/jobs/job_none/retry"), 404)


async def test_cancel_and_discard_can_be_taken_back_for_ten_seconds(any_rt: Runtime) -> None:
    async with calling(any_rt, "*") as api:
        waits, later = await make(any_rt), await make(any_rt, run_at=now_ms() + 3_600_000)
        for id_, state in ((waits, "waiting"), (later, "delayed")):
            for act in ("cancel", "discard"):
                before = (await api.get(f"/jobs/{id_}")).json()
                gone = (await api.post(f"/jobs/{id_}/{act}")).json()
                assert (gone["state"], gone["undo_action"]) == ("cancelled", act), "it is not begun meanwhile"
                assert gone["undo_until"] > gone["finished_at"]
                problem(await api.post(f"/jobs/{id_}/{act}"), 409)
                back = (await api.post(f"/jobs/{id_}/undo")).json()
                assert (back["state"], back["undo_until"], back["run_at"]) == (state, None, before["run_at"])
                problem(await api.post(f"/jobs/{id_}/undo"), 409)
        both = await asyncio.gather(*(api.post(f"/jobs/{waits}/cancel") for _ in range(2)))
        assert sorted(each.status_code for each in both) == [200, 409]
        await set_rows(any_rt, "UPDATE job_undo SET until = :now", now=now_ms())
        problem(await api.post(f"/jobs/{waits}/undo"), 409)
        # Discarded, it leaves when its time is over; taken back or retried, it stays.
        await api.post(f"/jobs/{waits}/discard")
        await api.post(f"/jobs/{later}/discard")
        await api.post(f"/jobs/{later}/retry")
        await retention.finish_discards(any_rt)
        assert await found(api) == [later, waits]
        await set_rows(any_rt, "UPDATE job_undo SET until = :now", now=now_ms())
        await retention.finish_discards(any_rt)
        assert await found(api) == [later]
        assert (await counted(any_rt, "workflow"))["gone_cancelled"] == 1
        # What runs is stopped; that is not taken back.
        await set_rows(any_rt, "UPDATE job SET state = 'active' WHERE id = :id", id=later)
        stopping = (await api.post(f"/jobs/{later}/cancel")).json()
        assert (stopping["state"], stopping["cancel_asked"], stopping["undo_until"]) == ("active", True, None)
        problem(await api.post(f"/jobs/{later}/discard"), 409)
        problem(await api.post(f"/jobs/{later}/undo"), 409)
        acts = [row["action"] for row in (await api.get("/audit?limit=100")).json()["data"]]
        assert {"job.cancelled", "job.discarded", "job.undone", "job.retried"} <= set(acts)


async def test_who_is_faster_wins_and_the_other_is_told(any_rt: Runtime) -> None:
    RAN.clear()
    ids = [await make(any_rt, task="test.ledger") for _ in range(60)]

    async def call_off(id_: str, after_s: float) -> bool:
        await asyncio.sleep(after_s)
        try:
            return (await service.cancel_job(any_rt, SYSTEM, id_)).state == "cancelled"
        except ConflictError:
            return False

    async def hurry(id_: str, after_s: float) -> None:
        await asyncio.sleep(after_s)
        with contextlib.suppress(ConflictError):
            await service.retry_job(any_rt, SYSTEM, id_)

    calls = [call_off(id_, n / 500) for n, id_ in enumerate(ids)]
    *called_off, _ = await asyncio.gather(*calls, run_jobs(any_rt))
    for id_, off in zip(ids, called_off, strict=True):
        job = await service.get_job(any_rt, SYSTEM, id_)
        assert (job.state, RAN.count(id_)) == (("cancelled", 0) if off else ("completed", 1)), job
    # Each of these is run once more, however often and by whomever that is asked for at once.
    await asyncio.gather(*(hurry(id_, 0) for id_ in ids[:10] for _ in range(3)))
    await run_jobs(any_rt)
    again = [RAN.count(id_) - (0 if off else 1) for id_, off in zip(ids, called_off, strict=True)]
    assert again == [*[1] * 10, *[0] * 50]


async def test_a_delivery_is_a_job_of_its_queue(any_rt: Runtime) -> None:
    async with calling(any_rt, "*") as api:
        (id_,) = await owe(api, 1)
        gone = (await api.post(f"/jobs/{id_}/cancel")).json()
        assert (gone["queue"], gone["state"], gone["undo_action"]) == ("webhook", "cancelled", "cancel")
        back = (await api.post(f"/jobs/{id_}/undo")).json()
        assert (back["state"], back["undo_until"]) == ("waiting", None)
        problem(await api.post(f"/jobs/{id_}/undo"), 409)
        problem(await api.post(f"/jobs/{id_}/discard"), 409)
        problem(await api.post(f"/jobs/{id_}/pin"), 409)
        problem(await api.post(f"/jobs/{id_}/retry"), 409)
        detail = (await api.get(f"/jobs/{id_}")).json()
        assert detail["payload"]["data"] == {"invoice": "in_0"}
        assert (detail["task"], detail["summary"], detail["attempts"]) == ("webhook.deliver", "a.b", [])
        assert detail["trace_id"] == (await api.get(f"/deliveries/{id_}")).json()["trace_id"]
    async with calling(any_rt, "jobs:read", "jobs:write") as api:
        problem(await api.post(f"/jobs/{id_}/cancel"), 403)


async def test_failures_alike_are_one_line(any_rt: Runtime) -> None:
    async with calling(any_rt, "*") as api:
        for n in range(3):
            await make(any_rt, payload={"what": "fail", "n": n})
        await make(any_rt, payload={"what": "falter"})
        await make(any_rt, payload={"what": "fail"}, tenant="acme")
        await run_jobs(any_rt)
        sent = await owe(api, 2, name="Billing")
        await set_rows(
            any_rt, "UPDATE delivery SET status = 'failed', last_error = 'status', last_status_code = 503, attempts = 1"
        )
        answer = (await api.get("/jobs/failures")).json()
        shown = [(row["task"], row["dead"], row["retrying"], row["error"]) for row in answer["data"]]
        assert shown == [
            ("test.work", 4, 0, "refused, for the 0th time"),
            ("webhook.deliver", 2, 0, "HTTP 503, by Billing"),
            ("test.work", 0, 1, "not now"),
        ]
        assert answer["complete"]
        refused, sending, _ = answer["data"]
        assert refused["first_seen"] <= refused["last_seen"]
        assert len(await found(api, fingerprint=refused["fingerprint"])) == 4
        assert await found(api, fingerprint=sending["fingerprint"], state="dead") == sent[::-1]
        assert sending["example_id"] == sent[1]
    async with calling(any_rt, "jobs:read", tenant="acme") as api:
        assert [row["dead"] for row in (await api.get("/jobs/failures")).json()["data"]] == [1]


async def test_ended_jobs_leave_when_their_time_is_over_unless_pinned(any_rt: Runtime) -> None:
    day = 24 * 3600 * 1000
    ids = {}
    for name, state, days in (
        ("old", "completed", 8),
        ("new", "completed", 6),
        ("dead", "dead", 8),
        ("long dead", "dead", 29),
        ("pinned", "completed", 30),
        ("open", "waiting", 30),
    ):
        at = now_ms() - days * day
        ids[name] = await make(any_rt, id=f"job_{at:012x}{len(ids):020x}")
        await set_rows(
            any_rt,
            "UPDATE job SET state = :s, finished_at = :at, created_at = :at WHERE id = :id",
            s=state,
            at=at,
            id=ids[name],
        )
    await set_rows(any_rt, "UPDATE job SET finished_at = NULL WHERE state = 'waiting'")
    async with calling(any_rt, "*") as api:
        await api.post(f"/jobs/{ids['pinned']}/pin", json={"pinned": True})
        assert await retention.delete_old_jobs(any_rt) == 2
        assert set(await found(api)) == {ids[name] for name in ("new", "dead", "pinned", "open")}
        numbers = await counted(any_rt, "workflow")
        assert (numbers["gone_completed"], numbers["gone_dead"]) == (1, 1)


async def test_queues_are_paused_resumed_and_drained_with_a_note(rt: Runtime) -> None:
    async with calling(rt, "*") as api:
        said = (await api.post("/queue/email/pause", json={"note": "The provider is down."})).json()
        assert (said["mode"], said["note"], said["changed_by"]) == ("paused", "The provider is down.", "test")
        assert (await api.post("/queue/email/drain")).json()["mode"] == "draining"
        assert (await api.post("/queue/email/resume")).json()["mode"] == "running"
        problem(await api.post("/queue/none/pause"), 404)
        problem(await api.post("/queue/email/pause", json={"note": "x" * 501}), 422, "/note")


def test_a_fingerprint_of_a_delivery_is_read_as_it_was_written() -> None:
    webhook = f"wh_{'0' * 32}"
    for alike in ((webhook, "status", 503), (webhook, "timeout", None)):
        assert selecting.read_fingerprint(selecting.fingerprint_of_delivery(*alike) or "") == alike
    for text_ in ("", "f1", f"{webhook}/", f"{webhook}/status/x", "wh_1/status/503", f"{webhook}/status/²"):
        assert selecting.read_fingerprint(text_) is None, text_


async def test_each_worker_says_what_it_is_doing(any_rt: Runtime) -> None:
    heartbeat = Heartbeat(any_rt.settings, "w1", {"workflow": 16}, lambda: {"workflow": 2})
    heartbeat.start()
    try:
        first, second = await make(any_rt), await make(any_rt, tenant="acme")
        await make(any_rt, run_at=now_ms() + 3_600_000)
        await any_rt.database.run_write(
            lambda connection: claim(connection, "workflow", owner="w1", room=9, now=now_ms())
        )
        async with calling(any_rt, "jobs:read") as api:
            async with asyncio.timeout(10):
                while not (await api.get("/workers")).json()["data"]:
                    await asyncio.sleep(0.05)
            (worker,) = (await api.get("/workers")).json()["data"]
        assert (worker["name"], worker["slots"], worker["running"]) == ("w1", {"workflow": 16}, {"workflow": 2})
        assert {(job["id"], job["task"]) for job in worker["jobs"]} == {(first, "test.work"), (second, "test.work")}
        async with calling(any_rt, "jobs:read", tenant="acme") as api:
            (worker,) = (await api.get("/workers")).json()["data"]
            assert [job["id"] for job in worker["jobs"]] == [second]
            # One that stops without a word is told of as gone, with what it held.
            beat = await any_rt.valkey.get("{np}:worker:w1")
            await any_rt.valkey.zadd("{np}:workers", {"w0": now_ms() - 60_000})
            await any_rt.database.run_write(
                lambda connection: connection.execute(update(JOB).where(JOB.c.id == second).values(claimed_by="w0"))
            )
            answer = (await api.get("/workers")).json()
            assert beat and [worker["name"] for worker in answer["data"]] == ["w1"]
            assert [(gone["name"], gone["jobs"][0]["id"]) for gone in answer["gone"]] == [("w0", second)]
    finally:
        heartbeat.stop()


async def test_workers_are_unknown_and_not_none_while_valkey_is_away(
    rt: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = connect_valkey("redis://127.0.0.1:9/0")
    monkeypatch.setattr(rt, "valkey", away)
    with pytest.raises(UnavailableError, match="Valkey"):
        await list_workers(rt, SYSTEM)
    await away.aclose()


async def test_the_service_asks_the_actor_itself(rt: Runtime) -> None:
    nobody = replace(SYSTEM, permissions=frozenset())
    id_ = await make(rt)
    for act in (service.retry_job, service.cancel_job, service.discard_job, service.undo_job, service.get_job):
        with pytest.raises(ForbiddenError):
            await act(rt, nobody, id_)
