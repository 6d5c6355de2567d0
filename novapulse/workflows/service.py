"""Workflows: making, changing, finding and deleting them. Each save is a new version; runs keep theirs."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import hashlib
from typing import Any

import orjson
from sqlalchemy import and_, case, delete, func, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from novapulse.core.actor import Actor, Permission
from novapulse.core.clock import now_ms, rfc3339
from novapulse.core.database import table_of
from novapulse.core.errors import ConflictError, FieldError, ForbiddenError, InvalidError, NotFoundError
from novapulse.core.ids import floor_id, new_id
from novapulse.core.pagination import Page, decode_cursor, page_of
from novapulse.core.runtime import Runtime
from novapulse.jobs.models import Schedule
from novapulse.security import audit
from novapulse.webhooks.service import bump_routing
from novapulse.workflows import acts, hidden
from novapulse.workflows.check import read_definition, secrets_used
from novapulse.workflows.cron import next_time
from novapulse.workflows.definition import CronTrigger, Definition, all_steps
from novapulse.workflows.models import RunState, Workflow, WorkflowVersion
from novapulse.workflows.schemas import (
    DefinitionIn,
    ErrorView,
    LastRun,
    SecretView,
    ValidationView,
    VersionView,
    WorkflowDetail,
    WorkflowIn,
    WorkflowPut,
    WorkflowView,
)
from novapulse.workflows.source import Source, read_source
from novapulse.workflows.store import RUN, START, VERSION, WORKFLOW, cancel_on, parsed
from novapulse.workflows.watch import tell_run

_SCHEDULE = table_of(Schedule)
_w, _v, _r = WORKFLOW.c, VERSION.c, RUN.c
_DAY_MS = 86_400_000
_VERSIONS_SHOWN = 50
_FIELDS = ("name", "description", "triggers", "steps")


async def validate(rt: Runtime, actor: Actor, given: DefinitionIn) -> ValidationView:
    """Whether a definition could be saved, and what is wrong with it where."""
    actor.require(Permission.WORKFLOWS_READ)
    source: Source | None = None
    try:
        source, value = _value_of(given)
        definition = _whole(rt, value)
    except InvalidError as error:
        return ValidationView(valid=False, errors=[_placed(each, source) for each in error.errors], steps=0)
    return ValidationView(valid=True, errors=[], steps=sum(1 for _ in all_steps(definition.steps)))


async def create_workflow(rt: Runtime, actor: Actor, given: WorkflowIn) -> WorkflowDetail:
    """Make a workflow.

    Raises:
        InvalidError: its definition could not run; with each place.
        ForbiddenError: who saves it may not do what its steps do.
    """
    actor.require(Permission.WORKFLOWS_WRITE)
    source, definition = _read(rt, given)
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
    return await _detail(rt, actor, id_)


async def update_workflow(rt: Runtime, actor: Actor, workflow_id: str, given: WorkflowPut) -> WorkflowDetail:
    """Save a new version. Runs that began go on with theirs.

    Raises:
        NotFoundError: none of this id that the actor may see.
        InvalidError: its definition could not run; with each place.
        ConflictError: somebody saved a newer version than `expected_version`.
    """
    actor.require(Permission.WORKFLOWS_WRITE)
    source, definition = _read(rt, given)
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
    return await _detail(rt, actor, workflow_id)


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
    return await _detail(rt, actor, workflow_id)


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


async def list_workflows(
    rt: Runtime,
    actor: Actor,
    *,
    tenant: str | None = None,
    enabled: bool | None = None,
    q: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[WorkflowView]:
    """Workflows, newest first; `q`: in the name, description or id."""
    actor.require(Permission.WORKFLOWS_READ)
    conditions: list[Any] = []
    tenant = actor.tenant if actor.tenant is not None else tenant
    if tenant is not None:
        conditions.append(_w.tenant == tenant)
    if enabled is not None:
        conditions.append(_w.enabled.is_(enabled))
    if q:
        conditions.append(or_(*(column.icontains(q, autoescape=True) for column in (_w.name, _w.description, _w.id))))
    if cursor is not None:
        conditions.append(_w.id < decode_cursor(cursor, "wf_"))
    async with rt.database.read() as session:
        query = select(WORKFLOW).where(*conditions).order_by(_w.id.desc()).limit(limit + 1)
        rows = (await session.execute(query)).all()
        numbers = await _numbers(session, [row.id for row in rows])
    return page_of(rows, limit, lambda row: WorkflowView(**_view(row, numbers)), lambda row: row.id)


async def get_workflow(rt: Runtime, actor: Actor, workflow_id: str, version: int | None = None) -> WorkflowDetail:
    """One workflow with its definition, or with an earlier one.

    Raises:
        NotFoundError: none of this id, or version, that the actor may see.
    """
    actor.require(Permission.WORKFLOWS_READ)
    return await _detail(rt, actor, workflow_id, version)


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


async def find(session: AsyncSession, actor: Actor, workflow_id: str, *, lock: bool = False) -> Workflow:
    """The row of a workflow that the actor may see.

    Raises:
        NotFoundError: there is none.
    """
    workflow = await session.get(Workflow, workflow_id, with_for_update=lock or None)
    if workflow is None or actor.tenant not in (None, workflow.tenant):
        raise NotFoundError("workflow", workflow_id)
    return workflow


def _value_of(given: DefinitionIn) -> tuple[Source | None, Any]:
    fields = {name: getattr(given, name) for name in _FIELDS if name in given.model_fields_set}
    if given.source is None:
        return None, fields
    if fields:
        raise InvalidError.at("/source", "give the source, or the fields of a definition, not both")
    source = read_source(given.source)
    return source, source.value


def _whole(rt: Runtime, value: Any) -> Definition:
    definition = read_definition(value)
    errors = list(acts.wrong_in(rt, definition))
    if errors:
        raise InvalidError(errors)
    return definition


def _read(rt: Runtime, given: DefinitionIn) -> tuple[str, Definition]:
    source, value = _value_of(given)
    try:
        definition = _whole(rt, value)
    except InvalidError as error:
        if source is None:
            raise
        raise InvalidError([_in_source(each, source) for each in error.errors]) from None
    return given.source or orjson.dumps(value, option=orjson.OPT_INDENT_2).decode(), definition


def _in_source(error: FieldError, source: Source) -> FieldError:
    return FieldError("/source", f"line {source.line_of(error.pointer)}, {error.pointer or '/'}: {error.detail}")


def _placed(error: FieldError, source: Source | None) -> ErrorView:
    line = None if source is None else source.line_of(error.pointer)
    found = error.detail.partition(",")[0].partition(":")[0]
    if line is None and error.pointer == "/source" and found.startswith("line "):
        line = int(found.removeprefix("line "))
    return ErrorView(pointer=error.pointer, line=line, detail=error.detail)


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


async def _detail(rt: Runtime, actor: Actor, workflow_id: str, version: int | None = None) -> WorkflowDetail:
    async with rt.database.read() as session:
        workflow = await find(session, actor, workflow_id)
        row = await session.get(WorkflowVersion, (workflow_id, workflow.version if version is None else version))
        if row is None:
            raise NotFoundError("version", str(version))
        versions = await session.execute(
            select(_v.version, _v.created_by, _v.created_at)
            .where(_v.workflow_id == workflow_id)
            .order_by(_v.version.desc())
            .limit(_VERSIONS_SHOWN)
        )
        numbers = await _numbers(session, [workflow_id])
        secrets = await hidden.list_secrets(session, workflow_id)
        shown = [
            VersionView(version=each.version, created_by=each.created_by, created_at=rfc3339(each.created_at))
            for each in versions
        ]
    definition = parsed(row.definition)
    return WorkflowDetail(
        **_view(workflow, numbers),
        source=row.source,
        definition=orjson.loads(row.definition),
        versions=shown,
        secrets=_secrets(secrets_used(definition), secrets),
        permissions=sorted(acts.permissions_of(definition)),
    )


def _secrets(used: set[str], there: list[tuple[str, str, str]]) -> list[SecretView]:
    found = [SecretView(name=name, used=name in used, set=True, created_at=at, created_by=by) for name, at, by in there]
    missing = used - {name for name, _, _ in there}
    found += [SecretView(name=name, used=True, set=False, created_at=None, created_by=None) for name in sorted(missing)]
    return found


async def _numbers(session: AsyncSession, ids: list[str]) -> dict[str, dict[str, Any]]:
    """Of each workflow, its runs in numbers and the latest of them."""
    if not ids:
        return {}
    since = floor_id("run", now_ms() - _DAY_MS)
    recent = and_(_r.workflow_id.in_(ids), or_(_r.id >= since, _r.state == RunState.RUNNING.value))
    counts = await session.execute(
        select(
            _r.workflow_id,
            func.sum(case((_r.state == RunState.RUNNING.value, 1), else_=0)).label("running"),
            func.sum(case((_r.state == RunState.COMPLETED.value, 1), else_=0)).label("completed"),
            func.sum(case((_r.state == RunState.FAILED.value, 1), else_=0)).label("failed"),
        )
        .where(recent)
        .group_by(_r.workflow_id)
    )
    found: dict[str, dict[str, Any]] = {
        row.workflow_id: {"running": row.running, "completed_24h": row.completed, "failed_24h": row.failed}
        for row in counts
    }
    newest = select(func.max(_r.id)).where(_r.workflow_id.in_(ids)).group_by(_r.workflow_id)
    rows = await session.execute(select(_r.id, _r.workflow_id, _r.state, _r.created_at).where(_r.id.in_(newest)))
    for row in rows:
        last = LastRun(id=row.id, state=row.state, created_at=rfc3339(row.created_at))
        found.setdefault(row.workflow_id, {})["last_run"] = last
    return found


def _view(row: Any, numbers: dict[str, dict[str, Any]]) -> dict[str, Any]:
    none: dict[str, Any] = {"running": 0, "completed_24h": 0, "failed_24h": 0, "last_run": None}
    return {
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "tenant": row.tenant,
        "enabled": row.enabled,
        "version": row.version,
        "triggers": orjson.loads(row.triggers),
        "created_by": row.created_by,
        "created_at": rfc3339(row.created_at),
        "updated_at": rfc3339(row.updated_at),
        **none,
        **numbers.get(row.id, {}),
    }


def _target(workflow: Workflow) -> tuple[str, str, str]:
    return ("workflow", workflow.id, workflow.name)


def _facts(definition: Definition) -> dict[str, Any]:
    return {"steps": [step.type for _, step in all_steps(definition.steps)][:50], "triggers": len(definition.triggers)}
