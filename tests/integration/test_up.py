"""`novapulse up`: starts, comes back after deaths, stops without a trace, starts again quickly."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from novapulse.launch import frontend
from tests.instance import Instance

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

PARTS = {"web", "worker", "scheduler", "valkey"}


@pytest.fixture(scope="module", autouse=True)
def _frontend() -> None:
    root = frontend.source_tree()
    assert root is not None
    frontend.build_if_stale(root, quiet=True)


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    made = Instance(tmp_path)
    yield made
    made.kill()


def _until(check: Callable[[], bool], what: str, limit_s: float = 30.0) -> None:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if check():
            return
        time.sleep(0.05)
    pytest.fail(f"after {limit_s} s still not: {what}")


def _gone(processes: list[psutil.Process]) -> bool:
    return not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes)


def test_first_start_prints_the_address_and_a_one_time_link(instance: Instance) -> None:
    instance.start()
    assert f"ready at {instance.url}" in instance.output
    link = instance.setup_link()
    assert link is not None
    assert link.startswith(f"{instance.url}/setup#token=")
    assert set(instance.children()) == PARTS
    with instance.client() as client:
        assert client.get("/api/v1/health").status_code == 200
        page = client.get(link)
        assert page.status_code == 200
        assert "text/html" in page.headers["content-type"]


def test_an_admin_of_the_settings_needs_no_link(tmp_path: Path) -> None:
    email, password = "ada@example.com", "an uncommonly long phrase 42"
    instance = Instance(tmp_path, admin_email=email, admin_password=password)
    try:
        instance.start()
        assert instance.setup_link() is None
        with instance.client() as client:
            answer = client.post(
                "/api/v1/auth/login", json={"email": email, "password": password}, headers={"Origin": instance.url}
            )
            assert answer.status_code == 200, answer.text
        assert password not in instance.output
    finally:
        instance.kill()


def test_the_second_start_is_quick_and_keeps_everything(instance: Instance, record_property: Callable) -> None:
    instance.start()
    key = instance.api_key("webhooks:write", "webhooks:read")
    with instance.client(key) as client:
        made = client.post("/api/v1/webhooks", json={"url": "https://example.com/hook", "event_types": ["*"]})
    instance.stop()
    took = instance.start()
    record_property("second_start_s", round(took, 2))
    print(f"second start: {took:.2f} s")
    if made.status_code == 201:
        with instance.client(key) as client:
            assert client.get(f"/api/v1/webhooks/{made.json()['id']}").status_code == 200


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_everything(instance: Instance, number: signal.Signals) -> None:
    instance.start()
    processes = [instance.process, *instance.process.children(recursive=True)]
    took = instance.stop(number)
    print(f"stop: {took:.2f} s")
    assert _gone(processes)
    assert not list((instance.folder / "data").rglob("*.sock"))
    with sqlite3.connect(instance.folder / "data" / "novapulse.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()


def test_a_second_signal_does_not_wait(instance: Instance) -> None:
    instance.start()
    worker = instance.children()["worker"]
    worker.suspend()  # it can not answer the first signal
    processes = [instance.process, *instance.process.children(recursive=True)]
    instance.process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert worker.is_running()
    began = time.monotonic()
    instance.stop(signal.SIGINT)
    assert time.monotonic() - began < instance_patience()
    assert _gone(processes)


def instance_patience() -> float:
    """Less than the time that the first signal alone would have waited (shutdown timeout and margin)."""
    return 8.0


def test_killing_the_supervisor_kills_all(instance: Instance) -> None:
    instance.start()
    processes = instance.process.children(recursive=True)
    assert len(processes) >= len(PARTS)
    instance.kill()
    _until(lambda: _gone(processes), "all children are gone")
    instance.start()  # nothing is left that would be in the way


@pytest.mark.parametrize("part", sorted(PARTS))
def test_a_killed_part_comes_back(instance: Instance, part: str) -> None:
    instance.start()
    old = instance.children()[part]
    old.send_signal(signal.SIGKILL)

    def is_back() -> bool:
        found = instance.children().get(part)
        return found is not None and found.pid != old.pid

    _until(is_back, f"{part} is back")

    def healthy() -> bool:
        try:
            with instance.client() as client:
                return client.get("/api/v1/health").status_code == 200
        except httpx.HTTPError:
            return False

    _until(healthy, "healthy again")
    assert f"{part} was ended by SIGKILL" in instance.output


def test_a_hang_up_restarts_all_piece_by_piece_and_no_request_fails(tmp_path: Path) -> None:
    instance = Instance(tmp_path, workers="2", limit_public="off", limit_ingest="off")
    failures: list[str] = []
    answered = 0
    over = threading.Event()

    def call(key: str) -> None:
        nonlocal answered
        while not over.is_set():
            try:
                with instance.client(key) as client:
                    answer = client.post("/api/v1/events", json={"type": "a.b", "data": {}})
                if answer.status_code != 202:
                    failures.append(f"{answer.status_code} {answer.text[:200]}")
            except httpx.HTTPError as error:
                failures.append(repr(error))
            answered += 1

    try:
        instance.start()
        old = {child.pid: child.cmdline()[-1] for child in instance.process.children()}
        assert sorted(old.values())[-4:] == ["scheduler", "web", "worker", "worker"], (
            "as many workers as were asked for"
        )
        caller = threading.Thread(target=call, args=(instance.api_key("events:write"),))
        caller.start()
        instance.process.send_signal(signal.SIGHUP)
        _until(lambda: "novapulse: restarted" in instance.output, "restarted", 120)
        over.set()
        caller.join()
        new = {child.pid: child.cmdline()[-1] for child in instance.process.children()}
        assert sorted(new.values()) == sorted(old.values())
        kept = set(old) & set(new)
        assert kept == {instance.children()["valkey"].pid}, "all but Valkey, which is not ours to lose"
        assert failures == []
        assert answered > 20
        processes = [instance.process, *instance.process.children(recursive=True)]
        instance.stop()
        assert _gone(processes)
    finally:
        over.set()
        instance.kill()


def test_it_starts_in_a_folder_full_of_traps(tmp_path: Path) -> None:
    """Nothing is imported from, or looked for in, the folder it is started in."""
    for name in ("json.py", "reflex.py", "rxconfig.py", "novapulse.py", "worker.py"):
        (tmp_path / name).write_text("raise RuntimeError('imported from the current folder')\n")
    instance = Instance(tmp_path)
    try:
        # The console script, unlike `-m`, does not put the current folder on the path.
        instance.command = [str(Path(os.sys.executable).with_name("novapulse"))]
        instance.start()
        assert not (tmp_path / ".states").exists()
        assert not (tmp_path / ".web").exists()
        assert not (tmp_path / "assets").exists()
    finally:
        instance.kill()


def test_memory_when_idle(instance: Instance, record_property: Callable) -> None:
    instance.start()
    time.sleep(3)
    parts = {"supervisor": instance.process} | instance.children()
    used = {name: process.memory_full_info() for name, process in parts.items()}
    total = sum(getattr(info, "pss", info.uss) for info in used.values()) >> 20
    for name, info in used.items():
        print(f"{name}: {getattr(info, 'pss', info.uss) >> 20} MB PSS, {info.rss >> 20} MB RSS")
    print(f"total: {total} MB PSS")
    record_property("idle_pss_mb", total)
    assert total < 450
