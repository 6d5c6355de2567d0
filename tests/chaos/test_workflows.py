"""A workflow of ten steps whose worker is killed at each of them: what was done is not done again."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from tests.chaos.conftest import House, wait_until
from tests.receiver import Answer, Arrival, receiving

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(300)]


def test_a_run_of_ten_steps_survives_a_kill_at_each_and_does_each_once(make_house: Callable[..., House]) -> None:
    order: list[str] = []  # the calls that arrived, in order
    keys: dict[str, set[str]] = {}  # of each, by what its receiver knows it again
    spare: list[subprocess.Popen[bytes]] = []

    def rule(arrival: Arrival) -> Answer:
        name = arrival.path.removeprefix("/call/")
        order.append(name)
        keys.setdefault(name, set()).add(arrival.headers["idempotency-key"])
        if order.count(name) == 1:
            # In the middle of the step: its worker has done it, and cannot record it any more.
            ((holder,),) = house.rows("SELECT claimed_by FROM job WHERE task = 'workflow.step' AND state = 'active'")
            os.kill(int(holder.split("-")[-2]), signal.SIGKILL)
            spare.append(house.spawn("worker"))
            return Answer(silent=True)
        return Answer()

    with receiving(rule) as receiver:
        house = make_house(NOVAPULSE_HEARTBEAT_TTL_S="1")
        spare += [house.spawn("worker"), house.spawn("worker")]
        try:
            steps: list[dict[str, Any]] = [
                {"id": f"s{n}", "type": "http", "url": receiver.url(f"/call/s{n}"), "json": {"n": n}, "retries": 0}
                for n in range(10)
            ]
            made = house.client.post("/workflows", json={"name": "Ten", "steps": steps})
            assert made.status_code == 201, made.text
            run = house.client.post(f"/workflows/{made.json()['id']}/runs", json={"input": {}}).json()

            def over() -> bool:
                return house.client.get(f"/workflow-runs/{run['id']}").json()["state"] != "running"

            wait_until(over, 150, "the run over")
            found = house.client.get(f"/workflow-runs/{run['id']}").json()
        finally:
            for process in spare:
                process.kill()
                process.wait()
    assert (found["state"], found["error"]) == ("completed", None), order
    assert {step["key"]: step["state"] for step in found["steps"]} == {f"s{n}": "completed" for n in range(10)}
    # What was recorded is never done again: each call was made once more, because its worker died under it, and then
    # never any more. For its receiver the two are one and the same.
    assert order == [f"s{n}" for n in range(10) for _ in range(2)]
    assert {name: len(of) for name, of in keys.items()} == {f"s{n}": 1 for n in range(10)}
