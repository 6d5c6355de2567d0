"""Reports from asking for one to its file: what is in them, who may have them, and what becomes of them."""

from __future__ import annotations

import asyncio
import csv
import io
import os
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import orjson
import psutil
import pytest
from pypdf import PdfReader
from sqlalchemy import text

from novapulse.core.actor import SYSTEM, Role
from novapulse.core.clock import now_ms, rfc3339
from novapulse.core.errors import BadRequestError, InvalidError
from novapulse.core.runtime import Runtime
from novapulse.jobs.schedules import fire_schedules
from novapulse.reports.child import make_in_child
from novapulse.reports.command import make_here
from novapulse.reports.content import Kind, Spec
from novapulse.reports.make import Order
from novapulse.reports.retention import expire_reports, tidy_folder
from novapulse.reports.schemas import ReportIn
from novapulse.reports.service import make_report
from novapulse.reports.sources.deliveries import rows_between
from novapulse.reports.tasks import MakeReport, make
from tests.calls import ORIGIN, calling, make_cookie, make_user, problem
from tests.jobs import run_jobs
from tests.reporting import HOUR, T0, Tried, add_attempts, add_job, add_minute, add_webhook, id_at

A, B = "wh_" + "a" * 32, "wh_" + "b" * 32
DAY = {"since": rfc3339(T0), "until": rfc3339(T0 + 24 * HOUR)}


async def made(rt: Runtime, api: httpx.AsyncClient, kind: Kind, format_: str = "csv", **params: Any) -> dict[str, Any]:
    """A report that is finished."""
    body = {"kind": kind, "format": format_, "params": params or DAY}
    response = await api.post("/reports", json=body)
    assert response.status_code == 202, response.text
    assert response.json()["status"] == "queued"
    await run_jobs(rt, ["report"])
    view = (await api.get(f"/reports/{response.json()['id']}")).json()
    assert view["status"] == "ready", view
    return view


async def rows_of(api: httpx.AsyncClient, view: dict[str, Any]) -> list[dict[str, str]]:
    response = await api.get(f"/reports/{view['id']}/download")
    assert response.status_code == 200, response.text
    assert response.headers["content-disposition"].startswith('attachment; filename="novapulse-')
    assert response.headers["cache-control"] == "no-store"
    assert len(response.content) == view["bytes"]
    rows = list(csv.DictReader(io.StringIO(response.text, newline="")))
    assert len(rows) == view["rows"]
    return rows


async def fill(rt: Runtime) -> None:
    """A day with known numbers, and what lies just outside of it."""
    await add_webhook(rt, A, "=Billing")
    await add_webhook(rt, B, tenant="acme")
    end = T0 + 24 * HOUR
    await add_attempts(
        rt,
        [
            Tried(T0 - 1),
            Tried(T0),
            Tried(T0 + HOUR, ok=False, code=503),
            Tried(T0 + 2 * HOUR, ok=False, error="timeout", hook=B, tenant="acme"),
            Tried(end - 1, hook=B, tenant="acme"),
            Tried(end),
        ],
    )
    for hook, at, good, bad in ((A, T0 - 60_000, 9, 9), (A, T0, 8, 2), (B, T0 + HOUR, 0, 5), (B, end, 9, 9)):
        await add_minute(rt, hook, at, good, bad, given_up=bad)
    for number, (ended, state, more) in enumerate(
        [
            (T0 - 1, "completed", {}),
            (T0, "completed", {}),
            (T0 + 10, "completed", {"attempts": 3}),
            (T0 + 3 * HOUR, "dead", {"attempts": 3, "tenant": "acme"}),
            (T0 + 3 * HOUR, "cancelled", {"attempts": 0, "started_at": None}),
            (end, "dead", {}),
        ]
    ):
        await add_job(rt, number, ended, state, **more)


