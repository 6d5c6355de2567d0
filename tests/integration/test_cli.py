"""The commands of an operator's shell, each group against a data folder: a text for people, or what the API answers."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from novapulse.cli import main
from novapulse.core.runtime import Runtime
from novapulse.jobs.sampling import sample_queues
from novapulse.launch.configuration import load_settings
from novapulse.launch.local import local_runtime
from tests.conftest import make_settings
from tests.jobs import run_jobs
from tests.postoffice import opened

URL = '{"url": "https://example.com/"}'


class Shell:
    """Calls commands as a shell does, in this process."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._capture, self._monkeypatch = capture, monkeypatch

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Its exit code and what it prints, on standard output and error."""
        self._monkeypatch.setattr(sys, "argv", ["novapulse", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), *self._capture.readouterr()

    def __call__(self, *arguments: str, fails: bool = False) -> str:
        """What it prints; of one that has to fail, the one line that says why."""
        code, out, err = self.run(*arguments)
        assert bool(code) == fails, (arguments, out, err)
        if fails:
            assert err.startswith("novapulse: ") and err.count("\n") == 1, err
            return err.removeprefix("novapulse: ").strip()
        return out

    def json(self, *arguments: str) -> Any:
        """What the API answers."""
        return json.loads(self(*arguments, "--json"))

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Ask, or change, the database."""
        with closing(sqlite3.connect(self.folder / "novapulse.db")) as database, database:
            return database.execute(statement).fetchall()

    def work(self, *works: Callable[[Runtime], Awaitable[Any]]) -> None:
        """What web, workers and scheduler would do."""

        async def do() -> None:
            async with local_runtime(load_settings()) as rt:
                for work in works:
                    await work(rt)

        asyncio.run(do())
        self._capture.readouterr()  # what they log


