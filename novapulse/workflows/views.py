"""Workflows as they are shown: found, listed, with their runs in numbers."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from typing import Any

import orjson
from sqlalchemy import and_, case, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from novapulse.core.actor import Actor, Permission
from novapulse.core.clock import now_ms, rfc3339
from novapulse.core.errors import NotFoundError
from novapulse.core.ids import floor_id
from novapulse.core.pagination import Page, decode_cursor, page_of
from novapulse.core.runtime import Runtime
from novapulse.workflows import acts, hidden
from novapulse.workflows.check import secrets_used
from novapulse.workflows.models import RunState, Workflow, WorkflowVersion
from novapulse.workflows.schemas import (
    LastRun,
    SecretView,
    VersionView,
    WorkflowDetail,
    WorkflowView,
)
from novapulse.workflows.store import RUN, VERSION, WORKFLOW, parsed

_w, _v, _r = WORKFLOW.c, VERSION.c, RUN.c
_DAY_MS = 86_400_000
_VERSIONS_SHOWN = 50


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
    return await detail_of(rt, actor, workflow_id, version)


async def find(session: AsyncSession, actor: Actor, workflow_id: str, *, lock: bool = False) -> Workflow:
    """The row of a workflow that the actor may see.

    Raises:
        NotFoundError: there is none.
    """
    workflow = await session.get(Workflow, workflow_id, with_for_update=lock or None)
    if workflow is None or actor.tenant not in (None, workflow.tenant):
        raise NotFoundError("workflow", workflow_id)
    return workflow


async def detail_of(rt: Runtime, actor: Actor, workflow_id: str, version: int | None = None) -> WorkflowDetail:
    """A workflow with its definition, or with an earlier one."""
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
