"""Starting and stopping, seen from within: what probes are told, who is let in, and what a port's last callers get."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path

import httpx
import pytest

from novapulse.api import make_api
from novapulse.core.health import Found, Health
from novapulse.core.lifecycle import Lifecycle
from novapulse.core.runtime import Runtime
from novapulse.launch.errors import StartError
from novapulse.launch.listening import is_listening, let_nobody_in
from novapulse.security.gate import Gate
from tests.conftest import make_settings
from tests.instance import free_port
from worker import keys
from worker.lease import Lease
from worker.probe import probes


def _port_of(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="sockets are found by /proc, which only Linux has")
def test_a_port_that_closes_lets_in_whoever_had_begun_and_nobody_else() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as late:
        port = _port_of(listener)
        assert is_listening(port)
        early = socket.create_connection(("127.0.0.1", port))
        let_nobody_in(port)
        early.sendall(b"first")
        served, _ = listener.accept()
        assert served.recv(10) == b"first"
        served.sendall(b"answer")
        assert early.recv(10) == b"answer"
        late.settimeout(0.3)
        with pytest.raises(TimeoutError):  # neither let in nor reset: it asks again, and then finds the port closed
            late.connect(("127.0.0.1", port))
        early.close()
        served.close()
    assert not is_listening(port)


async def test_checks_are_made_once_for_all_who_ask_and_nobody_waits_for_the_slow(rt: Runtime) -> None:
    health = Health(rt)
    made = 0
    go, hang = asyncio.Event(), asyncio.Event()

    async def slow() -> Found:
        nonlocal made
        made += 1
        await go.wait()
        return Found()

    async def hanging() -> Found:
        await hang.wait()
        return Found("never seen")

    health.add("slow", slow, fresh_s=0)
    health.add("hanging", hanging, waits=False)
    asking = asyncio.gather(*(health.checks({"slow"}) for _ in range(50)))
    await asyncio.sleep(0)
    go.set()
    assert {checks[0].status for checks in await asking} == {"ok"}
    assert made == 1, "fifty askers, one check"
    go.clear()
    first = asyncio.create_task(health.checks({"slow"}))
    while made < 2:
        await asyncio.sleep(0)
    (again,) = await health.checks({"slow"})  # would hang, if it waited
    assert again.ok
    go.set()
    await first
    began = time.monotonic()
    (later,) = await health.checks({"hanging"})
    assert (later.ok, later.reason) == (True, "not looked at yet")
    assert time.monotonic() - began < 1


async def test_health_names_what_is_missing(any_rt: Runtime) -> None:
    rt = any_rt

    async def found() -> dict[str, tuple[str, str | None]]:
        return {check.name: (check.status, check.reason) for check in await Health(rt).checks()}

    checks = await found()
    assert {name for name, (status, _) in checks.items() if status == "ok"} >= {
        "database",
        "migrations",
        "valkey",
        "disk",
    }
    assert checks["scheduler"] == ("failing", "no scheduler is running: retries are not handed out")
    assert checks["workers"] == ("failing", "no worker is running: deliveries wait")

    lease, ended = Lease(rt), asyncio.Event()
    standing = asyncio.create_task(lease.stand(ended))
    await asyncio.wait_for(lease.held.wait(), 10)
    beat = b'{"queues": ["webhook", "email", "workflow"]}'
    await rt.valkey.set(keys.worker("w-1"), beat)
    await rt.valkey.zadd(keys.WORKERS, {"w-1": (time.time() + 60) * 1000})
    health = Health(rt)
    checks = await found()
    assert checks["scheduler"] == ("ok", None)
    assert checks["workers"] == ("warning", "no worker for report")
    details = {check.name: check.detail for check in await health.checks()}
    assert details["scheduler"] is not None
    assert str(details["scheduler"]["since"]).endswith("Z")
    await rt.valkey.xadd(keys.stream("report"), {"data": "x"})
    assert (await found())["workers"] == ("failing", "no worker for report: its jobs wait")

    other, other_ended = Lease(rt), asyncio.Event()
    waiting = asyncio.create_task(other.stand(other_ended))
    await asyncio.sleep(0.1)
    assert not other.held.is_set(), "one holds it"
    ended.set()
    await standing
    await asyncio.wait_for(other.held.wait(), 10)  # given back, not run out
    other_ended.set()
    await waiting


async def test_a_full_disk_fails_and_a_small_one_warns(rt: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    from collections import namedtuple

    usage = namedtuple("usage", "total used free")
    for total, free, status in (
        (1 << 40, 500 << 20, "warning"),
        (1 << 40, 10 << 20, "failing"),
        (1 << 40, 2 << 30, "ok"),
        (100 << 20, 50 << 20, "ok"),  # a small one, half empty
        (100 << 20, 5 << 20, "warning"),
        (100 << 20, 1 << 20, "failing"),
    ):
        monkeypatch.setattr("shutil.disk_usage", lambda _, t=total, f=free: usage(t, t - f, f))
        (check,) = await Health(rt).checks({"disk"})
        assert check.status == status, (total, free)
        if status != "ok":
            assert f"{free >> 20} MB free" in str(check.reason)


async def test_the_probe_port_tells_of_its_process(rt: Runtime, tmp_path: Path) -> None:
    port = free_port()
    settings = make_settings(tmp_path, redis_url=rt.settings.redis_url, probe_port=port)
    probed = Runtime(settings, rt.database, rt.valkey, rt.keyring, rt.enqueue)
    life = probed.part(Lifecycle)
    async with probes(probed), httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        assert (await client.get("/health/live")).json() == {"status": "ok", "state": "starting"}
        assert (await client.get("/health/ready")).status_code == 503
        life.ready()
        ready = await client.get("/health/ready")
        assert (ready.status_code, ready.json()["status"]) == (200, "ok")
        assert set(ready.json()["checks"]) == {"database", "migrations", "valkey"}
        metrics = await client.get("/metrics")
        assert metrics.status_code == 200
        assert b"novapulse_" in metrics.content
        assert (await client.post("/health/live")).status_code == 405
        assert (await client.get("/")).status_code == 404
        life.drain()
        answer = await client.get("/health/ready")
        assert (answer.status_code, answer.json()["state"]) == (503, "draining")
        assert (await client.get("/health/live")).status_code == 200, "a new start would not help"
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"\x16\x03 not HTTP\r\n\r\n")
        assert await reader.read() == b""
        writer.close()
        with pytest.raises(StartError, match="NOVAPULSE_PROBE_PORT"):
            async with probes(probed):
                pass

        # A loop that hangs answers nobody.
        def knock() -> bool:
            try:
                httpx.get(f"http://127.0.0.1:{port}/health/live", timeout=0.3, trust_env=False)
            except httpx.TimeoutException:
                return False
            return True

        knocking = asyncio.get_running_loop().run_in_executor(None, knock)
        await asyncio.sleep(0)
        time.sleep(0.6)  # noqa: ASYNC251 - this is what is tested
        assert not await knocking


async def test_a_web_process_says_when_it_takes_requests_and_details_to_who_may_know(rt: Runtime) -> None:
    app = Gate(make_api(rt.settings))

    async def get(path: str, address: str = "203.0.113.9") -> httpx.Response:
        transport = httpx.ASGITransport(app, client=(address, 50_000))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000/api/v1") as client:
            return await client.get(path)

    answer = await get("/health/ready")
    assert (answer.status_code, answer.json()["state"]) == (503, "starting")
    rt.part(Lifecycle).ready()
    answer = await get("/health/ready")
    assert (answer.status_code, answer.json()["status"]) == (200, "ok")
    assert "connection" not in answer.headers
    stranger, here = await get("/health"), await get("/health", "127.0.0.1")
    assert stranger.status_code == here.status_code == 503
    assert stranger.json()["checks"]["workers"]["reason"] == "no worker is running: deliveries wait"
    assert "detail" not in stranger.json()["checks"]["disk"]
    assert here.json()["checks"]["disk"]["detail"]["data folder"]["free_bytes"] > 0
    assert here.json()["checks"]["smtp"]["detail"]["set"] is False
    rt.part(Lifecycle).drain()
    answer = await get("/health/ready")
    assert (answer.status_code, answer.json()["state"]) == (503, "draining")
    assert answer.headers["connection"] == "close", "the next request should go elsewhere"
    assert (await get("/health/live")).status_code == 200