async def test_each_kind_tells_exactly_what_was_in_its_range(any_rt: Runtime) -> None:
    await fill(any_rt)
    async with calling(any_rt, "*") as api:
        attempts = await rows_of(api, await made(any_rt, api, "deliveries"))
        seen = [
            (row["started_at"], row["webhook"], row["result"], row["status_code"] + row["error"]) for row in attempts
        ]
        assert seen == [
            (rfc3339(T0), "'=Billing", "succeeded", "200"),
            (rfc3339(T0 + HOUR), "'=Billing", "failed", "503status"),
            (rfc3339(T0 + 2 * HOUR), "hooks.example.com", "failed", "timeout"),
            (rfc3339(T0 + 24 * HOUR - 1), "hooks.example.com", "succeeded", "200"),
        ]
        of_b = await rows_of(api, await made(any_rt, api, "deliveries", **DAY, webhook_id=B))
        assert [row["webhook_id"] for row in of_b] == [B, B]

        hooks = {row["webhook_id"]: row for row in await rows_of(api, await made(any_rt, api, "endpoints"))}
        numbers = ("attempts", "success_rate", "delivered", "failed", "availability", "dark_minutes")
        assert [hooks[A][n] for n in numbers] == ["10", "0.8", "8", "2", "1.0", "0"]
        assert [hooks[B][n] for n in numbers] == ["5", "0.0", "0", "5", "0.0", "1"]

        queues = await rows_of(api, await made(any_rt, api, "queues"))
        counts = ("queue", "task", "completed", "dead", "cancelled", "attempts", "failed_attempts")
        assert [tuple(row[n] for n in counts) for row in queues if row["queue"] != "report"] == [
            ("webhook", "webhook.deliver", "8", "2", "0", "10", "2"),
            ("workflow", "some.task", "2", "0", "0", "4", "2"),
            ("webhook", "webhook.deliver", "0", "5", "0", "5", "5"),
            ("workflow", "some.task", "0", "1", "1", "3", "3"),
        ]
        assert 190 <= float(queues[1]["wait_p50_ms"]) <= 220

        log = await rows_of(api, await made(any_rt, api, "audit", range="last_24_hours"))
        assert {"report.asked", "report.downloaded"} <= {row["action"] for row in log}
        assert [int(row["seq"]) for row in log] == sorted((int(row["seq"]) for row in log), reverse=True)

        pdf = await made(any_rt, api, "deliveries", "pdf")
        content = (await api.get(f"/reports/{pdf['id']}/download")).content
        words = "".join(page.extract_text() for page in PdfReader(io.BytesIO(content)).pages)
        assert "50.00 %" in words  # two of four
        assert "All 4 rows." in words
        assert "not-for-reports" not in words, "a webhook's URL may be a credential"


async def test_a_window_of_attempts_is_read_by_their_ids_whatever_is_asked_for(rt: Runtime) -> None:
    for spec in (Spec("deliveries", "csv", 0, 1), Spec("deliveries", "csv", 0, 1, webhook_id=A, tenant="acme")):
        sql = rows_between(spec, "att_0", "att_1").compile(
            dialect=rt.database.engine.dialect, compile_kwargs={"literal_binds": True}
        )
        async with rt.database.read() as session:
            plan = [row[3] for row in await session.execute(text(f"EXPLAIN QUERY PLAN {sql}"))]
        assert plan[0] == "SEARCH attempt USING INDEX sqlite_autoindex_attempt_1 (id>? AND id<?)", plan
        assert not [step for step in plan if "TEMP B-TREE" in step]


async def test_what_cannot_be_made_is_refused_at_its_place(rt: Runtime) -> None:
    later, before = rfc3339(now_ms() + HOUR), rfc3339(now_ms() - HOUR)
    async with calling(rt, "*") as api:
        for change, pointer in (
            ({"kind": "weather"}, "/kind"),
            ({"format": "docx"}, "/format"),
            ({"params": {"since": later, "until": later}}, "/params/since"),
            ({"params": {"since": before, "until": later}}, "/params/until"),
            ({"params": {"since": before, "until": before}}, "/params/until"),
            ({"params": {"since": before, "until": "2026-01-01T00:00:00Z"}}, "/params/until"),
            ({"params": {"since": "2020-01-01T00:00:00Z", "until": before}}, "/params/since"),
            ({"params": {"since": before}}, "/params/until"),
            ({"params": {}}, "/params/since"),
            ({"params": {"range": "someday"}}, "/params/range"),
            ({"params": {"range": "today", "since": before}}, "/params/since"),
            ({"params": {"range": "today", "timezone": "Mars/Phobos"}}, "/params/timezone"),
            ({"params": {"range": "today", "timezone": "../../etc/passwd"}}, "/params/timezone"),
            ({"params": DAY | {"webhook_id": "wh_none"}}, "/params/webhook_id"),
            ({"kind": "queues", "params": DAY | {"webhook_id": A}}, "/params/webhook_id"),
            ({"kind": "audit", "params": DAY | {"tenant": "acme"}}, "/params/tenant"),
            ({"mail_to": ["nobody"]}, "/mail_to/0"),
            ({"path": "/etc/cron.d/x"}, "/path"),
        ):
            body = {"kind": "deliveries", "format": "csv", "params": DAY} | change
            problem(await api.post("/reports", json=body), 422, pointer)
        schedule = {"name": "x", "cron": "0 7 * * *", "kind": "endpoints", "format": "pdf", "range": "yesterday"}
        for change, pointer in (
            ({"cron": "0 0 31 2 *"}, "/cron"),
            ({"timezone": "Mars/Phobos"}, "/timezone"),
            ({"range": "someday"}, "/range"),
            ({"webhook_id": "wh_none"}, "/webhook_id"),
        ):
            problem(await api.post("/reports/schedules", json=schedule | change), 422, pointer)
        assert (await api.get("/reports")).json()["data"] == []
        # The task has no other door.
        problem(await api.post("/jobs", json={"task": "report.make", "payload": {"report_id": "x"}}), 422, "/task")


