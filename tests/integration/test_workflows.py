"""Workflows through the API and the engine: what starts them, what they do, and that it is done once."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text, update

from novapulse.core.actor import SYSTEM, Actor, Permission
from novapulse.core.errors import ConflictError, ForbiddenError, NotFoundError, ReauthenticationError
from novapulse.core.runtime import Runtime
from novapulse.jobs import acts as job_acts
from novapulse.jobs.enqueue import JOB
from novapulse.webhooks import ingest
from novapulse.webhooks.schemas import EventIn
from novapulse.workflows import acts, runs, service
from novapulse.workflows.definition import Definition
from novapulse.workflows.schemas import DefinitionIn, RunDetail, WorkflowIn, WorkflowPut
from novapulse.workflows.settle import settle_runs
from novapulse.workflows.store import advance_on
from novapulse.workflows.triggers import start_scheduled
from tests.calls import PUBLIC_URL, calling, problem
from tests.jobs import run_jobs
from tests.receiver import Answer, receiving


def event_step(id_: str, **more: Any) -> dict[str, Any]:
    return {"id": id_, "type": "webhook_event", "event_type": f"done.{id_}", "retries": 0} | more


async def make(rt: Runtime, *steps: Any, actor: Actor = SYSTEM, **more: Any) -> str:
    """A workflow of these steps; its id."""
    known = {name: more.pop(name) for name in ("tenant", "enabled") if name in more}
    given = WorkflowIn(name=more.pop("name", "Test"), steps=list(steps), **more, **known)
    return (await service.create_workflow(rt, actor, given)).id


async def finished(rt: Runtime, workflow_id: str, **given: Any) -> RunDetail:
    """A run of it, carried on as far as it goes."""
    run = await runs.start_run(rt, SYSTEM, workflow_id, given)
    await run_jobs(rt)
    return await runs.get_run(rt, SYSTEM, run.id)


async def events(rt: Runtime) -> list[str]:
    async with rt.database.read() as session:
        return list((await session.execute(text("SELECT type FROM event ORDER BY id"))).scalars())


async def make_due(rt: Runtime) -> None:
    """Let what is delayed be due."""
    async with rt.database.write() as session:
        await session.execute(update(JOB).where(JOB.c.state == "delayed").values(run_at=1))
        await session.execute(text("UPDATE workflow_step SET wake_at = 1 WHERE state = 'waiting'"))


def states(run: RunDetail) -> dict[str, str]:
    return {step.key: step.state for step in run.steps}


async def test_a_run_does_every_kind_of_step(any_rt: Runtime) -> None:
    rt = any_rt
    with receiving() as receiver:
        workflow_id = await make(
            rt,
            {"id": "call", "type": "http", "url": receiver.url("/a?x=1"), "json": {"n": "{{ input.n }}"},
             "headers": {"Authorization": "Bearer {{ secrets.token }}", "X-Who": "{{ run.workflow }}"}},
            {"id": "mail", "type": "email", "to": ["ada@example.com", "{{ input.to }}"],
             "subject": "Total {{ input.n * 2 }}", "text": "Answered {{ steps.call.output.status }}"},
            {"id": "nap", "type": "wait", "seconds": "{{ input.n }}"},
            {"id": "rep", "type": "report", "kind": "deliveries", "format": "csv", "params": {"range": "yesterday"}},
            {"id": "each", "type": "loop", "items": "input.lines", "at_once": 2,
             "steps": [event_step("line", data={"sku": "{{ item }}", "at": "{{ index }}"})]},
            {"id": "big", "type": "condition", "if": "input.n > 100", "then": [event_step("large")],
             "else": [event_step("small")]},
        )  # fmt: skip
        await service.put_secret(rt, SYSTEM, workflow_id, "token", "hush-hush-42")
        run = await finished(rt, workflow_id, n=60, to="bob@example.com", lines=["a", "b", "c"])
        assert states(run) == {"call": "completed", "mail": "completed", "nap": "waiting"}, run
        (request,) = receiver.arrivals
        assert (request.method, request.path) == ("POST", "/a?x=1")
        assert request.headers["authorization"] == "Bearer hush-hush-42"
        assert request.headers["idempotency-key"] == f"{run.id}.call"
        assert request.body == b'{"n":60}'
        # Nobody can read the secret: not in the step, not in a job, not in the table.
        assert run.steps[0].input["headers"]["Authorization"] == "Bearer ***"
        async with rt.database.read() as session:
            for table, column in (("workflow_step", "input"), ("workflow_secret", "sealed"), ("job", "payload")):
                stored = (await session.execute(text(f"SELECT {column} FROM {table}"))).scalars()
                assert not any("hush" in str(value) for value in stored), table
        for _ in range(40):
            await make_due(rt)
            await run_jobs(rt)
            run = await runs.get_run(rt, SYSTEM, run.id)
            if run.state != "running":
                break
    assert run.state == "completed", run.error
    assert set(states(run).values()) == {"completed"}
    # All of it is one trace, also what the scheduler went on with.
    trace = run.id.removeprefix("run_")
    async with rt.database.read() as session:
        found = await session.execute(text(f"SELECT DISTINCT trace_id FROM job WHERE parent_id = '{run.id}'"))
        assert found.scalars().all() == [trace]
    assert request.headers["traceparent"].startswith(f"00-{trace}-")
    assert sorted(await events(rt)) == ["done.line"] * 3 + ["done.small"]
    by_key = {step.key: step for step in run.steps}
    assert by_key["rep"].output["report_id"].startswith("rpt_")
    assert [by_key[f"each/{n}/line"].input["data"] for n in range(3)] == [
        {"sku": sku, "at": at} for at, sku in enumerate("abc")
    ]
    async with rt.database.read() as session:
        mails = (await session.execute(text("SELECT recipient, subject, job_id FROM email"))).all()
        assert [(row.recipient, row.subject) for row in mails] == [("ada@example.com, bob@example.com", "Total 120")]


async def test_an_event_starts_a_run_once_and_in_its_tenant(any_rt: Runtime) -> None:
    rt = any_rt
    trigger = [{"event": "order.*", "if": "input.total > 10"}, {"event": "order.paid"}]
    theirs = await make(rt, event_step("a"), triggers=trigger, tenant="acme")
    ours = await make(rt, event_step("b", data={"id": "{{ event.id }}"}), triggers=trigger[:1])
    off = await make(rt, event_step("c"), triggers=trigger, enabled=False)
    one = EventIn(type="order.paid", data={"total": 50}, id="first")
    accepted = [await ingest.accept(rt, SYSTEM, one) for _ in range(2)]
    await ingest.accept(rt, SYSTEM, EventIn(type="order.paid", data={"total": 50, "big": 10**30}, tenant="acme"))
    await ingest.accept(rt, SYSTEM, EventIn(type="order.made", data={"total": 5}, tenant="acme"))
    await ingest.accept(rt, SYSTEM, EventIn(type="order.made", data="no object"))
    await run_jobs(rt)
    mine = await runs.list_runs(rt, SYSTEM, workflow_id=ours)
    assert [(run.state, run.trigger) for run in mine.data] == [("completed", "event")]
    detail = await runs.get_run(rt, SYSTEM, mine.data[0].id)
    assert detail.steps[0].input["data"] == {"id": accepted[0].id} and detail.input == {"total": 50}
    other = await runs.list_runs(rt, SYSTEM, workflow_id=theirs)
    assert [(run.state, run.tenant) for run in other.data] == [("completed", "acme")]
    assert (await runs.get_run(rt, SYSTEM, other.data[0].id)).input["big"] == 10**30
    assert (await runs.list_runs(rt, SYSTEM, workflow_id=off)).data == []
    # What a step sends belongs to the workflow's tenant.
    async with rt.database.read() as session:
        rows = (
            await session.execute(text("SELECT type, tenant FROM event WHERE type LIKE 'done.%' ORDER BY type"))
        ).all()
    assert [tuple(row) for row in rows] == [("done.a", "acme"), ("done.b", None)]
    # A change counts for the very next event.
    await service.set_enabled(rt, SYSTEM, ours, False)
    await ingest.accept(rt, SYSTEM, EventIn(type="order.paid", data={"total": 50}))
    assert len((await runs.list_runs(rt, SYSTEM, workflow_id=ours)).data) == 1


async def test_workflows_that_start_each_other_come_to_an_end(rt: Runtime) -> None:
    workflow_id = await make(
        rt, event_step("a", event_type="ping", data={}), triggers=[{"event": "ping"}], name="Endless"
    )
    await ingest.accept(rt, SYSTEM, EventIn(type="ping", data={}))
    await run_jobs(rt)
    found = (await runs.list_runs(rt, SYSTEM, workflow_id=workflow_id)).data
    assert [run.state for run in found] == ["failed"] + ["completed"] * 9
    assert "start each other" in (found[0].error or "")


async def test_failures_are_retried_then_done_again_by_hand_without_repeating_the_rest(any_rt: Runtime) -> None:
    rt = any_rt
    status = 500
    with receiving(lambda _: Answer(status)) as receiver:
        workflow_id = await make(
            rt,
            event_step("before"),
            {"id": "call", "type": "http", "url": receiver.url(), "method": "PUT", "body": "x", "retries": 1},
            event_step("after"),
        )
        run = await finished(rt, workflow_id)
        assert (run.state, run.steps[1].attempts) == ("running", 1) and "Answered 500" in (run.steps[1].error or "")
        await make_due(rt)
        await run_jobs(rt)
        run = await runs.get_run(rt, SYSTEM, run.id)
        assert (run.state, run.failed_step) == ("failed", "call") and "Answered 500" in (run.error or "")
        assert [request.method for request in receiver.arrivals] == ["PUT", "PUT"]
        status = 200
        await runs.retry_run(rt, SYSTEM, run.id)
        await run_jobs(rt)
        run = await runs.get_run(rt, SYSTEM, run.id)
        assert states(run) == dict.fromkeys(("before", "call", "after"), "completed")
        assert await events(rt) == ["done.before", "done.after"]
        with pytest.raises(ConflictError, match="nothing of it failed"):
            await runs.retry_run(rt, SYSTEM, run.id)
        # What a receiver refuses for good is not tried again.
        status = 404
        run = await finished(rt, workflow_id)
        assert (run.state, run.steps[1].attempts) == ("failed", 1)
        # And whoever retries the job in place of the run gets the same.
        status = 200
        async with rt.database.write() as session:
            connection = await session.connection()
            dead = run.steps[1].job_id
            moved = await connection.run_sync(lambda c: job_acts.retry_on(c, [dead], ["dead"], now=1, by="Ada"))
            assert moved == [dead]
        await run_jobs(rt)
        assert (await runs.get_run(rt, SYSTEM, run.id)).state == "completed"


async def test_a_secret_that_comes_back_is_not_kept_however_it_is_written(rt: Runtime) -> None:
    said = rb'{"got": "Bearer ab\/cd+\u0065f", "ab\/cd+ef": 1}'
    with receiving(lambda arrival: Answer(body=said)) as receiver:
        workflow_id = await make(
            rt, {"id": "call", "type": "http", "url": receiver.url(), "json": {"t": "{{ secrets.token }}"}}
        )
        await service.put_secret(rt, SYSTEM, workflow_id, "token", "ab/cd+ef")
        run = await finished(rt, workflow_id)
    assert run.steps[0].output["json"] == {"got": "Bearer ***", "***": 1}


async def test_a_secret_that_is_not_set_fails_the_step_in_words(rt: Runtime) -> None:
    step = {"id": "a", "type": "http", "url": PUBLIC_URL, "headers": {"X-Token": "{{ secrets.token }}"}}
    workflow_id = await make(rt, step)
    run = await finished(rt, workflow_id)
    assert (run.state, run.steps[0].error) == ("failed", "The secret 'token' is not set.")
    (secret,) = (await service.get_workflow(rt, SYSTEM, workflow_id)).secrets
    assert (secret.name, secret.set, secret.used) == ("token", False, True)


async def test_cancelling_calls_off_what_waits(any_rt: Runtime) -> None:
    rt = any_rt
    workflow_id = await make(rt, event_step("a"), {"id": "nap", "type": "wait", "seconds": 9000}, event_step("b"))
    run = await finished(rt, workflow_id)
    assert states(run) == {"a": "completed", "nap": "waiting"}
    assert (await runs.cancel_run(rt, SYSTEM, run.id)).state == "cancelled"
    run = await runs.get_run(rt, SYSTEM, run.id)
    assert states(run) == {"a": "completed", "nap": "cancelled"} and run.error == "Cancelled by NovaPulse."
    async with rt.database.read() as session:
        open_ = await session.execute(text("SELECT count(*) FROM job WHERE state IN ('waiting', 'delayed', 'active')"))
        assert open_.scalar_one() == 0
    await runs.retry_run(rt, SYSTEM, run.id)
    for _ in range(2):
        await make_due(rt)
        await run_jobs(rt)
    assert (await runs.get_run(rt, SYSTEM, run.id)).state == "completed"
    assert await events(rt) == ["done.a", "done.b"]


async def test_a_step_whose_job_is_lost_fails_in_words(rt: Runtime) -> None:
    workflow_id = await make(rt, event_step("a"), event_step("b"))
    for loss, words in (
        (
            "UPDATE job SET state = 'dead', error = 'Its worker died 2 times' WHERE task = 'workflow.step'",
            "died 2 times",
        ),
        ("DELETE FROM job WHERE task = 'workflow.step'", "discarded"),
    ):
        run = await runs.start_run(rt, SYSTEM, workflow_id, {})
        await run_jobs(rt, ("report",))  # the tasks are known
        await rt.database.run_write(lambda connection, id_=run.id: advance_on(connection, id_, 1))
        async with rt.database.write() as session:
            await session.execute(text(loss))
        await settle_runs(rt)
        found = await runs.get_run(rt, SYSTEM, run.id)
        assert (found.state, found.failed_step) == ("failed", "a") and words in (found.error or "")


async def test_versions_rights_and_tenants(rt: Runtime) -> None:
    W, E = Permission.WORKFLOWS_WRITE, Permission.EVENTS_WRITE
    R = Permission.WORKFLOWS_READ
    plain = Actor("api_key", "key_1", "plain", frozenset({W, R}))
    with pytest.raises(ForbiddenError, match="events:write"):
        await make(rt, event_step("a"), actor=plain)
    acme = Actor("api_key", "key_2", "acme", frozenset({W, R, E}), tenant="acme")
    own = await make(rt, event_step("a"), actor=acme)
    other = await make(rt, event_step("a"))
    with pytest.raises(NotFoundError):
        await service.get_workflow(rt, acme, other)
    with pytest.raises(NotFoundError):
        await runs.start_run(rt, acme, other, {})
    assert [each.id for each in (await service.list_workflows(rt, acme)).data] == [own]
    with pytest.raises(ForbiddenError):
        await make(rt, event_step("a"), actor=acme, tenant="other")
    # A run keeps the version it began with.
    waiting = await make(rt, {"id": "nap", "type": "wait", "seconds": 50}, event_step("old"))
    run = await finished(rt, waiting)
    new = {"name": "New", "steps": [event_step("new")]}
    changed = await service.update_workflow(rt, SYSTEM, waiting, WorkflowPut(**new, expected_version=1))
    assert (changed.version, changed.name, [v.version for v in changed.versions]) == (2, "New", [2, 1])
    with pytest.raises(ConflictError, match="saved meanwhile"):
        await service.update_workflow(rt, SYSTEM, waiting, WorkflowPut(**new, expected_version=1))
    await make_due(rt)
    await run_jobs(rt)
    assert (await runs.get_run(rt, SYSTEM, run.id)).version == 1
    assert await events(rt) == ["done.old"]
    person = Actor("user", "usr_1", "Ada", frozenset(Permission))
    with pytest.raises(ReauthenticationError):
        await service.delete_workflow(rt, person, waiting)
    await service.delete_workflow(rt, SYSTEM, waiting)
    with pytest.raises(NotFoundError):
        await runs.get_run(rt, SYSTEM, run.id)


async def test_schedules_follow_the_definition(rt: Runtime) -> None:
    async def schedules() -> list[Any]:
        async with rt.database.read() as session:
            return list(
                (await session.execute(text("SELECT cron, enabled, next_run_at FROM schedule ORDER BY cron"))).all()
            )

    triggers = [{"cron": "0 9 * * 1-5", "timezone": "Europe/Berlin", "input": {"x": 1}}, {"cron": "*/5 * * * *"}]
    workflow_id = await make(rt, event_step("a"), triggers=triggers)
    assert [row.cron for row in await schedules()] == ["*/5 * * * *", "0 9 * * 1-5"]
    assert all(row.next_run_at for row in await schedules())
    await service.set_enabled(rt, SYSTEM, workflow_id, False)
    assert [(bool(row.enabled), row.next_run_at) for row in await schedules()] == [(False, None)] * 2
    put = WorkflowPut(name="Test", steps=[event_step("a")], triggers=triggers[:1], enabled=True)
    await service.update_workflow(rt, SYSTEM, workflow_id, put)
    assert [row.cron for row in await schedules()] == ["0 9 * * 1-5"]
    # Its job starts one run, however often it is attempted.
    for _ in range(2):
        await rt.database.run_write(lambda connection: start_scheduled(connection, workflow_id, {"x": 1}, "job_1"))
    await run_jobs(rt)
    (run,) = (await runs.list_runs(rt, SYSTEM, workflow_id=workflow_id)).data
    assert (run.trigger, run.state) == ("schedule", "completed")
    await service.delete_workflow(rt, SYSTEM, workflow_id)
    assert await schedules() == []


async def test_the_api(rt: Runtime) -> None:
    async with calling(rt, "workflows:read", "workflows:write", "events:write", "webhooks:write") as client:
        body = {"name": "Api", "steps": [event_step("a")]}
        made = (await client.post("/workflows", json=body)).json()
        assert made["version"] == 1 and made["permissions"] == ["events:write"]
        wrong = {"source": "name: X\nsteps:\n  - id: a\n    type: sing\n"}
        refused = problem(await client.post("/workflows", json=wrong), 422, "/source")
        assert refused["errors"][0]["detail"].startswith("line 4, /steps/0/type: must be one of")
        checked = (await client.post("/workflows/validate", json=wrong)).json()
        assert checked["errors"][0]["line"] == 4 and not checked["valid"]
        problem(
            await client.post("/workflows", json={"name": "X", "steps": [event_step("a", needs=["b"])]}),
            422,
            "/steps/0/needs/0",
        )
        problem(await client.post("/workflows", json=body | {"sources": ""}), 422, "/sources")
        problem(await client.post("/workflows", json=body | {"source": "x"}), 422, "/source")
        started = await client.post(
            f"/workflows/{made['id']}/runs", json={"input": {"x": 1}}, headers={"Idempotency-Key": "k"}
        )
        again = await client.post(
            f"/workflows/{made['id']}/runs", json={"input": {"x": 1}}, headers={"Idempotency-Key": "k"}
        )
        assert started.status_code == 202 and again.json() == started.json()
        await run_jobs(rt)
        run = (await client.get(f"/workflow-runs/{started.json()['id']}")).json()
        assert run["state"] == "completed" and run["steps"][0]["output"]["deliveries"] == 0
        listed = (await client.get("/workflow-runs", params={"workflow_id": made["id"], "state": "completed"})).json()
        assert [each["id"] for each in listed["data"]] == [run["id"]]
        found = (await client.get("/workflows", params={"q": "api"})).json()["data"]
        assert [(w["completed_24h"], w["last_run"]["state"]) for w in found] == [(1, "completed")]
        problem(await client.post(f"/workflow-runs/{run['id']}/cancel"), 409)
        problem(await client.put(f"/workflows/{made['id']}/secrets/token", json={"value": "x"}), 403)
        assert (await client.delete(f"/workflows/{made['id']}")).status_code == 204
        problem(await client.get(f"/workflows/{made['id']}"), 404)


async def test_a_report_step_that_is_asked_again_makes_one_report(rt: Runtime) -> None:
    workflow_id = await make(rt, {"id": "rep", "type": "report", "kind": "queues", "params": {"range": "yesterday"}})
    run = await runs.start_run(rt, SYSTEM, workflow_id, {})
    await run_jobs(rt, ("workflow",))
    for _ in range(3):
        await make_due(rt)
        await run_jobs(rt, ("workflow",))
    async with rt.database.read() as session:
        assert (await session.execute(text("SELECT count(*) FROM report"))).scalar_one() == 1
    await run_jobs(rt)
    await make_due(rt)
    await run_jobs(rt)
    assert (await runs.get_run(rt, SYSTEM, run.id)).state == "completed"


FUTURE = {"since": "2999-01-01T00:00:00Z", "until": "2999-02-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("step", "pointer", "words"),
    [
        ({"type": "http", "url": "http://10.0.0.1/x"}, "/url", "private"),
        ({"type": "http", "url": "ftp://example.com"}, "/url", "https://"),
        ({"type": "email", "to": "nobody", "subject": "x", "text": "y"}, "/to", "address"),
        ({"type": "webhook_event", "event_type": "a b"}, "/event_type", "event type"),
        ({"type": "report", "kind": "queues", "params": FUTURE}, "/params/since", "future"),
    ],
)  # fmt: skip
async def test_what_a_service_would_refuse_is_refused_when_it_is_saved(
    rt: Runtime, step: Any, pointer: str, words: str
) -> None:
    found = await service.validate(rt, SYSTEM, DefinitionIn(name="X", steps=[{"id": "a"} | step]))
    assert len(found.errors) >= 1, found
    assert found.errors[0].pointer.startswith("/steps/0" + pointer), found
    assert words in found.errors[0].detail, found


async def test_an_event_that_was_sent_before_its_worker_died_is_the_same_event(rt: Runtime) -> None:
    workflow_id = await make(rt, event_step("a", data={"n": "{{ input.n }}"}))
    run = await runs.start_run(rt, SYSTEM, workflow_id, {"n": 1})
    step = {"event_type": "done.a", "data": {"n": 1}}
    acting = acts.Doing(run.id, "a", SYSTEM, parse_step(event_step("a")), step, None, {})
    before = await acts.do(rt, acting)  # and then it dies, before it could record that
    await run_jobs(rt)
    found = await runs.get_run(rt, SYSTEM, run.id)
    assert found.state == "completed" and found.steps[0].output == before.output
    assert await events(rt) == ["done.a"]


def parse_step(step: dict[str, Any]) -> Any:
    return Definition.model_validate({"name": "x", "steps": [step]}).steps[0]


async def test_validation_says_lines(rt: Runtime) -> None:
    found = await service.validate(rt, SYSTEM, DefinitionIn(source="name: X\nsteps: [\n"))
    assert found.errors[0].line == 3


async def test_a_run_whose_only_job_is_gone_is_carried_on(any_rt: Runtime) -> None:
    rt = any_rt
    run = await runs.start_run(rt, SYSTEM, await make(rt, event_step("a")), {})
    async with rt.database.write() as session:
        await session.execute(text("DELETE FROM job"))
    await settle_runs(rt)
    await run_jobs(rt)
    assert (await runs.get_run(rt, SYSTEM, run.id)).steps == [], "it may still be on its way"
    async with rt.database.write() as session:
        await session.execute(text("UPDATE workflow_run SET created_at = 1"))
    await settle_runs(rt)
    await run_jobs(rt)
    assert (await runs.get_run(rt, SYSTEM, run.id)).state == "completed"
