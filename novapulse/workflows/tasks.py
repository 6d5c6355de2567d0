"""The tasks of workflows: carrying a run on, doing one of its steps, and starting a run at a time."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog
from pydantic import BaseModel
from redis.exceptions import RedisError
from sqlalchemy import Connection, select
from sqlalchemy.exc import DBAPIError

from novapulse.core import exact
from novapulse.core.actor import Actor
from novapulse.core.away import is_away
from novapulse.core.clock import now_ms
from novapulse.core.errors import ProblemError, UnavailableError
from novapulse.core.runtime import Runtime
from novapulse.jobs.enqueue import kick
from novapulse.jobs.tasks import Backoff, GiveUp, JobContext, PutOff, RetryLater, task
from novapulse.workflows import acts, hidden, store, triggers
from novapulse.workflows.acts import ActFailedError, Doing, Done
from novapulse.workflows.expressions import ExpressionError
from novapulse.workflows.models import RunState
from novapulse.workflows.plan import OUTPUT_MAX, StepState, act_input
from novapulse.workflows.watch import tell_run

triggers.install()
log = structlog.get_logger(__name__)
_TRIES = 21
_AWAY_S = 2.0


class RunPayload(BaseModel):
    """Which run."""

    run_id: str


class StepPayload(BaseModel):
    """Which step of which run."""

    run_id: str
    key: str


class StartPayload(BaseModel):
    """Which workflow, and what it is given."""

    workflow_id: str
    input: dict[str, Any] = {}


@task(store.ADVANCE, queue="workflow", payload=RunPayload, max_attempts=_TRIES, timeout_s=60)
async def advance(job: JobContext, payload: RunPayload) -> dict[str, Any]:
    """Carry a workflow's run on."""
    now = now_ms()
    moved = await job.rt.database.run_write(lambda connection: store.advance_on(connection, payload.run_id, now))
    await store.begin(job.rt, moved)
    return {"over": moved is None or moved.over}


@task(store.START, queue="workflow", payload=StartPayload, max_attempts=5, timeout_s=60)
async def start(job: JobContext, payload: StartPayload) -> dict[str, Any]:
    """Start a workflow at its time."""
    rt = job.rt
    found = await rt.database.run_write(
        lambda connection: triggers.start_scheduled(connection, payload.workflow_id, payload.input, job.id)
    )
    if found is None:
        await job.log("The workflow is switched off, or gone, or this started it before.")
        return {"run_id": None}
    run_id, job_id = found
    tell_run(rt, payload.workflow_id, run_id)
    if job_id is not None:
        await kick(rt, "workflow", [job_id])
    return {"run_id": run_id}


@task(store.DO, queue="workflow", payload=StepPayload, max_attempts=_TRIES, timeout_s=3_700)
async def step(job: JobContext, payload: StepPayload) -> Any:
    """Do one step of a workflow's run."""
    rt, now = job.rt, now_ms()
    doing = await rt.database.run_write(lambda connection: _find(rt, connection, payload, job.id, now))
    if doing is None:
        await job.log("The run has ended, or this step of it: there is nothing to do.")
        return None
    tell_run(rt, doing.actor.id, payload.run_id)
    await job.log(f"{doing.step.label} ({doing.step.type}), attempt {job.attempt} of {doing.step.retries + 1}")
    try:
        if doing.problem is not None:
            raise doing.problem
        async with asyncio.timeout(doing.step.timeout_s):
            done = await acts.do(rt, doing)
        output = await _finish(rt, payload, job.id, done)
    except PutOff:
        raise
    except (ActFailedError, ProblemError, ExpressionError, TimeoutError) as error:
        raise await _failed(rt, job, payload, doing, error) from error
    except (DBAPIError, ConnectionError, RedisError) as error:
        if not (isinstance(error, RedisError) or is_away(error)):
            raise
        # That is no failure of the step, and costs it no attempt.
        raise PutOff(f"A store is away: {type(error).__name__}", _AWAY_S) from error
    if not done.over:
        raise PutOff("It goes on in another queue.", 1.0)
    return output


