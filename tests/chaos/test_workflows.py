"""A workflow of ten steps of all kinds, whose worker is killed at each of them: what was done is not done again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from novapulse.core.actor import SYSTEM
from novapulse.webhooks.schemas import WebhookCreate
from novapulse.webhooks.service import create_webhook
from novapulse.workflows import runs, service
from novapulse.workflows.schemas import WorkflowIn
from tests.chaos.conftest import wait_until
from tests.chaos.fleet import MODULE, Fleet
from tests.receiver import Receiver, receiving

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture
def fleet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    fleet = Fleet(
        tmp_path_factory.mktemp("flow") / "np",
        database=request.getfixturevalue("sqlite_template"),
        queues="workflow,email,report,webhook",
        heartbeat_ttl_s="1",
        task_modules=f"{MODULE},tests.chaos.dying",
        allow_private_networks="127.0.0.0/8",
    )
    fleet.man(schedulers=1)
    yield fleet
    fleet.close()


def ten_steps(receiver: Receiver) -> list[dict[str, Any]]:
    def call(id_: str, path: str) -> dict[str, Any]:
        return {"id": id_, "type": "http", "url": receiver.url(path), "json": {"of": id_}}

    def mail(id_: str) -> dict[str, Any]:
        return {"id": id_, "type": "email", "to": f"{id_}@example.com", "subject": id_, "text": "Done."}

    def event(id_: str) -> dict[str, Any]:
        return {"id": id_, "type": "webhook_event", "event_type": f"chaos.{id_}"}

    return [
        event("event"),
        mail("mail"),
        {"id": "report", "type": "report", "kind": "queues", "params": {"range": "yesterday"}},
        call("call", "/call"),
        {"id": "wait", "type": "wait", "seconds": 0.2},
        {"id": "either", "type": "condition", "if": "steps.call.output.status == 200", "then": [event("told")]},
        {"id": "both", "type": "parallel", "branches": [[call("left", "/left")], [mail("right")]]},
        {"id": "each", "type": "loop", "items": [1, 2], "steps": [call("item", "/item/{{ item }}")]},
        call("again", "/again"),
        mail("last"),
    ]


def test_a_run_of_ten_steps_survives_a_kill_at_each_and_does_each_once(fleet: Fleet) -> None:
    with receiving() as receiver:
        fleet.do(create_webhook(fleet.rt, SYSTEM, WebhookCreate(url=receiver.url())))
        steps = ten_steps(receiver)
        made = WorkflowIn.model_validate({"name": "Ten", "steps": steps})
        workflow = fleet.do(service.create_workflow(fleet.rt, SYSTEM, made))
        with fleet.tended():
            run_id = fleet.do(runs.start_run(fleet.rt, SYSTEM, workflow.id, {})).id
            ended = "SELECT 1 FROM workflow_run WHERE state <> 'running'"
            wait_until(lambda: fleet.rows(ended), 150, lambda: str(fleet.ledger.rows("SELECT at FROM kill")))
            over = "SELECT count(*) FROM job WHERE state IN ('waiting', 'active', 'delayed')"
            wait_until(lambda: fleet.rows(over) == [(0,)], 60, "its mail is over, too")
            wait_until(lambda: len(hooks(receiver)) == 2, 60, "and its events are delivered")
        run = fleet.do(runs.get_run(fleet.rt, SYSTEM, run_id))
    assert (run.state, run.error) == ("completed", None)
    assert {step.state for step in run.steps} == {"completed"}
    killed = {at for (at,) in fleet.ledger.rows("SELECT at FROM kill")}
    assert killed == {"start", *(step["id"] for step in steps)}
    # Each side effect once, although each step was begun twice: in our stores by the transaction, elsewhere by its key.
    assert Counter(kind for (kind,) in fleet.rows("SELECT type FROM event")) == {"chaos.event": 1, "chaos.told": 1}
    assert sorted(fleet.rows("SELECT subject, status FROM email")) == [
        (id_, "kept") for id_ in ("last", "mail", "right")
    ]
    assert fleet.rows("SELECT count(*), count(finished_at) FROM report") == [(1, 1)]
    calls: dict[str, Counter[str]] = {}
    for arrival in receiver.arrivals:
        if arrival.path != "/hook":
            calls.setdefault(arrival.path, Counter())[arrival.headers["idempotency-key"]] += 1
    paths = ("/call", "/left", "/item/1", "/item/2", "/again")
    assert {path: len(keys) for path, keys in calls.items()} == dict.fromkeys(paths, 1)
    assert max(sum(keys.values()) for keys in calls.values()) == 2
    assert set(fleet.rows("SELECT count(*) FROM chaos_end GROUP BY job_id")) == {(1,)}, "each job ended once"
    fleet.counts_are_true()


def hooks(receiver: Receiver) -> set[str]:
    """The events that arrived at the webhook, by their ids."""
    return {arrival.headers["webhook-id"] for arrival in receiver.arrivals if arrival.path == "/hook"}