async def test_a_report_tells_nothing_that_its_reader_may_not_read(rt: Runtime) -> None:
    await fill(rt)
    async with calling(rt, "*") as admin:
        audit = await made(rt, admin, "audit", range="last_24_hours")
        everything = await made(rt, admin, "deliveries")
        body = {"kind": "deliveries", "format": "csv", "params": DAY}
        for scopes, kind in (
            (["webhooks:read", "jobs:read", "audit:read"], "deliveries"),
            (["deliveries:read", "jobs:read", "audit:read"], "endpoints"),
            (["deliveries:read", "webhooks:read", "audit:read"], "queues"),
            (["deliveries:read", "webhooks:read", "jobs:read"], "audit"),
        ):
            async with calling(rt, "reports:write", "reports:read", *scopes) as key:
                problem(await key.post("/reports", json=body | {"kind": kind}), 403)
                listed = {row["kind"] for row in (await key.get("/reports")).json()["data"]}
                assert listed == {"audit", "deliveries"} - {kind}
        async with calling(rt, "reports:read", "deliveries:read") as reader:
            problem(await reader.get(f"/reports/{audit['id']}"), 404)
            problem(await reader.get(f"/reports/{audit['id']}/download"), 404)
            problem(await reader.delete(f"/reports/{everything['id']}"), 403)
        async with calling(rt, "reports:write", "deliveries:read") as key:
            problem(await key.post("/reports", json=body | {"mail_to": ["ops@example.com"]}), 403)

        async with calling(rt, "*", tenant="acme") as acme:
            problem(await acme.get(f"/reports/{everything['id']}/download"), 404)
            problem(await acme.post("/reports", json=body | {"kind": "audit"}), 403)
            problem(
                await acme.post("/reports", json=body | {"params": DAY | {"tenant": "other"}}), 422, "/params/tenant"
            )
            problem(await acme.post("/reports", json=body | {"params": DAY | {"webhook_id": A}}), 422)
            own = await rows_of(acme, await made(rt, acme, "deliveries"))
            assert {row["tenant"] for row in own} == {"acme"}
            hooks = await rows_of(acme, await made(rt, acme, "endpoints"))
            assert [row["webhook_id"] for row in hooks] == [B]
            queues = await rows_of(acme, await made(rt, acme, "queues"))
            assert [(row["queue"], row["dead"]) for row in queues] == [("webhook", "5"), ("workflow", "1")]

        # A person proves themselves before the audit log is handed out.
        cookie = await make_cookie(rt, (await make_user(rt, Role.ADMIN)).id)
        async with rt.database.write() as session:
            await session.execute(text("UPDATE session SET sudo_until = 0"))
        async with calling(rt, Cookie=cookie, Origin=ORIGIN) as person:
            for answer in (
                await person.get(f"/reports/{audit['id']}/download"),
                await person.post("/reports", json=body | {"kind": "audit"}),
            ):
                assert problem(answer, 403)["type"] == "urn:novapulse:problem:reauthenticate"
            assert (await person.get(f"/reports/{everything['id']}/download")).status_code == 200


async def test_a_mailed_audit_log_is_not_read_in_the_outbox(rt: Runtime) -> None:
    await fill(rt)
    async with calling(rt, "*") as api:
        body = {"kind": "audit", "format": "csv", "params": DAY, "mail_to": ["ops@example.com"]}
        assert (await api.post("/reports", json=body)).status_code == 202
        await run_jobs(rt, ["report"])
        (mail,) = (await api.get("/emails")).json()["data"]
    async with calling(rt, "emails:read") as outbox:
        detail = (await outbox.get(f"/emails/{mail['id']}")).json()
        assert (detail["content"], detail["text"], mail["attachments"]) == ("private", None, 1)
        problem(await outbox.get(f"/emails/{mail['id']}/attachments/1"), 404)


