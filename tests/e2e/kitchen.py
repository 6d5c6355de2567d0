"""Jobs of every kind, by the tasks of `tests.e2e.tasks`: for pictures, and for who looks at every page."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.site import Site, wait_until

PAUSED = "report"
HOLDS_S = 1.0  # after which no worker begins anything of a queue that is paused
BAKE, BURN, LATER, SIMMER = "kitchen.bake", "kitchen.burn", "kitchen.later", "kitchen.simmer"


def is_there(site: Site) -> bool:
    """Whether the instance has these tasks."""
    return any(task["name"] == BAKE for task in site.get("/jobs/tasks")["data"])


def add(site: Site, task: str, **payload: Any) -> str:
    """Make a job; its id."""
    return site.post("/jobs", {"task": task, "payload": payload})["id"]


def state_of(site: Site, job_id: str) -> str:
    """What a job is, or `gone`."""
    answer = site.client.get(f"/jobs/{job_id}")
    return answer.json()["state"] if answer.status_code == 200 else "gone"


def reaches(site: Site, job_id: str, state: str) -> None:
    """Wait until a job has this state."""
    wait_until(lambda: state_of(site, job_id) == state, f"{job_id} is {state}")


def cook(site: Site, word: str = "lemon") -> None:
    """Jobs in every state, schedules, and a queue that is paused with a note."""
    if not is_there(site):
        return
    done = [add(site, BAKE, cake=f"{word} {n}", password="secret") for n in range(30)]  # pragma: allowlist secret
    burnt = [add(site, BURN, cake=f"{word} {n}") for n in range(5)]
    late = [add(site, LATER, cake=word) for _ in range(3)]
    for ids, state in ((done, "completed"), (burnt, "dead"), (late, "delayed")):
        for each in ids:
            reaches(site, each, state)
    reaches(site, add(site, SIMMER, seconds=600), "active")
    breakfast = {"name": f"Bread for {word}", "task": BAKE, "payload": {"cake": "bread"}, "cron": "30 5 * * MON-FRI"}
    site.post("/schedules", breakfast | {"timezone": "Europe/Paris"})
    weekly = site.post("/schedules", {"name": f"Weekly {word}", "task": BURN, "cron": "0 22 * * SUN"})
    reaches(site, site.post(f"/schedules/{weekly['id']}/run")["id"], "dead")
    site.post(f"/queue/{PAUSED}/pause", {"note": f"No {word} until the delivery at noon"})
    time.sleep(HOLDS_S)
    for n in range(3):
        add(site, BAKE, cake=f"waits {n}")


def clear(site: Site) -> None:
    """Stop what still runs, have the queue go on, and delete the schedules."""
    if not is_there(site):
        return
    site.post(f"/queue/{PAUSED}/resume", {})
    for job in site.get("/jobs", task=SIMMER, state="active")["data"]:
        site.client.post(f"/jobs/{job['id']}/cancel")
    for schedule in site.get("/schedules", limit="200")["data"]:
        if schedule["task"].startswith("kitchen."):
            site.client.delete(f"/schedules/{schedule['id']}")


def job_of(task: str, state: str) -> Callable[[Site], str]:
    """The path of a job of this task and state."""

    def path(site: Site) -> str:
        if not is_there(site):
            pytest.skip("the instance at E2E_BASE_URL does not have the tasks of tests/e2e/tasks.py")
        found = site.get("/jobs", task=task, state=state, limit="1")["data"]
        assert found, f"no {task} is {state}"
        return f"/jobs/{found[0]['id']}"

    return path
