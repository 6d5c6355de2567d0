"""Rate limits in Valkey: exact across processes, and what is said without Valkey."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import structlog.testing

from novapulse.core.runtime import Runtime
from novapulse.launch import valkey
from novapulse.security.limits import Limits
from novapulse.security.rates import RateClass
from tests.conftest import make_settings, migrated

ROOT = Path(__file__).parents[2]
# Windows so long that nothing comes back while a test runs.
SLOW = {f"limit_{name}": "100/7d" for name in ("sign_in", "sensitive", "api", "screen", "public")}
PROTECTED = [RateClass.SIGN_IN, RateClass.SENSITIVE, RateClass.PUBLIC]
OPEN = [RateClass.API, RateClass.SCREEN, RateClass.INGEST]

# Takes as fast as it can until it is refused for good; prints how much it got.
_TAKER = """
import asyncio, sys
from pathlib import Path
from novapulse.core.runtime import open_runtime
from novapulse.security import limits
from novapulse.security.rates import RateClass
from novapulse.settings import Settings
from worker.enqueue import make_enqueue

async def main(folder, url, rate_class, cost):
    limits.PATIENCE_S = 30  # a busy machine is not a Valkey that is away
    settings = Settings(data_dir=Path(folder), redis_url=url)
    rt = open_runtime(settings, make_enqueue(settings))
    held = rt.part(limits.Limits)
    print("ready", flush=True)
    sys.stdin.readline()
    async def work():
        got = 0
        while (await held.check(RateClass(rate_class), "one", int(cost))).allowed:
            got += int(cost)
        return got
    print(sum(await asyncio.gather(*(work() for _ in range(16)))), flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


async def runtime(folder: Path, url: str, **settings: Any) -> AsyncGenerator[Runtime]:
    async for rt in migrated(make_settings(folder, redis_url=url, **(SLOW | {"limit_ingest": "100/7d"} | settings))):
        yield rt


@pytest.fixture
async def slow_rt(tmp_path: Path, valkey_url: str) -> AsyncGenerator[Runtime]:
    async for rt in runtime(tmp_path, valkey_url):
        yield rt


async def passed(rt: Runtime, rate_class: RateClass, subject: str = "one", tries: int = 150) -> int:
    held = rt.part(Limits)
    return sum([(await held.check(rate_class, subject)).allowed for _ in range(tries)])


def several_take(folder: Path, url: str, rate_class: RateClass, cost: int, rate: str) -> int:
    environment = {
        "PATH": "/usr/bin",
        "PYTHONPATH": str(ROOT),
        f"NOVAPULSE_LIMIT_{rate_class.upper()}": rate,
    }
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _TAKER, str(folder), url, rate_class, str(cost)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    taken = [int(process.communicate("\n", timeout=90)[0]) for process in processes]
    return sum(taken)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rate_class", "cost", "rate", "expected"),
    [
        (RateClass.API, 1, "1000/7d", 1000),
        (RateClass.SIGN_IN, 1, "7/6d 1000/7d", 7),
        (RateClass.SENSITIVE, 3, "100/7d", 99),
        (RateClass.INGEST, 1, "100000/7d", 100_000),
        (RateClass.INGEST, 7, "700/7d", 700),
    ],
)
async def test_several_processes_together_get_what_the_limit_says_and_not_one_more(
    slow_rt: Runtime, tmp_path: Path, rate_class: RateClass, cost: int, rate: str, expected: int
) -> None:
    taken = await asyncio.to_thread(several_take, tmp_path, slow_rt.settings.redis_url, rate_class, cost, rate)
    # Of a lease, what a process does not use within a second is lost; nothing is ever added.
    lost = expected // 5 if rate_class is RateClass.INGEST else 0
    assert expected - lost <= taken <= expected


@pytest.mark.parametrize("rate_class", [each for each in RateClass if each is not RateClass.INGEST])
async def test_each_subject_has_a_limit_of_its_own_and_a_burst_is_exact(
    slow_rt: Runtime, rate_class: RateClass
) -> None:
    assert await passed(slow_rt, rate_class, "one") == 100
    assert await passed(slow_rt, rate_class, "two") == 100
    assert await passed(slow_rt, rate_class, "one") == 0


async def test_what_comes_back_comes_back_with_the_time_of_the_server(tmp_path: Path, valkey_url: str) -> None:
    async for rt in runtime(tmp_path, valkey_url, limit_api="2/1s"):
        assert await passed(rt, RateClass.API, tries=3) >= 2
        verdict = await rt.part(Limits).check(RateClass.API, "one")
        if not verdict.allowed:
            await asyncio.sleep(verdict.standings[0].wait_us / 1e6 + 0.005)
            assert (await rt.part(Limits).check(RateClass.API, "one")).allowed


