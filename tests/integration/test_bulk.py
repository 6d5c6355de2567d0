"""One act on all jobs that a filter finds: what it would touch, and what it did, whatever stops it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from sqlalchemy import text

import tests.integration.test_jobs_api  # noqa: F401 - declares the tasks
from novapulse.core.clock import now_ms
from novapulse.core.runtime import Runtime
from novapulse.jobs import bulk_task
from novapulse.jobs.enqueue import NewJob, add_job
from tests.calls import PUBLIC_URL, calling, problem
from tests.jobs import run_jobs


async def make(rt: Runtime, count: int, state: str = "dead", **values: Any) -> list[str]:
    """Jobs in a state, the oldest first."""
    async with rt.database.write() as session:
        ids = [await add_job(session, NewJob(**({"task": "test.work"} | values))) for _ in range(count)]
        for id_ in ids:
            ended = now_ms() - 1_000 if state in ("dead", "completed", "cancelled") else None
            await session.execute(
                text("UPDATE job SET state = :s, finished_at = :at, attempts = :n, lease_until = :l WHERE id = :id"),
                {"l": now_ms() + 60_000, "s": state, "at": ended, "n": 2 if state == "dead" else 0, "id": id_},
            )
    return ids


async def states(rt: Runtime, ids: list[str]) -> list[str]:
    async with rt.database.read() as session:
        rows = {row[0]: row[1] for row in await session.execute(text("SELECT id, state FROM job"))}
    return [rows.get(id_, "gone") for id_ in ids]


async def work_off(rt: Runtime, api: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    """Run jobs until this one is over, time going by."""
    for _ in range(50):
        await run_jobs(rt)
        job = (await api.get(f"/jobs/{job_id}")).json()
        if job["state"] not in ("waiting", "delayed"):
            return job
        async with rt.database.write() as session:
            await session.execute(text("UPDATE job SET run_at = 0 WHERE id = :id"), {"id": job_id})
    raise AssertionError(job)


async def start(api: httpx.AsyncClient, action: str, filter_: dict[str, Any], **more: Any) -> str:
    answer = await api.post("/jobs/bulk", json={"action": action, "filter": filter_} | more)
    assert answer.status_code == 202, answer.text
    return answer.json()["job_id"]


async def test_a_preview_says_what_would_be_touched_and_what_repeated(any_rt: Runtime) -> None:
    await make(any_rt, 3, payload={"what": "find me"})
    await make(any_rt, 2, tenant="acme")
    done = await make(any_rt, 4, "completed")
    await make(any_rt, 1, "waiting")
    async with calling(any_rt, "*") as api:

        async def preview(action: str, **filter_: Any) -> dict[str, Any]:
            answer = await api.post("/jobs/bulk/preview", json={"action": action, "filter": filter_})
            assert answer.status_code == 200, answer.text
            return answer.json()

        seen = await preview("retry", queue="workflow")
        assert (seen["matched"], seen["touched"], seen["by_state"]) == (10, 5, {"dead": 5})
        assert seen["untouched"] == {"completed": 4, "waiting": 1}, "what ended well only if it is asked for"
        assert seen["by_tenant"] == {"": 3, "acme": 2}
        assert seen["repeats"] == [{"task": "test.work", "completed": 0, "attempted": 5}]
        assert seen["complete"]
        assert (await preview("retry", state="completed"))["repeats"][0]["completed"] == 4
        assert (await preview("retry", ids=done[:2]))["by_state"] == {"completed": 2}
        assert (await preview("discard", q="find me"))["touched"] == 3
        assert (await preview("cancel", queue="workflow"))["by_state"] == {"waiting": 1}
        for pointer, body in {
            "/filter": {"action": "retry", "filter": {}},
            "/filter/state": {"action": "retry", "filter": {"state": "waiting"}},
            "/filter/queue": {"action": "discard", "filter": {"queue": "webhook"}},
            "/filter/since": {"action": "retry", "filter": {"since": "yesterday"}},
            "/action": {"action": "explode", "filter": {"queue": "email"}},
        }.items():
            problem(await api.post("/jobs/bulk/preview", json=body), 422, pointer)
            problem(await api.post("/jobs/bulk", json=body), 422, pointer)
        body = {"action": "cancel", "filter": {"queue": "email"}, "canary": {}}
        problem(await api.post("/jobs/bulk", json=body), 422, "/canary")
        assert (await api.get("/jobs?task=jobs.bulk")).json()["data"] == []


async def test_all_that_match_are_retried_once_and_nothing_else(
    any_rt: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_task, "_STEP", 3)
    well, badly = await make(any_rt, 5), await make(any_rt, 4, payload={"what": "fail"})
    twins = await make(any_rt, 2, unique_key=None)
    async with any_rt.database.write() as session:
        await session.execute(text(f"UPDATE job SET unique_key = 'k' WHERE id IN {tuple(twins)}"))
    done, theirs = await make(any_rt, 1, "completed"), await make(any_rt, 1, tenant="acme")
    async with calling(any_rt, "*") as api:
        job = await work_off(any_rt, api, await start(api, "retry", {"queue": "workflow"}))
        assert job["state"] == "completed", job
        assert job["result"] == {"stopped": None, "touched": 11, "skipped": 1, "succeeded": 0, "failures": 0}
        assert await states(any_rt, well) == ["completed"] * 5
        assert sorted(await states(any_rt, twins)) == ["completed", "dead"], "one key, one open job"
        failed = [(await api.get(f"/jobs/{id_}")).json() for id_ in badly]
        assert [(each["state"], each["attempt_count"]) for each in failed] == [("dead", 3)] * 4, "once, not again"
        assert (await api.get(f"/jobs/{done[0]}")).json()["attempt_count"] == 0
        assert (await api.get("/audit?action=job.bulk_retried")).json()["data"][0]["detail"]["touches"] == 12
    async with calling(any_rt, "jobs:read", "jobs:write", tenant="acme") as api:
        job = await work_off(any_rt, api, await start(api, "discard", {"state": "completed"}))
        assert await states(any_rt, [*theirs, *well]) == ["gone", *["completed"] * 5], "of their own"


async def test_a_canary_that_dies_stops_it_and_new_failures_do(any_rt: Runtime) -> None:
    async with calling(any_rt, "*") as api:
        bad = await make(any_rt, 3, payload={"what": "fail"})
        job_id = await start(api, "retry", {"task": "test.work", "state": "dead"}, canary={"first": 1, "batch": 10})
        job = await work_off(any_rt, api, job_id)
        assert "of the first 1, 1 failed again" in job["result"]["stopped"]
        tries = [(await api.get(f"/jobs/{id_}")).json()["attempt_count"] for id_ in bad]
        assert tries == [3, 2, 2]
        await start(api, "discard", {"state": "dead"})
        async with any_rt.database.write() as session:
            await session.execute(text("DELETE FROM job WHERE task = 'test.work' OR state = 'delayed'"))
        # The first is well; of the following two and two, both fail: it stops before the last.
        good = await make(any_rt, 1)
        bad = await make(any_rt, 6, payload={"what": "falter"})
        canary = {"first": 1, "batch": 2, "max_failures": 3}
        job = await work_off(any_rt, api, await start(api, "retry", {"state": "dead"}, canary=canary))
        assert job["result"]["stopped"].startswith("Stopped after 4 new failures")
        assert await states(any_rt, [*good, *bad]) == ["completed", *["dead"] * 6]
        tries = [(await api.get(f"/jobs/{id_}")).json()["attempt_count"] for id_ in bad]
        assert tries == [3, 3, 3, 3, 2, 2]
        assert any("failed" in line["line"] for line in job["logs"])
        # When all is well, it goes through; what is not over in time counts as failed.
        async with any_rt.database.write() as session:
            await session.execute(text("DELETE FROM job"))
        good = await make(any_rt, 5)
        job = await work_off(any_rt, api, await start(api, "retry", {"state": "dead"}, canary={"batch": 2}))
        assert (job["result"]["stopped"], job["result"]["succeeded"]) == (None, 5)
        await make(any_rt, 2, task="test.inner")
        job_id = await start(api, "retry", {"state": "dead"}, canary={"wait_s": 1})
        await run_jobs(any_rt, ["workflow"])
        waiting = (await api.get(f"/jobs/{job_id}")).json()
        assert waiting["state"] == "delayed" and "waiting for 1 of a batch of 1" in waiting["progress_text"]
        async with any_rt.database.write() as session:
            await session.execute(text("UPDATE job_bulk SET batch_at = 0"))
            await session.execute(text("UPDATE job SET run_at = 0 WHERE id = :id"), {"id": job_id})
        await run_jobs(any_rt, ["workflow"])
        assert "1 failed again" in (await api.get(f"/jobs/{job_id}")).json()["result"]["stopped"]


async def test_a_bulk_action_goes_on_where_it_was_and_can_be_stopped(
    any_rt: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_task, "_STEP", 2)
    waits, runs = (
        await make(any_rt, 5, "waiting", task="test.inner"),
        await make(any_rt, 1, "active", task="test.inner"),
    )
    keep = bulk_task._keep
    kept = 0

    def dies(*args: Any) -> bool:
        nonlocal kept
        kept += 1
        if kept == 2:
            raise OSError("the power failed")
        return keep(*args)

    monkeypatch.setattr(bulk_task, "_keep", dies)
    async with calling(any_rt, "*") as api:
        job_id = await start(api, "cancel", {"queue": "report"})
        await run_jobs(any_rt, ["workflow"])
        assert (await states(any_rt, waits)).count("cancelled") == 2, "a step is done with its record or not at all"
        job = (await api.get(f"/jobs/{job_id}")).json()
        assert (job["state"], job["error"]) == ("delayed", "OSError: the power failed")
        async with any_rt.database.write() as session:
            await session.execute(text("UPDATE job SET run_at = 0 WHERE id = :id"), {"id": job_id})
        await run_jobs(any_rt, ["workflow"])
        job = (await api.get(f"/jobs/{job_id}")).json()
        assert (job["state"], job["result"]["touched"], job["progress"]) == ("completed", 6, 1.0)
        assert await states(any_rt, waits) == ["cancelled"] * 5
        assert (await api.get(f"/jobs/{runs[0]}")).json()["cancel_asked"]
        # A discard starts after ten seconds: cancelled by then, it has done nothing.
        answer = await api.post("/jobs/bulk", json={"action": "discard", "filter": {"state": "cancelled"}})
        assert (await api.post(f"/jobs/{answer.json()['job_id']}/cancel")).json()["state"] == "cancelled"
        assert await states(any_rt, waits) == ["cancelled"] * 5


async def test_deliveries_are_retried_and_cancelled_in_bulk(any_rt: Runtime) -> None:
    async with calling(any_rt, "*") as api:
        webhook = (await api.post("/webhooks", json={"url": PUBLIC_URL, "ordered": True})).json()["id"]
        for n in range(4):
            await api.post("/events", json={"type": "a.b", "data": n})
        async with any_rt.database.write() as session:
            await session.execute(
                text("UPDATE delivery SET status = 'failed', finished_at = 1, last_error = 'dns', attempts = 8")
            )
        alike = (await api.get("/jobs/failures")).json()["data"][0]["fingerprint"]
        await work_off(any_rt, api, await start(api, "retry", {"fingerprint": alike}))
        rows = (await api.get(f"/webhooks/{webhook}/deliveries")).json()["data"]
        assert [row["status"] for row in rows] == ["retrying"] * 4
        await work_off(any_rt, api, await start(api, "cancel", {"queue": "webhook"}))
        rows = (await api.get(f"/webhooks/{webhook}/deliveries")).json()["data"]
        assert {(row["status"], row["next_attempt_reason"]) for row in rows} == {("cancelled", "Cancelled by test.")}
    async with calling(any_rt, "jobs:read", "jobs:write", "deliveries:read") as api:
        body = {"action": "retry", "filter": {"queue": "webhook"}}
        problem(await api.post("/jobs/bulk", json=body), 403)
        assert (await api.post("/jobs/bulk/preview", json=body)).json()["touched"] == 4
        job = await work_off(any_rt, api, await start(api, "retry", {"state": "cancelled"}))
        assert job["result"]["touched"] == 0, "deliveries are not theirs to change"


async def test_a_bulk_cancel_is_taken_back_as_it_was(any_rt: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_task, "_STEP", 2)
    waits = await make(any_rt, 5, "waiting", task="test.inner")
    (later,) = await make(any_rt, 1, "delayed", task="test.inner", run_at=now_ms() + 3_600_000)
    (before,) = await make(any_rt, 1, "cancelled", task="test.inner")
    async with calling(any_rt, "*") as api:
        job_id = await start(api, "cancel", {"queue": "report"})
        await run_jobs(any_rt, ["workflow"])  # what is cancelled and taken back is of another queue
        job = (await api.get(f"/jobs/{job_id}")).json()
        assert await states(any_rt, [*waits, later]) == ["cancelled"] * 6
        assert job["undo_until"] is not None, "for ten seconds after it is done"
        assert (await api.get(f"/jobs/{later}")).json()["undo_until"] is None, "all together, not one by one"
        gone_on = waits.pop()
        assert (await api.post(f"/jobs/{gone_on}/discard")).status_code == 200
        back = (await api.post(f"/jobs/{job_id}/undo")).json()
        assert (back["task"], back["parent_id"]) == ("jobs.bulk", job_id)
        problem(await api.post(f"/jobs/{job_id}/undo"), 409)
        await run_jobs(any_rt, ["workflow"])
        done = (await api.get(f"/jobs/{back['id']}")).json()
        assert (done["state"], done["result"]["touched"]) == ("completed", 5)
        assert await states(any_rt, [*waits, later, gone_on, before]) == [
            *["waiting"] * 4, "delayed", "cancelled", "cancelled",
        ]  # fmt: skip
        assert len((await api.get("/audit?action=job.undone")).json()["data"]) == 1
        # Ten seconds later it is too late.
        job_id = await start(api, "cancel", {"queue": "report"})
        await run_jobs(any_rt, ["workflow"])
        async with any_rt.database.write() as session:
            await session.execute(text("UPDATE job_undo SET until = until - 10001 WHERE act = 'cancel'"))
        problem(await api.post(f"/jobs/{job_id}/undo"), 409)


async def test_a_delivery_in_order_takes_its_place_again_or_stays_called_off(any_rt: Runtime) -> None:
    async def deliveries() -> list[tuple[str, str, int | None]]:
        async with any_rt.database.read() as session:
            found = await session.execute(text("SELECT id, status, next_attempt_at FROM delivery ORDER BY id"))
            return [tuple(row) for row in found]  # type: ignore[misc]

    async with calling(any_rt, "*") as api:
        await api.post("/webhooks", json={"url": PUBLIC_URL, "ordered": True})
        for n in range(3):
            await api.post("/events", json={"type": "a.b", "data": n})
        before = await deliveries()
        job_id = await start(api, "cancel", {"queue": "webhook"})
        await work_off(any_rt, api, job_id)
        assert [status for _, status, _ in await deliveries()] == ["cancelled"] * 3
        back = (await api.post(f"/jobs/{job_id}/undo")).json()
        await work_off(any_rt, api, back["id"])
        assert await deliveries() == before
        # One by one as well, until a later one was sent.
        first, last = before[0][0], before[2][0]
        assert (await api.post(f"/jobs/{first}/cancel")).status_code == 200
        assert (await api.post(f"/jobs/{first}/undo")).json()["state"] == "waiting"
        assert (await api.post(f"/jobs/{first}/cancel")).status_code == 200
        async with any_rt.database.write() as session:
            sent = text("UPDATE delivery SET status = 'delivered', finished_at = :now WHERE id = :id")
            await session.execute(sent, {"now": now_ms() + 1, "id": last})
        said = problem(await api.post(f"/jobs/{first}/undo"), 409)
        assert "sends in order" in said["detail"]
        assert [status for _, status, _ in await deliveries()] == ["cancelled", "pending", "delivered"]


async def test_to_have_a_job_run_again_takes_what_it_takes_to_make_it(rt: Runtime) -> None:
    call = {"task": "http.request", "payload": {"url": PUBLIC_URL}}
    cron = {"name": "Call", "cron": "0 3 * * *", **call}
    async with calling(rt, "*") as api:
        made = (await api.post("/jobs", json=call)).json()["id"]
        schedule = (await api.post("/schedules", json=cron)).json()["id"]
        bulk = await start(api, "cancel", {"queue": "webhook"})
        inner = await start(api, "cancel", {"queue": "email"})
        await run_jobs(rt, ["workflow"])
        async with rt.database.write() as session:
            await session.execute(text("UPDATE job SET state = 'dead', finished_at = 1"))
    async with calling(rt, "jobs:read", "jobs:write") as api:
        problem(await api.post("/jobs", json=call), 403)
        problem(await api.post("/schedules", json=cron), 403)
        problem(await api.post(f"/schedules/{schedule}/run"), 403)
        for job_id in (made, bulk, inner):
            problem(await api.post(f"/jobs/{job_id}/retry"), 403)
        job = await work_off(rt, api, await start(api, "retry", {"state": "dead"}))
        assert (job["result"]["touched"], job["result"]["skipped"]) == (0, 3)
    async with calling(rt, "jobs:read", "jobs:write", "webhooks:write", "deliveries:write") as api:
        assert (await api.post(f"/jobs/{made}/retry")).status_code == 202
        assert (await api.post(f"/jobs/{bulk}/retry")).status_code == 202