async def test_a_schedule_makes_and_mails_it_once_per_time(any_rt: Runtime) -> None:
    rt = any_rt
    await fill(rt)
    tick = T0 + 24 * HOUR + 7 * HOUR
    async with calling(rt, "*") as api:
        body = {
            "name": "Each day",
            "cron": "0 7 * * *",
            "kind": "endpoints",
            "format": "pdf",
            "range": "yesterday",
            "mail_to": ["ops@example.com", "boss@example.com"],
        }
        schedule = (await api.post("/reports/schedules", json=body)).json()
        assert schedule["next_run_at"] > rfc3339(now_ms())
        assert [row["id"] for row in (await api.get("/reports/schedules")).json()["data"]] == [schedule["id"]]
        async with calling(rt, "jobs:read", "jobs:write") as jobs_only:
            problem(await jobs_only.post(f"/schedules/{schedule['id']}/run"), 403)
            problem(await jobs_only.patch(f"/schedules/{schedule['id']}", json={"enabled": False}), 403)
            problem(await jobs_only.delete(f"/schedules/{schedule['id']}"), 403)
        async with rt.database.write() as session:
            await session.execute(text("UPDATE schedule SET next_run_at = :at"), {"at": tick})
        await asyncio.gather(fire_schedules(rt), fire_schedules(rt))
        await run_jobs(rt, ["report"])
        (report,) = (await api.get(f"/reports?schedule_id={schedule['id']}")).json()["data"]
        assert (report["status"], report["format"], report["rows"]) == ("ready", "pdf", 2)
        since, until = report["params"]["since"], report["params"]["until"]
        assert (since[10:], until[10:]) == ("T00:00:00.000Z", "T00:00:00.000Z")
        # Run again, as after a crash between the end of its work and the word of it: nothing is made twice.
        job = (await api.get(f"/jobs/{report['job_id']}")).json()
        assert (await make(Told(rt, report["job_id"]), MakeReport.model_validate(job["payload"])))["rows"] == 2
        async with rt.database.read() as session:
            mails = (await session.execute(text("SELECT recipient, subject, attachments FROM email"))).all()
            assert (await session.execute(text("SELECT count(*) FROM report"))).scalar_one() == 1
        ((recipient, subject, attachments),) = mails
        assert (recipient, attachments) == ("ops@example.com, boss@example.com", 1)
        assert subject.startswith("Report: Reliability of webhooks, ")
        assert (await api.delete(f"/reports/schedules/{schedule['id']}")).status_code == 204
        problem(await api.delete(f"/reports/schedules/{schedule['id']}"), 404)
        assert (await api.get("/schedules")).json()["data"] == []


class Told:
    """The context of a job, for calling its task once more."""

    created_by, tenant, worker, attempt = "test", None, "test", 2

    def __init__(self, rt: Runtime, id_: str) -> None:
        self.rt, self.id = rt, id_
        self.steps: list[tuple[float, str]] = []

    async def log(self, line: str, level: str = "info") -> None:
        pass

    def progress(self, done: float, text: str = "") -> None:
        self.steps.append((done, text))


async def test_its_file_leaves_when_its_time_is_over_or_somebody_deletes_it(rt: Runtime) -> None:
    folder = rt.settings.reports
    async with calling(rt, "*") as api:
        old, other = [await made(rt, api, "deliveries") for _ in range(2)]
        assert (folder / f"{old['id']}.csv").stat().st_mode & 0o077 == 0, "others of this machine may read it"
        async with rt.database.write() as session:
            await session.execute(text("UPDATE report SET expires_at = 1 WHERE id = :id"), {"id": old["id"]})
        await expire_reports(rt)
        assert [path.name for path in folder.iterdir()] == [f"{other['id']}.csv"]
        assert (await api.get(f"/reports/{old['id']}")).json()["status"] == "expired"
        problem(await api.get(f"/reports/{old['id']}/download"), 410)
        assert (await api.delete(f"/reports/{other['id']}")).status_code == 204
        problem(await api.get(f"/reports/{other['id']}"), 404)
        assert list(folder.iterdir()) == []
        # On another machine: no file, and words that say what to do.
        lost = await made(rt, api, "deliveries")
        (folder / f"{lost['id']}.csv").unlink()
        assert "NOVAPULSE_REPORTS_DIR" in problem(await api.get(f"/reports/{lost['id']}/download"), 503)["detail"]
        waiting = (await api.post("/reports", json={"kind": "queues", "format": "csv", "params": DAY})).json()
        problem(await api.get(f"/reports/{waiting['id']}/download"), 409)
        assert (await api.delete(f"/reports/{waiting['id']}")).status_code == 204
        assert (await api.get(f"/jobs/{waiting['job_id']}")).json()["state"] == "cancelled"

    left, foreign = folder / f".{id_at('rpt', T0, 1)}-0a", folder / "readme.txt"
    left.mkdir()
    foreign.touch()
    for path in (left, foreign):
        os.utime(path, (1, 1))
    await tidy_folder(rt)
    assert list(folder.iterdir()) == [foreign], "what is not ours is left alone"


