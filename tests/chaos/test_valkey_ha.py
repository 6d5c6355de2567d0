"""The server with our keys is lost, and others take over: under Sentinels, and in a Cluster."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from redis import Redis

from novapulse.core.valkey import PREFIX
from tests.chaos.conftest import House, wait_until
from tests.receiver import receiving
from tests.valkeys import cluster, sentinels, until


@pytest.mark.parametrize("kind", [sentinels, cluster], ids=["sentinels", "cluster"])
def test_what_was_accepted_goes_out_when_another_has_taken_over(make_house: Callable[..., House], kind: object) -> None:
    with tempfile.TemporaryDirectory(prefix="np-ha-") as folder, kind(Path(folder)) as servers, receiving() as receiver:  # type: ignore[operator]
        house = make_house(NOVAPULSE_REDIS_URL=servers.url)
        house.webhook(receiver.url())
        ids = house.send(500)
        house.wait_delivered(500)
        before = servers.owner()
        kept = Redis(port=before, decode_responses=True)
        assert [key for key in kept.scan_iter() if not key.startswith(PREFIX)] == [], "all keys are in one slot"

        ids += house.send(2_000, start=500)
        servers.kill_owner()
        ids += house.send(500, start=2_500)  # accepted means on disk, whoever has the keys
        until(lambda: servers.owner() != before, "another has our keys")
        house.wait_delivered(3_000)
        assert set(receiver.counts()) == set(ids)

        # All parts have found it: the scheduler is elected, workers are seen, a queue is paused and goes on.
        wait_until(lambda: house.client.get("/health").status_code == 200, 30, lambda: house.client.get("/health").text)
        assert house.client.post("/queue/webhook/pause").status_code == 200
        later = house.send(50, start=3_000)
        assert house.client.post("/queue/webhook/resume").status_code == 200
        house.wait_delivered(3_050)
        assert set(receiver.counts()) == {*ids, *later}
