"""Schedules: what is refused when it is made, what fires when, and that one time is one job."""

from __future__ import annotations

import asyncio
import sys
from datetime import datetime
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from sqlalchemy import text

import tests.integration.test_jobs_api  # noqa: F401 - declares the tasks
from novapulse.core.clock import now_ms, parse_rfc3339, rfc3339
from novapulse.core.ids import is_id
from novapulse.core.runtime import Runtime
from novapulse.jobs.cron import BadCronError, explain, next_fires
from novapulse.jobs.schedules import fire_schedules, tick_id
from novapulse.jobs.tasks import TASKS
from novapulse.tasks import load_all_tasks
from tests.calls import calling, problem
from tests.instance import clean_environment
from tests.jobs import run_jobs

MINUTE = 60_000


async def make(api: httpx.AsyncClient, **values: Any) -> dict[str, Any]:
    body = {"name": "Nightly", "task": "test.work", "cron": "0 3 * * *"} | values
    answer = await api.post("/schedules", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def set_due(rt: Runtime, at: int) -> None:
    async with rt.database.write() as session:
        await session.execute(text("UPDATE schedule SET next_run_at = :at"), {"at": at})


async def test_what_could_never_run_is_refused_when_it_is_made_and_says_where(rt: Runtime) -> None:
    async with calling(rt, "*") as api:
        good = {"name": "x", "task": "test.work", "cron": "0 3 * * *"}
        for pointer, word, change in (
            ("/cron", "never fires: the month '2' has no day 30", {"cron": "0 0 30 2 *"}),
            ("/cron", "never fires", {"cron": "0 0 31 2,4,6,9,11 *"}),
            ("/cron", "the minute '60' is not valid", {"cron": "60 * * * *"}),
            ("/cron", "the day of week 'FUNDAY' is not valid", {"cron": "0 0 * * FUNDAY"}),
            ("/cron", "has 6 fields, not five", {"cron": "0 0 0 * * *"}),
            ("/timezone", "no time zone 'Mars/Phobos'", {"timezone": "Mars/Phobos"}),
            ("/timezone", "no time zone", {"timezone": "../../etc/passwd"}),
            ("/timezone", "no time zone", {"timezone": "Europe"}),
            ("/task", "there is no task", {"task": "nothing"}),
            ("/task", "NovaPulse itself", {"task": "test.inner"}),
            ("/payload/n", "integer", {"payload": {"n": "many"}}),
        ):
            assert word in problem(await api.post("/schedules", json=good | change), 422, pointer)["detail"]
        problem(await api.post("/schedules/preview", json={"cron": "* * 31 2 *"}), 422, "/cron")
        assert (await api.get("/schedules")).json()["data"] == []
        made = await make(api)
        for pointer, change in (("/cron", {"cron": "* * 30 2 *"}), ("/name", {"name": None}), ("/task", {"task": "x"})):
            problem(await api.patch(f"/schedules/{made['id']}", json=change), 422, pointer)


async def test_schedules_are_made_found_changed_and_deleted(any_rt: Runtime) -> None:
    async with calling(any_rt, "*") as api:
        made = await make(
            api, cron=" */15  9-17 * * MON-FRI ", timezone="Europe/Paris", payload={"token": "hidden-one"}
        )
        assert is_id(made["id"], "sch")
        assert made["cron"] == "*/15 9-17 * * MON-FRI"
        assert made["explanation"].startswith("Every 15th minute from 09:00")
        assert made["payload"]["token"] == "••••••"
        preview = (await api.post("/schedules/preview", json={"cron": made["cron"], "timezone": "Europe/Paris"})).json()
        assert preview["next"][0] == made["next_run_at"] and len(preview["next"]) == 5
        other = await make(api, tenant="acme", enabled=False)
        assert other["next_run_at"] is None
        pages = (await api.get("/schedules?limit=1")).json()
        rest = (await api.get("/schedules", params={"cursor": pages["next_cursor"]})).json()
        assert [row["id"] for row in pages["data"] + rest["data"]] == [other["id"], made["id"]]
        path = f"/schedules/{made['id']}"
        off = (await api.patch(path, json={"enabled": False, "name": "Office hours"})).json()
        assert (off["name"], off["next_run_at"], off["cron"]) == ("Office hours", None, made["cron"])
        problem(await api.patch(path, json={"payload": off["payload"]}), 422, "/payload")
        assert (await api.patch(path, json={"enabled": True})).json()["next_run_at"] == made["next_run_at"]
        assert (await api.delete(f"/schedules/{other['id']}")).status_code == 204
        problem(await api.get(f"/schedules/{other['id']}"), 404)
        acts = {row["action"] for row in (await api.get("/audit?limit=50")).json()["data"]}
        assert {"schedule.created", "schedule.changed", "schedule.deleted"} <= acts
    async with calling(any_rt, "jobs:read", "jobs:write", tenant="acme") as api:
        problem(await api.get(path), 404)
        problem(await api.post(f"{path}/run"), 404)
        problem(
            await api.post("/schedules", json={"name": "x", "task": "test.work", "cron": "* * * * *", "tenant": "b"}),
            422,
            "/tenant",
        )
        assert (await make(api))["tenant"] == "acme"


async def test_one_time_is_one_job_whoever_fires_it_how_often(any_rt: Runtime) -> None:
    async with calling(any_rt, "*") as api:
        made = await make(api, cron="* * * * *", overlap="queue", tenant="acme")
        assert await fire_schedules(any_rt) == 0
        due = now_ms() - 30 * MINUTE  # nobody was there for half an hour
        await set_due(any_rt, due)
        assert sum(await asyncio.gather(*(fire_schedules(any_rt) for _ in range(3)))) == 1
        seen = (await api.get(f"/schedules/{made['id']}")).json()
        assert (seen["last_run_at"], seen["last_job_id"]) == (rfc3339(due), tick_id(made["id"], due))
        assert seen["last_state"] == "waiting"
        assert parse_rfc3339(seen["next_run_at"]) > now_ms(), "made up for once"
        await set_due(any_rt, due)  # as from a backup: the same time again
        assert await fire_schedules(any_rt) == 0
        assert "already" in (await api.get(f"/schedules/{made['id']}")).json()["last_error"]
        await run_jobs(any_rt)
        (job,) = (await api.get(f"/jobs?schedule_id={made['id']}")).json()["data"]
        assert (job["state"], job["created_by"], job["tenant"]) == ("completed", "schedule Nightly", "acme")
        assert is_id(job["id"], "job")


async def test_jobs_of_a_schedule_do_not_overlap_unless_they_may(any_rt: Runtime) -> None:
    async with calling(any_rt, "*") as api:
        made = await make(api)
        ran = await api.post(f"/schedules/{made['id']}/run")
        assert (ran.status_code, ran.json()["schedule_id"]) == (202, made["id"])
        assert ran.json()["id"] in problem(await api.post(f"/schedules/{made['id']}/run"), 409)["detail"]
        await set_due(any_rt, now_ms())
        assert await fire_schedules(any_rt) == 0
        seen = (await api.get(f"/schedules/{made['id']}")).json()
        assert "is open already" in seen["last_error"] and seen["last_job_id"] == ran.json()["id"]
        await run_jobs(any_rt)
        await set_due(any_rt, now_ms())
        assert await fire_schedules(any_rt) == 1
        assert (await api.get(f"/schedules/{made['id']}")).json()["last_error"] is None


async def test_a_task_that_is_gone_does_not_stop_the_others(any_rt: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    async with calling(any_rt, "*") as api:
        monkeypatch.setitem(TASKS, "test.gone", TASKS["test.work"])
        gone = await make(api, task="test.gone")
        async with any_rt.database.write() as session:
            await session.execute(text("UPDATE schedule SET task = 'test.gone'"))
        await make(api)
        monkeypatch.delitem(TASKS, "test.gone")
        await set_due(any_rt, now_ms())
        assert await fire_schedules(any_rt) == 1
        seen = (await api.get(f"/schedules/{gone['id']}")).json()
        assert "there is no task 'test.gone'" in seen["last_error"]
        assert parse_rfc3339(seen["next_run_at"]) > now_ms()


async def test_the_scheduler_fires_and_has_what_is_discarded_leave(rt: Runtime) -> None:
    load_all_tasks(rt.settings)
    async with calling(rt, "*") as api:
        for task in ("http.request", "test.work"):  # the second is one that the scheduler's process does not know
            payload = {"url": "https://example.com"} if task == "http.request" else {}
            await make(api, name=task, task=task, payload=payload)
        gone = (await api.post("/jobs", json={"task": "test.work"})).json()["id"]
        await api.post(f"/jobs/{gone}/discard")
        async with rt.database.write() as session:
            await session.execute(text("UPDATE job_undo SET until = 1"))
        await set_due(rt, now_ms())
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "novapulse.cli", "scheduler"),
            env=clean_environment(data_dir=str(rt.settings.data_dir), redis_url=rt.settings.redis_url),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(30):
                while True:
                    seen = {row["name"]: row for row in (await api.get("/schedules")).json()["data"]}
                    left = (await api.get(f"/jobs/{gone}")).status_code == 404
                    if left and all(row["last_run_at"] for row in seen.values()):
                        break
                    await asyncio.sleep(0.1)
        finally:
            process.terminate()
            await process.wait()
        job = (await api.get(f"/jobs/{seen['http.request']['last_job_id']}")).json()
        assert (job["task"], job["state"]) == ("http.request", "waiting")
        assert "there is no task 'test.work'" in seen["test.work"]["last_error"]


def local(timezone: str, *ats: str) -> list[int]:
    return [round(datetime.fromisoformat(at).replace(tzinfo=ZoneInfo(timezone)).timestamp() * 1000) for at in ats]


def test_a_cron_expression_keeps_to_the_clock_of_its_time_zone() -> None:
    paris = "Europe/Paris"
    spring, autumn = local(paris, "2026-03-28T12:00", "2026-10-24T12:00")
    # 02:30 is left out on 29 March: it fires right after; the day after it is at its time again.
    assert next_fires("30 2 * * *", paris, spring, 2) == local(paris, "2026-03-29T03:00", "2026-03-30T02:30")
    # 02:30 comes twice on 25 October: once.
    assert next_fires("30 2 * * *", paris, autumn, 2) == local(paris, "2026-10-25T02:30", "2026-10-26T02:30")
    fires = next_fires("*/30 * * * *", paris, autumn, 40)
    assert {b - a for a, b in pairwise(fires)} == {30 * MINUTE}, "every half hour of real time"
    start = parse_rfc3339("2026-01-31T00:00:00Z")
    assert [rfc3339(at) for at in next_fires("0 0 29 2 *", "UTC", start, 1)] == ["2028-02-29T00:00:00.000Z"]
    assert [rfc3339(at)[:10] for at in next_fires("0 0 L * *", "UTC", start, 3)] == [
        "2026-02-28",
        "2026-03-31",
        "2026-04-30",
    ]
    assert next_fires("0 0 * * *", "UTC", start, 1) == [start + 24 * 60 * MINUTE], "after, not at"


@pytest.mark.parametrize(
    "cron",
    [
        "",
        "* * * *",
        "x * * * *",
        "*/0 * * * *",
        "5-1 * * * *",
        "* * 0 * *",
        "* * * 13 *",
        ",".join(map(str, [1] * 99)) + " * * * *",
        "@daily",
        "* * * * \u0663",
    ],
)
def test_what_is_no_cron_expression_is_none(cron: str) -> None:
    with pytest.raises(BadCronError):
        next_fires(cron, "UTC", 0, 1)
    assert isinstance(explain(cron), str)