async def test_strangers_share_a_limit_that_a_known_device_does_not_meet(tmp_path: Path, valkey_url: str) -> None:
    async for rt in runtime(tmp_path, valkey_url, limit_sign_in_all="150/7d"):
        held = rt.part(Limits)
        for network in ("a", "b", "c"):
            for _ in range(100):
                verdict = await held.check(RateClass.SIGN_IN, network, together=True)
        assert not verdict.allowed
        assert verdict.violated == []
        assert (await held.check(RateClass.SIGN_IN, "device")).allowed


async def test_a_class_that_is_off_is_not_limited_and_tells_nothing(tmp_path: Path, valkey_url: str) -> None:
    async for rt in runtime(tmp_path, valkey_url, limit_api="off"):
        verdict = await rt.part(Limits).check(RateClass.API, "one", 1_000_000)
        assert verdict.allowed
        assert verdict.fields() == []
        assert not await rt.valkey.keys("{np}:rate:*")


async def test_valkey_keeps_no_address_and_forgets_what_is_paid_off(tmp_path: Path, valkey_url: str) -> None:
    async for rt in runtime(tmp_path, valkey_url, limit_public="100/1s"):
        await rt.part(Limits).check(RateClass.PUBLIC, "203.0.113.9")
        [key] = await rt.valkey.keys("{np}:rate:*")
        assert "203.0" not in key
        assert 0 < await rt.valkey.pttl(key) <= 10


async def test_a_lease_is_not_asked_for_at_each_event(tmp_path: Path, valkey_url: str) -> None:
    async for rt in runtime(tmp_path, valkey_url, limit_ingest="300000/60s"):
        held = rt.part(Limits)
        before = await calls_of_scripts(rt)
        for _ in range(5000):
            assert (await held.check(RateClass.INGEST, "one")).allowed
        assert await calls_of_scripts(rt) - before < 5000 / 50
        last = await held.check(RateClass.INGEST, "one")
        left = last.standings[0].remaining
        assert 300_000 - 5001 - 500 <= left <= 300_000


async def calls_of_scripts(rt: Runtime) -> int:
    """How often Valkey has run a script so far."""
    stats = await rt.valkey.info("commandstats")
    return int(stats.get("cmdstat_evalsha", {"calls": 0})["calls"])


class Own:
    """A Valkey that may be stopped and killed."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "own.sock"
        self.process = valkey.start(self.socket, folder / "own")

    async def wait(self) -> None:
        while not valkey.is_ready(self.socket):
            await asyncio.sleep(0.02)


@pytest.fixture
async def own(tmp_path: Path) -> AsyncGenerator[Own]:
    started = Own(tmp_path)
    await started.wait()
    yield started
    started.process.send_signal(signal.SIGCONT)
    started.process.kill()
    started.process.wait()


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL])
async def test_without_valkey_what_protects_is_limited_here_and_the_rest_goes_on(
    tmp_path: Path, own: Own, how: signal.Signals
) -> None:
    async for rt in runtime(tmp_path, f"unix://{own.socket}"):
        # A part was used before: going away gives nobody all of it again.
        for rate_class in RateClass:
            assert await passed(rt, rate_class, tries=40) == 40
        own.process.send_signal(how)
        with structlog.testing.capture_logs() as lines:
            began = time.monotonic()
            for rate_class in PROTECTED:
                assert await passed(rt, rate_class) == 60, rate_class
                assert await passed(rt, rate_class, "another") == 100
            for rate_class in OPEN:
                assert await passed(rt, rate_class, tries=2000) == 2000
                assert (await rt.part(Limits).check(rate_class, "one")).fields() == []
            took = time.monotonic() - began
        assert took < 4, "nobody may wait for it call by call"
        assert [line["event"] for line in lines].count("limits_without_valkey") == 1
        assert len(lines) == 1


async def test_taking_events_in_does_not_slow_down_without_valkey(tmp_path: Path, own: Own) -> None:
    async for rt in runtime(tmp_path, f"unix://{own.socket}", limit_ingest="300000/60s"):
        held = rt.part(Limits)
        own.process.send_signal(signal.SIGSTOP)
        await held.check(RateClass.INGEST, "one")  # the one that finds out
        slowest, end = 0.0, time.monotonic() + 2.5
        while time.monotonic() < end:
            began = time.perf_counter()
            assert (await held.check(RateClass.INGEST, "one")).allowed
            slowest = max(slowest, time.perf_counter() - began)
            await asyncio.sleep(0.001)
        assert slowest < 0.04


async def test_once_valkey_is_back_it_decides_again(tmp_path: Path, own: Own) -> None:
    async for rt in runtime(tmp_path, f"unix://{own.socket}"):
        held = rt.part(Limits)
        own.process.send_signal(signal.SIGSTOP)
        assert await passed(rt, RateClass.API) == 150
        own.process.send_signal(signal.SIGCONT)
        with structlog.testing.capture_logs() as lines:
            async with asyncio.timeout(10):
                while not (await held.check(RateClass.API, "one")).standings:
                    await asyncio.sleep(0.05)
        assert [line["event"] for line in lines] == ["limits_shared_again"]
        assert await passed(rt, RateClass.API) <= 100