async def test_a_report_that_is_called_off_ends_its_process_and_leaves_nothing(rt: Runtime) -> None:
    view = await make_report(rt, SYSTEM, ReportIn.model_validate({"kind": "queues", "format": "xlsx", "params": DAY}))
    work = asyncio.create_task(make(Told(rt, view.job_id), MakeReport(report_id=view.id)))
    child = await the_child()
    child.send_signal(signal.SIGSTOP)  # so that it does not end by itself
    work.cancel()
    with suppress(asyncio.CancelledError):
        await work
    assert not child.is_running()
    assert list(rt.settings.reports.iterdir()) == []

    # Killed from outside: an error that says so, and another attempt.
    work = asyncio.create_task(make(Told(rt, view.job_id), MakeReport(report_id=view.id)))
    (await the_child()).kill()
    with pytest.raises(Exception, match="killed by signal 9"):
        await work
    await run_jobs(rt, ["report"])
    async with calling(rt, "*") as api:
        assert (await api.get(f"/reports/{view.id}")).json()["status"] == "ready"


async def the_child() -> psutil.Process:
    async with asyncio.timeout(10):
        while True:
            for child in psutil.Process().children():
                with suppress(psutil.Error):
                    if "novapulse.reports.make" in child.cmdline():
                        return child
            await asyncio.sleep(0.005)


async def test_the_process_ends_with_who_asked(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql+asyncpg://nobody@127.0.0.1:{silent.getsockname()[1]}/none"
        order = Order(url, str(tmp_path / "r.csv"), "", "", Spec("deliveries", "csv", 0, 1))
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "novapulse.reports.make",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert child.stdin is not None
        child.stdin.write(orjson.dumps(asdict(order)) + b"\n")
        await child.stdin.drain()
        connection, _ = await asyncio.to_thread(silent.accept)  # it waits for its database now
        child.stdin.close()
        assert await asyncio.wait_for(child.wait(), 4) == 1
        connection.close()


async def test_the_command_makes_the_same_without_a_worker(rt: Runtime, tmp_path: Path) -> None:
    await fill(rt)
    steps: list[float] = []
    given: dict[str, object] = {"kind": "deliveries", "format": "csv", "params": DAY}
    done = await make_here(rt, given, tmp_path / "r.csv", lambda share, _text: steps.append(share))
    assert done.rows == len((tmp_path / "r.csv").read_text().splitlines()) - 1 == 4
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".rpt")]  # noqa: PTH208
    with pytest.raises(BadRequestError, match="there already"):
        await make_here(rt, given, tmp_path / "r.csv", lambda *_: None)
    with pytest.raises(InvalidError, match="/kind"):
        await make_here(rt, given | {"kind": "weather"}, tmp_path / "s.csv", lambda *_: None)
    async with rt.database.read() as session:
        assert (
            await session.execute(text("SELECT count(*) FROM audit WHERE action = 'report.made'"))
        ).scalar_one() == 1


@pytest.mark.slow
@pytest.mark.parametrize("format_", ["csv", "xlsx"])
async def test_ten_times_the_rows_take_no_more_memory(rt: Runtime, format_: Any) -> None:
    await add_webhook(rt, A)
    await add_attempts(rt, [Tried(T0 + n) for n in range(20_000)])
    peaks = []
    for rows in (2_000, 20_000):
        path = str(rt.settings.data_dir / f"{rows}.{format_}")
        steps: list[float] = []
        order = Order(rt.settings.database, path, "", "", Spec("deliveries", format_, T0, T0 + rows))
        done = await make_in_child(order, lambda share, _text, steps=steps: steps.append(share))
        assert done.rows == rows
        peaks.append(done.peak_bytes)
        assert steps == sorted(steps)
    assert peaks[1] < peaks[0] * 1.15, peaks
