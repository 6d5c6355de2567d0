"""Workflows: making, changing, finding and deleting them. Each save is a new version; runs keep theirs."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import hashlib
from typing import Any

import orjson
from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from novapulse.core.actor import Actor, Permission
from novapulse.core.clock import now_ms
from novapulse.core.database import table_of
from novapulse.core.errors import ConflictError, ForbiddenError, InvalidError
from novapulse.core.ids import new_id
from novapulse.core.runtime import Runtime
from novapulse.jobs.models import Schedule
from novapulse.security import audit
from novapulse.webhooks.service import bump_routing
from novapulse.workflows import acts, hidden
from novapulse.workflows.check import secrets_used
from novapulse.workflows.cron import next_time
from novapulse.workflows.definition import CronTrigger, Definition, all_steps
from novapulse.workflows.models import RunState, Workflow, WorkflowVersion
from novapulse.workflows.schemas import (
    DefinitionIn,
    ValidationView,
    WorkflowDetail,
    WorkflowIn,
    WorkflowPut,
)
from novapulse.workflows.source import Source
from novapulse.workflows.store import RUN, START, cancel_on, parsed
from novapulse.workflows.views import detail_of, find, get_workflow, list_workflows
from novapulse.workflows.watch import tell_run
from novapulse.workflows.written import placed, read, value_of, whole

__all__ = [
    "create_workflow", "delete_secret", "delete_workflow", "get_workflow", "list_workflows", "put_secret",
    "set_enabled", "update_workflow", "validate",
]  # fmt: skip

_SCHEDULE = table_of(Schedule)
_r = RUN.c


async def validate(rt: Runtime, actor: Actor, given: DefinitionIn) -> ValidationView:
    """Whether a definition could be saved, and what is wrong with it where."""
    actor.require(Permission.WORKFLOWS_READ)
    source: Source | None = None
    try:
        source, value = value_of(given)
        definition = whole(rt, value)
    except InvalidError as error:
        return ValidationView(valid=False, errors=[placed(each, source) for each in error.errors], steps=0)
    return ValidationView(valid=True, errors=[], steps=sum(1 for _ in all_steps(definition.steps)))


async def create_workflow(rt: Runtime, actor: Actor, given: WorkflowIn) -> WorkflowDetail:
    """Make a workflow.

    Raises:
        InvalidError: its definition could not run; with each place.
        ForbiddenError: who saves it may not do what its steps do.
    """
    actor.require(Permission.WORKFLOWS_WRITE)
    source, definition = read(rt, given)
    _may_save(actor, definition)
    if actor.tenant is not None and given.tenant not in (None, actor.tenant):
        raise ForbiddenError(f"This key may only act for tenant '{actor.tenant}'.")
    now, id_ = now_ms(), new_id("wf")
    workflow = Workflow(
        id=id_,
        name=definition.name,
        description=definition.description,
        tenant=given.tenant if actor.tenant is None else actor.tenant,
        enabled=given.enabled,
        created_by=actor.name,
        created_at=now,
    )
    async with rt.database.write() as session:
        await _save(session, actor, workflow, source, definition, now)
        await audit.append(rt, session, actor, "workflow.created", target=_target(workflow), detail=_facts(definition))
    tell_run(rt, id_)
    return await detail_of(rt, actor, id_)


async def update_workflow(rt: Runtime, actor: Actor, workflow_id: str, given: WorkflowPut) -> WorkflowDetail:
    """Save a new version. Runs that began go on with theirs.

    Raises:
        NotFoundError: none of this id that the actor may see.
        InvalidError: its definition could not run; with each place.
        ConflictError: somebody saved a newer version than `expected_version`.
    """
    actor.require(Permission.WORKFLOWS_WRITE)
    source, definition = read(rt, given)
    _may_save(actor, definition)
    now = now_ms()
    async with rt.database.write() as session:
        workflow = await find(session, actor, workflow_id, lock=True)
        if given.expected_version not in (None, workflow.version):
            raise ConflictError(
                f"Version {workflow.version} was saved meanwhile, and you changed version {given.expected_version}."
            )
        workflow.name, workflow.description = definition.name, definition.description
        workflow.enabled = workflow.enabled if given.enabled is None else given.enabled
        workflow.version += 1
        await _save(session, actor, workflow, source, definition, now)
        facts = _facts(definition) | {"version": workflow.version}
        await audit.append(rt, session, actor, "workflow.changed", target=_target(workflow), detail=facts)
    tell_run(rt, workflow_id)
    return await detail_of(rt, actor, workflow_id)


async def set_enabled(rt: Runtime, actor: Actor, workflow_id: str, enabled: bool) -> WorkflowDetail:
    """Have triggers start runs, or not; runs that began go on."""
    actor.require(Permission.WORKFLOWS_WRITE)
    now = now_ms()
    async with rt.database.write() as session:
        workflow = await find(session, actor, workflow_id, lock=True)
        definition = await _definition(session, workflow)
        if enabled:
            _may_save(actor, definition)
        workflow.enabled, workflow.updated_at = enabled, now
        session.add(workflow)
        await session.flush()
        await _schedule(session, actor, workflow, definition, now)
        await bump_routing(session)
        action = "workflow.enabled" if enabled else "workflow.disabled"
        await audit.append(rt, session, actor, action, target=_target(workflow))
    tell_run(rt, workflow_id)
    return await detail_of(rt, actor, workflow_id)


async def delete_workflow(rt: Runtime, actor: Actor, workflow_id: str) -> None:
    """Delete a workflow with its versions, secrets and runs; those that are not over are cancelled.

    Raises:
        NotFoundError: none of this id that the actor may see.
        ReauthenticationError: a person who has not proven lately that it is them.
    """
    actor.require(Permission.WORKFLOWS_WRITE)
    actor.require_sudo()
    now = now_ms()
    async with rt.database.write() as session:
        workflow = await find(session, actor, workflow_id, lock=True)
        connection = await session.connection()
        open_ = select(_r.id).where(_r.workflow_id == workflow_id, _r.state == RunState.RUNNING.value).order_by(_r.id)
        for run_id in (await session.execute(open_)).scalars().all():
            await connection.run_sync(cancel_on, run_id, now, actor.name)
        await session.execute(delete(_SCHEDULE).where(_SCHEDULE.c.id.in_(_schedule_ids(workflow_id))))
        await session.delete(workflow)
        await bump_routing(session)
        await audit.append(rt, session, actor, "workflow.deleted", target=_target(workflow))
    tell_run(rt, workflow_id)


async def put_secret(rt: Runtime, actor: Actor, workflow_id: str, name: str, value: str) -> None:
    """Set a secret for its http steps, or replace it. It is not shown again."""
    actor.require(Permission.WORKFLOWS_WRITE)
    actor.require(Permission.WEBHOOKS_SECRET)
    async with rt.database.write() as session:
        workflow = await find(session, actor, workflow_id, lock=True)
        await hidden.set_secret(rt, session, workflow_id, name, value, actor.name)
        detail = {"name": name}
        await audit.append(rt, session, actor, "workflow.secret_set", target=_target(workflow), detail=detail)
    tell_run(rt, workflow_id)


async def delete_secret(rt: Runtime, actor: Actor, workflow_id: str, name: str) -> None:
    """Forget a secret.

    Raises:
        NotFoundError: there is none of this name.
    """
    actor.require(Permission.WORKFLOWS_WRITE)
    actor.require(Permission.WEBHOOKS_SECRET)
    async with rt.database.write() as session:
        workflow = await find(session, actor, workflow_id, lock=True)
        await hidden.delete_secret(session, workflow_id, name)
        detail = {"name": name}
        await audit.append(rt, session, actor, "workflow.secret_deleted", target=_target(workflow), detail=detail)
    tell_run(rt, workflow_id)


def _may_save(actor: Actor, definition: Definition) -> None:
    """A workflow does what its steps say whoever starts it: who saves it must be allowed to do all of that."""
    for permission in sorted(acts.permissions_of(definition)):
        actor.require(permission)
        if permission == Permission.AUDIT_READ:
            actor.require_sudo()  # as for having such a report made
    if secrets_used(definition):
        actor.require(Permission.WEBHOOKS_SECRET)


async def _save(
    session: AsyncSession, actor: Actor, workflow: Workflow, source: str, definition: Definition, now: int
) -> None:
    triggers = [each.model_dump(by_alias=True, exclude_none=True) for each in definition.triggers]
    workflow.triggers = orjson.dumps(triggers).decode()
    workflow.updated_at = now
    session.add(workflow)
    await session.flush()
    session.add(
        WorkflowVersion(
            workflow_id=workflow.id,
            version=workflow.version,
            source=source,
            definition=definition.model_dump_json(by_alias=True, exclude_none=True),
            created_by=actor.name,
            created_at=now,
        )
    )
    await session.flush()
    await _schedule(session, actor, workflow, definition, now)
    await bump_routing(session)


def _schedule_ids(workflow_id: str) -> list[str]:
    return [f"sch_{hashlib.sha256(f'{workflow_id}/{number}'.encode()).hexdigest()[:32]}" for number in range(10)]


async def _schedule(session: AsyncSession, actor: Actor, workflow: Workflow, definition: Definition, now: int) -> None:
    """Have the schedules of a workflow be what its definition says."""
    ids = _schedule_ids(workflow.id)
    s = _SCHEDULE.c
    before = {row.id: row for row in (await session.execute(select(_SCHEDULE).where(s.id.in_(ids)))).all()}
    await session.execute(delete(_SCHEDULE).where(s.id.in_(ids)))
    rows: list[dict[str, Any]] = []
    for number, trigger in enumerate(definition.triggers):
        if not isinstance(trigger, CronTrigger):
            continue
        old = before.get(ids[number])
        same = old is not None and (old.cron, old.timezone) == (trigger.cron, trigger.timezone)
        payload = {"workflow_id": workflow.id, "input": trigger.input}
        rows.append(
            {
                "id": ids[number],
                "name": workflow.name,
                "task": START,
                "payload": orjson.dumps(payload).decode(),
                "cron": trigger.cron,
                "timezone": trigger.timezone,
                "enabled": workflow.enabled,
                "tenant": workflow.tenant,
                "created_by": actor.name,
                "created_at": old.created_at if old is not None else now,
                "next_run_at": next_time(trigger.cron, trigger.timezone, now) if workflow.enabled else None,
                "last_run_at": old.last_run_at if old is not None and same else None,
                "last_job_id": old.last_job_id if old is not None and same else None,
            }
        )
    if rows:
        await session.execute(insert(_SCHEDULE), rows)


async def _definition(session: AsyncSession, workflow: Workflow) -> Definition:
    row = await session.get(WorkflowVersion, (workflow.id, workflow.version))
    assert row is not None, "every version that is named is there"
    return parsed(row.definition)


def _target(workflow: Workflow) -> tuple[str, str, str]:
    return ("workflow", workflow.id, workflow.name)


def _facts(definition: Definition) -> dict[str, Any]:
    return {"steps": [step.type for _, step in all_steps(definition.steps)][:50], "triggers": len(definition.triggers)}
