"""The layout of several machines, restarted piece by piece under load: nobody outside may notice."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.chaos.conftest import wait_until
from tests.fleet import fleet, has_nginx, valkey_server
from tests.receiver import Answer, receiving
from tests.traffic import Traffic

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.skipif(not has_nginx(), reason="there is no nginx"),
]

NO_LIMITS = dict.fromkeys(("limit_api", "limit_public", "limit_screen", "limit_ingest"), "off")


async def test_each_process_restarted_under_load_and_nobody_notices(tmp_path: Path, postgres_url: str) -> None:
    from tests.conftest import fresh_postgres

    database = await fresh_postgres(postgres_url)
    with (
        valkey_server(tmp_path / "valkey") as redis,
        receiving(lambda _: Answer(delay_s=0.05)) as receiver,
        fleet(tmp_path / "fleet", database, redis, **NO_LIMITS) as house,
    ):
        key = house.api_key("*")
        with house.client(key) as client:
            made = client.post("/api/v1/webhooks", json={"url": receiver.url(), "event_types": ["*"]})
            assert made.status_code == 201, made.text
        async with Traffic(house.url, key, per_s=40, pages=4) as traffic:
            # One of each kind at a time.
            for wave in ("web-1 worker-1", "web-2 worker-2 scheduler-1"):
                leaving = [process for process in house.processes if process.name in wave]
                await asyncio.gather(*(asyncio.to_thread(process.restart) for process in leaving))
                print(f"{wave} restarted; {len(traffic.ledger.failures)} failures so far")
        ledger = traffic.ledger
        print(f"{ledger.answers}, slowest {max(ledger.durations):.2f} s, {[p.opened for p in traffic.pages]}")
        assert ledger.failures == []
        assert len(ledger.accepted) > 200
        wait_until(lambda: set(receiver.counts()) >= set(ledger.accepted), 60, "all that was accepted arrived")
        counts = receiver.counts()
        assert set(counts) == set(ledger.accepted)
        assert counts.total() == len(counts), "graceful stops send nothing twice"
        # Each page lost its server at least once, was elsewhere at the first try, and still signed in.
        assert [page.refused for page in traffic.pages] == [[]] * 4
        assert all(page.opened >= 2 for page in traffic.pages)
        for web in house.of("web"):
            assert "web_stopped" in web.log
        print(f"longest away {max(page.longest_away_s for page in traffic.pages):.2f} s")
