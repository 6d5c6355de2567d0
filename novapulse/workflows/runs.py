"""Runs of workflows: starting, finding, cancelling them, and doing again what failed."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import orjson
from sqlalchemy import Connection, select
from sqlalchemy.ext.asyncio import AsyncSession

import novapulse.workflows.tasks  # noqa: F401 - a run is made of jobs, whose tasks have to be known
from novapulse.core import exact, trace
from novapulse.core.actor import Actor, Permission
from novapulse.core.clock import now_ms, rfc3339
from novapulse.core.errors import ConflictError, InvalidError, NotFoundError
from novapulse.core.ids import floor_id
from novapulse.core.pagination import Page, decode_cursor, page_of
from novapulse.core.runtime import Runtime
from novapulse.jobs.enqueue import JOB, kick
from novapulse.security import audit
from novapulse.workflows.schemas import RunDetail, RunView, StepView
from novapulse.workflows.store import RUN, STEP, VERSION, WORKFLOW, Moved, NewRun, begin, cancel_on, retry_on, start_on
from novapulse.workflows.views import find
from novapulse.workflows.watch import tell_run

_r, _s, _w, _v, _j = RUN.c, STEP.c, WORKFLOW.c, VERSION.c, JOB.c
_INPUT_MAX = 128 * 1024


async def start_run(
    rt: Runtime,
    actor: Actor,
    workflow_id: str,
    given: Mapping[str, Any],
    *,
    trigger: Literal["hand", "api"] = "api",
) -> RunView:
    """Start a run now, whether or not the workflow's triggers are on.

    Raises:
        NotFoundError: none of this id that the actor may see.
        InvalidError: an input that is too large.
    """
    actor.require(Permission.WORKFLOWS_WRITE)
    text = exact.dumps(given)
    if len(text) > _INPUT_MAX:
        raise InvalidError.at("/input", f"larger than {_INPUT_MAX // 1024} KiB; pass an id and have a step read it")
    async with rt.database.write() as session:
        workflow = await find(session, actor, workflow_id)
        run = NewRun(
            workflow_id, workflow.version, workflow.tenant, trigger, None, text, actor.name, place=trace.current()
        )
        connection = await session.connection()
        ((run_id, job_id),) = await connection.run_sync(lambda sync: start_on(sync, [run]))
        target = ("workflow", workflow_id, workflow.name)
        await audit.append(rt, session, actor, "workflow.started", target=target, detail={"run_id": run_id})
    tell_run(rt, workflow_id, run_id)
    await kick(rt, "workflow", [job_id] if job_id else [])
    async with rt.database.read() as session:
        return _view(await _find(session, actor, run_id))


async def list_runs(
    rt: Runtime,
    actor: Actor,
    *,
    workflow_id: str | None = None,
    state: str | None = None,
    trigger: str | None = None,
    tenant: str | None = None,
    since: int | None = None,
    until: int | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[RunView]:
    """Runs, newest first."""
    actor.require(Permission.WORKFLOWS_READ)
    conditions: list[Any] = []
    tenant = actor.tenant if actor.tenant is not None else tenant
    for column, wanted in (
        (_r.workflow_id, workflow_id),
        (_r.state, state),
        (_r.trigger, trigger),
        (_r.tenant, tenant),
    ):
        if wanted is not None:
            conditions.append(column == wanted)
    if since is not None:
        conditions.append(_r.id >= floor_id("run", since))
    if until is not None:
        conditions.append(_r.id < floor_id("run", until))
    if cursor is not None:
        conditions.append(_r.id < decode_cursor(cursor, "run_"))
    async with rt.database.read() as session:
        rows = (await session.execute(_select().where(*conditions).order_by(_r.id.desc()).limit(limit + 1))).all()
    return page_of(rows, limit, _view, lambda row: row.id)


async def get_run(rt: Runtime, actor: Actor, run_id: str) -> RunDetail:
    """A run with everything that it did.

    Raises:
        NotFoundError: none of this id that the actor may see.
    """
    actor.require(Permission.WORKFLOWS_READ)
    async with rt.database.read() as session:
        row = await _find(session, actor, run_id)
        definition = (
            await session.execute(
                select(_v.definition).where(_v.workflow_id == row.workflow_id, _v.version == row.version)
            )
        ).scalar_one()
        steps = await session.execute(
            select(STEP, _j.state.label("job_state"), _j.attempts, _j.claims, _j.task)
            .select_from(STEP.outerjoin(JOB, _j.id == _s.job_id))
            .where(_s.run_id == run_id)
            .order_by(_s.created_at, _s.key)
        )
        shown = [_step(each) for each in steps]
    event = None if row.event is None else exact.loads(row.event)
    return RunDetail(
        **_view(row).model_dump(),
        input=exact.loads(row.input),
        event=event,
        steps=shown,
        definition=orjson.loads(definition),
    )


async def cancel_run(rt: Runtime, actor: Actor, run_id: str) -> RunView:
    """Stop a run. What is being done is stopped within two seconds; what was done stays done.

    Raises:
        NotFoundError: none of this id that the actor may see.
        ConflictError: it is over.
    """
    return await _act(rt, actor, run_id, "cancelled")


async def retry_run(rt: Runtime, actor: Actor, run_id: str) -> RunView:
    """Do again what failed, or was cancelled, and go on from there. What was done is not done again.

    Raises:
        NotFoundError: none of this id that the actor may see.
        ConflictError: nothing of it failed.
    """
    return await _act(rt, actor, run_id, "retried")


async def _act(rt: Runtime, actor: Actor, run_id: str, what: Literal["cancelled", "retried"]) -> RunView:
    actor.require(Permission.WORKFLOWS_WRITE)
    now = now_ms()
    work = cancel_on if what == "cancelled" else retry_on

    def act(connection: Connection) -> Moved | None:
        return work(connection, run_id, now, actor.name)

    async with rt.database.write() as session:
        row = await _find(session, actor, run_id)
        moved = await (await session.connection()).run_sync(act)
        if moved is None:
            wrong = "it is over" if what == "cancelled" else "nothing of it failed"
            raise ConflictError(f"This run cannot be {what}: {wrong}, it is {row.state}.")
        facts = {"run_id": run_id}
        target = ("workflow", row.workflow_id, row.workflow)
        await audit.append(rt, session, actor, f"workflow_run.{what}", target=target, detail=facts)
    await begin(rt, moved)
    async with rt.database.read() as session:
        return _view(await _find(session, actor, run_id))


def _select() -> Any:
    return select(RUN, _w.name.label("workflow")).select_from(RUN.join(WORKFLOW, _w.id == _r.workflow_id))


async def _find(session: AsyncSession, actor: Actor, run_id: str) -> Any:
    row = (await session.execute(_select().where(_r.id == run_id))).one_or_none()
    if row is None or actor.tenant not in (None, row.tenant):
        raise NotFoundError("run", run_id)
    return row


def _view(row: Any) -> RunView:
    ended = row.finished_at
    return RunView(
        id=row.id,
        workflow_id=row.workflow_id,
        workflow=row.workflow,
        version=row.version,
        tenant=row.tenant,
        state=row.state,
        trigger=row.trigger,
        error=row.error,
        failed_step=row.failed_step,
        created_by=row.created_by,
        created_at=rfc3339(row.created_at),
        finished_at=None if ended is None else rfc3339(ended),
        duration_s=None if ended is None else max(0, ended - row.created_at) / 1000,
    )


def _step(row: Any) -> StepView:
    own = row.task == "workflow.step"
    return StepView(
        key=row.key,
        step_id=row.step_id,
        type=row.type,
        state=row.state,
        input=None if row.input is None else exact.loads(row.input),
        output=None if row.output is None else exact.loads(row.output),
        error=row.error,
        attempts=(row.attempts + (row.job_state == "active")) if own else 0,
        job_id=row.job_id,
        job_state=row.job_state if own else None,
        wake_at=None if row.wake_at is None else rfc3339(row.wake_at),
        created_at=rfc3339(row.created_at),
        finished_at=None if row.finished_at is None else rfc3339(row.finished_at),
    )