@pytest.fixture
def shell(
    tmp_path: Path,
    sqlite_template: Path,
    valkey_url: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Shell:
    shutil.copy(sqlite_template, tmp_path)
    make_settings(tmp_path)  # nobody's settings
    monkeypatch.setenv("NOVAPULSE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("NOVAPULSE_REDIS_URL", valkey_url)
    monkeypatch.chdir(tmp_path)
    Redis.from_url(valkey_url).flushall()
    return Shell(tmp_path, capsys, monkeypatch)


def test_jobs(shell: Shell) -> None:
    assert "http.request" in shell("jobs", "tasks")
    assert {each["name"] for each in shell.json("jobs", "tasks")["data"] if each["api"]} >= {"http.request"}
    create = ("jobs", "create", "http.request", "--payload")
    waits = shell(*create, URL, "--key", "one").split()[0]
    dead = shell.json(*create, URL, "--priority", "9")["id"]
    # What others write does nothing to a terminal.
    shell.rows(f"UPDATE job SET state = 'dead', error = 'refused' || char(10, 27) || '[2J' WHERE id = '{dead}'")
    head, line = shell("jobs", "list", "--state", "dead").splitlines()
    assert head.split()[:4] == ["id", "state", "queue", "task"]
    assert line.split()[:4] == [dead, "dead", "workflow", "http.request"]
    assert "refused" in line and "\x1b" not in line
    page = shell.json("jobs", "list", "--limit", "1")
    assert [each["id"] for each in page["data"]] == [dead]
    assert [each["id"] for each in shell.json("jobs", "list", "--cursor", page["next_cursor"])["data"]] == [waits]
    told = shell("jobs", "show", waits)
    assert "created" in told and "priority:       5" in told
    assert shell.json("jobs", "show", waits)["timeline"][0]["what"] == "created"
    assert "No live worker" in shell("jobs", "why", waits)
    assert shell("jobs", "cancel", waits).split()[:2] == [waits, "cancelled"]
    assert shell("jobs", "undo", waits).split()[:2] == [waits, "waiting"]
    assert shell.json("jobs", "discard", waits)["undo_action"] == "discard"
    shell("jobs", "undo", waits)
    assert shell.json("jobs", "pin", waits)["pinned"] and not shell.json("jobs", "pin", waits, "--off")["pinned"]
    assert shell("jobs", "retry", dead).split()[:2] == [dead, "waiting"]
    bulk = ("jobs", "bulk", "cancel", "--queue", "workflow", "--state", "waiting")
    assert "touched:        2" in shell(*bulk, "--preview")
    assert shell.json(*bulk, "--id", dead, "--preview")["touched"] == 1
    assert shell(*bulk, "--id", dead).startswith("job_")
    assert shell.json("jobs", "failures") == {"data": [], "complete": True}
    # What is wrong is said in one line.
    assert "payload/url" in shell(*create, '{"url": "ftp://example.com/"}', fails=True)
    assert shell(*create, "[1]", fails=True).startswith("--payload is no object.")
    assert "waiting, active" in shell("jobs", "list", "--state", "lost", fails=True)
    assert shell("jobs", "show", "job_none", fails=True) == "There is no job 'job_none'."


def test_queues_and_workers(shell: Shell) -> None:
    assert shell("queue", "pause", "email", "--note", "The provider is down.") == "email is paused\n"
    listed = shell("queue", "list")
    assert "paused" in next(line for line in listed.splitlines() if line.startswith("email "))
    assert "email: Paused" in listed
    assert [each["name"] for each in shell.json("queue", "list")["queues"]] == [
        "email",
        "webhook",
        "workflow",
        "report",
    ]
    assert shell.json("queue", "drain", "email")["mode"] == "draining"
    assert shell("queue", "resume", "email") == "email is running\n"
    shell("jobs", "create", "http.request", "--payload", URL)
    shell.work(sample_queues)
    history = shell.json("queue", "history", "workflow", "--window", "15m")
    assert [each["waiting"] for each in history["points"] if each["waiting"] is not None] == [1]
    at = next(each["at"] for each in history["points"] if each["waiting"] is not None)
    assert at in shell("queue", "history", "workflow", "--window", "15m")
    assert "Queue email paused by NovaPulse" in shell("queue", "history", "email")
    assert shell.json("queue", "rewind", "--at", at)["moments"][0]["queues"]["workflow"]["waiting"] == 1
    assert f"{at}  workflow" in shell("queue", "rewind", "--at", at)
    shell.rows("UPDATE queue_count SET n = n + 3 WHERE queue = 'workflow' AND state = 'waiting'")
    code, table, _ = shell.run("queue", "conservation")
    cells = table.splitlines()[3].split()
    assert (code, cells[0], cells[-1]) == (1, "workflow", "no")
    assert "workflow: " in shell("queue", "conservation", "--repair")
    assert shell.json("queue", "conservation")["ok"]
    assert shell("queue", "repair", "workflow") == "There was nothing to repair.\n"
    assert shell("workers").split() == ["worker", "version", "runs/slots", "memory", "last", "seen"]
    assert shell.json("workers")["data"] == []
    assert "15m, 1h" in shell("queue", "history", "email", "--window", "2y", fails=True)
    assert "--at is no time" in shell("queue", "rewind", "--at", "yesterday", fails=True)
    assert shell("queue", "pause", "lost", fails=True) == "There is no queue 'lost'."


def test_schedules(shell: Shell) -> None:
    new = ("schedules", "create", "Refresh", "http.request")
    id_ = shell(*new, "*/15 * * * *", "--payload", URL).split()[0]
    assert "never" in shell(*new, "0 0 30 2 *", "--payload", URL, fails=True)
    assert "payload/url" in shell(*new, "0 0 * * *", fails=True)
    assert id_ in shell("schedules", "list") and "Every 15th minute" in shell("schedules", "list")
    changed = shell.json("schedules", "change", id_, "--cron", "0 9 * * 1", "--timezone", "Europe/Paris", "--off")
    assert (changed["timezone"], changed["enabled"], changed["next_run_at"]) == ("Europe/Paris", False, None)
    assert shell.json("schedules", "list")["data"][0]["cron"] == "0 9 * * 1"
    made = shell.json("schedules", "run", id_)
    assert (made["schedule_id"], made["state"]) == (id_, "waiting")
    assert "still open" in shell("schedules", "run", id_, fails=True)
    assert made["id"] in shell("schedules", "show", id_)
    assert len(shell.json("schedules", "preview", "0 9 * * *")["next"]) == 5
    assert shell("schedules", "delete", id_) == f"{id_} is deleted\n"
    assert "There is no schedule" in shell("schedules", "show", id_, fails=True)


def test_mail(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    (shell.folder / "bill.pdf").write_bytes(b"%PDF-1.7")
    with opened() as office:
        monkeypatch.setenv("NOVAPULSE_SMTP_URL", office.url())
        assert "The message was taken (not encrypted" in shell("mail", "test", "ada@example.com")
        office.recipient_answers.append("550 5.1.1 No such user")
        words = ("--subject", "Order 1042", "--text", "It comes on Thursday.")
        id_ = shell("mail", "send", "ada@example.com", *words, "--attach", "bill.pdf").strip()
        shell.work(run_jobs)
        assert "failed" in shell("mail", "list", "--search", "1042") and "No such user" in shell("mail", "show", id_)
        shown = shell("mail", "show", id_)
        assert "It comes on Thursday." in shown and "bill.pdf (application/pdf, 8 bytes)" in shown
        assert shell.json("mail", "retry", id_)["status"] == "pending"
        shell.work(run_jobs)
        assert [each.id for each in office.arrived][1:] == [id_]
    (sent,) = shell.json("mail", "list", "--status", "sent", "--to", "ada@")["data"]
    assert (sent["id"], shell.json("mail", "show", id_)["text"]) == (id_, "It comes on Thursday.")
    # A private one is read with the key, and not in the API's answer.
    door = shell.json("mail", "send", "ada@example.com", "--subject", "Come in", "--text", "The door", "--private")[
        "id"
    ]
    assert "The door" in shell("mail", "show", door) and "The door" not in shell("mail", "show", door, "--json")
    assert "can be sent again when it has failed" in shell("mail", "retry", id_, fails=True)
    assert "give a subject" in shell("mail", "send", "ada@example.com", fails=True)
    assert "/to" not in (refused := shell("mail", "send", "ada", *words, fails=True)) and "to" in refused
    assert "pending, sending" in shell("mail", "list", "--status", "lost", fails=True)


def test_reports(shell: Shell) -> None:
    async def ask(rt: Runtime) -> None:
        from novapulse.core.actor import SYSTEM
        from novapulse.reports.schemas import ReportIn
        from novapulse.reports.service import make_report

        for _ in range(2):
            given = {"kind": "queues", "format": "csv", "params": {"range": "yesterday"}}
            await make_report(rt, SYSTEM, ReportIn.model_validate(given))

    shell.work(ask)
    other, id_ = [each["id"] for each in shell.json("report", "list", "--kind", "queues")["data"]]
    assert "not finished: it is queued" in shell("report", "download", id_, fails=True)
    assert shell("report", "delete", other) == f"{other} is deleted\n"
    shell.work(run_jobs)
    assert "ready" in shell("report", "list").splitlines()[1]
    assert "status:         ready" in shell("report", "show", id_)
    name = shell("report", "download", id_).strip()
    assert (shell.folder / name).read_bytes() and name.endswith(".csv")
    assert "is there already" in shell("report", "download", id_, fails=True)
    (shell.folder / "mine").mkdir()
    assert shell("report", "download", id_, "--out", "mine").strip() == f"mine/{name}"
    assert shell("report", "download", id_, "--out", "my.csv").strip() == "my.csv"
    made = ("report", "make", "queues", "--out", "here.csv", "--range", "yesterday")
    shell(*made)
    assert (shell.folder / "here.csv").is_file()
    assert "is there already" in shell(*made, fails=True)
    assert "There is no report" in shell("report", "show", other, fails=True)
    assert shell.rows("SELECT count(*) FROM audit WHERE noun = 'report' AND action = 'report.downloaded'") == [(4,)]


def test_workflows(shell: Shell) -> None:
    good, bad = shell.folder / "good.yaml", shell.folder / "bad.yaml"
    good.write_text("name: From a file\nsteps:\n  - id: a\n    type: wait\n    seconds: 0\n")
    bad.write_text("name: X\nsteps:\n  - id: a\n    type: letter\n")
    for act in ("validate", "save"):
        code, _, refused = shell.run("workflow", act, str(bad))
        assert code == 1 and f"{bad}:4: /steps/0/type must be one of" in refused
    assert "1 steps, nothing is wrong" in shell("workflow", "validate", str(good))
    id_ = shell("workflow", "save", str(good)).strip()
    assert id_.startswith("wf_") and shell("workflow", "save", str(good)).strip() == id_
    assert shell("workflow", "show", "From a file") == good.read_text() + "\n"
    assert shell.json("workflow", "show", id_)["version"] == 2
    first, second = (shell("workflow", "run", "From a file", "--input", '{"x": 1}').strip() for _ in range(2))
    assert shell("workflow", "cancel", second) == f"{second} is cancelled\n"
    shell.work(run_jobs)
    assert {each["id"]: each["state"] for each in shell.json("workflow", "runs", "From a file")["data"]} == {
        first: "completed",
        second: "cancelled",
    }
    assert shell("workflow", "runs", "--state", "completed").splitlines()[1].split()[:3] == [first, "completed", "api"]
    assert shell("workflow", "show", first).splitlines()[-1].split()[:3] == ["a", "wait", "completed"]
    assert shell.json("workflow", "retry", second)["state"] == "completed", "it had nothing left to do"
    assert "completed" in shell("workflow", "retry", second, fails=True)
    line = shell("workflow", "list").splitlines()[1]
    assert line.split()[:6] == [id_, "on", "2", "0", "2", "0"]
    assert shell("workflow", "enable", id_, "--off") == f"{id_}: triggers are off\n"
    assert shell("workflow", "delete", "From a file") == f"{id_} is deleted\n"
    assert shell("workflow", "run", "From a file", fails=True).startswith("There is no workflow of this name.")
    assert "running, completed" in shell("workflow", "runs", "--state", "lost", fails=True)