async def _failed(rt: Runtime, job: JobContext, payload: StepPayload, doing: Doing, error: Exception) -> Exception:
    """Record that it failed, and for good where no other attempt could help; what the engine is to be told."""
    words, final, after_s = _words(error, doing)
    if not final and job.attempt <= doing.step.retries:
        await rt.database.run_write(lambda connection: _note_error(connection, payload, job.id, words))
        tell_run(rt, doing.actor.id, payload.run_id)
        wait_s = Backoff(doing.step.backoff_s).after(job.attempt)
        return RetryLater(words, wait_s if after_s is None else max(wait_s, after_s))
    now = now_ms()
    moved = await rt.database.run_write(
        lambda connection: store.finish_on(connection, payload.run_id, payload.key, job.id, now, error=words)
    )
    await store.begin(rt, moved)
    return GiveUp(words)


def _words(error: Exception, doing: Doing) -> tuple[str, bool, float | None]:
    """What is said of a failure, whether another attempt could help, and when it is wished for."""
    if isinstance(error, ActFailedError):
        return str(error), error.final, error.after_s
    if isinstance(error, ProblemError):
        return error.detail, not isinstance(error, UnavailableError), None
    if isinstance(error, TimeoutError):
        return f"It took longer than {doing.step.timeout_s:g} s.", False, None
    return str(error), True, None


def _find(rt: Runtime, connection: Connection, payload: StepPayload, job_id: str, now: int) -> Doing | None:
    """What is to be done, if it still is."""
    run = store.lock(connection, payload.run_id)
    s = store.STEP.c
    found = connection.execute(
        select(store.STEP).where(s.run_id == payload.run_id, s.key == payload.key, s.job_id == job_id)
    ).one_or_none()
    if run is None or found is None:
        return None
    if found.state == StepState.FAILED.value and run.state == RunState.FAILED.value:
        # Somebody had this job tried again: the run goes on with it.
        store.retry_on(connection, payload.run_id, now, "a retry of its job", but=job_id)
    elif found.state != StepState.RUNNING.value or run.state != RunState.RUNNING.value:
        return None
    definition = store.parsed(run.definition)
    act = store.acts_of(definition)[found.step_id]
    given, secrets = exact.loads(found.input), {}
    problem: ActFailedError | ExpressionError | None = None
    if hidden.names_in(act):
        try:
            secrets = hidden.open_on(rt, connection, run.workflow_id, hidden.names_in(act))
            given = act_input(act, store.names_for(connection, run, payload.key) | {"secrets": secrets})
        except (ActFailedError, ExpressionError) as error:
            problem = error
    output = None if found.output is None else exact.loads(found.output)
    actor = Actor("system", run.workflow_id, f"Workflow {run.name}", acts.permissions_of(definition), run.tenant)
    return Doing(payload.run_id, payload.key, actor, act, given, output, secrets, problem)


def _note_error(connection: Connection, payload: StepPayload, job_id: str, words: str) -> None:
    s = store.STEP.c
    mine = (s.run_id == payload.run_id, s.key == payload.key, s.job_id == job_id)
    connection.execute(store.STEP.update().where(*mine, s.state == StepState.RUNNING.value).values(error=words[:2_000]))


async def _finish(rt: Runtime, payload: StepPayload, job_id: str, done: Done) -> Any:
    """Record what came of it, and with it what belongs into the same transaction."""
    now, output = now_ms(), done.output
    if output is not None and len(exact.dumps(output)) > OUTPUT_MAX:
        raise ActFailedError(f"It was done, but its output is larger than {OUTPUT_MAX // 1024} KiB.", final=True)
    if done.within is None:
        moved = await rt.database.run_write(
            lambda connection: store.finish_on(connection, payload.run_id, payload.key, job_id, now, output=output)
        )
        await store.begin(rt, moved)
        return output
    async with rt.database.write() as session:
        connection = await session.connection()
        if not await connection.run_sync(lambda sync: store.is_mine(sync, payload.run_id, payload.key, job_id)):
            return None
        output = await done.within(session)
        await session.flush()
        if done.over:
            moved = await connection.run_sync(
                lambda sync: store.finish_on(sync, payload.run_id, payload.key, job_id, now, output=output)
            )
        else:
            moved = None
            await connection.run_sync(lambda sync: store.note_on(sync, payload.run_id, payload.key, job_id, output))
    await store.begin(rt, moved)
    if done.after is not None:
        await done.after(output)
    return output
