"""`/workflows` and `/workflow-runs`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response

from novapulse.core.actor import Actor, Permission
from novapulse.core.clock import parse_rfc3339
from novapulse.core.errors import InvalidError
from novapulse.core.http import ApiRoute
from novapulse.core.pagination import LIMIT_DEFAULT, LIMIT_MAX, Page
from novapulse.core.runtime import Runtime, current
from novapulse.security.policy import RateClass, needs
from novapulse.workflows import runs, service
from novapulse.workflows.schemas import (
    DefinitionIn,
    EnabledIn,
    RunDetail,
    RunIn,
    RunStateIn,
    RunView,
    SecretIn,
    TriggerIn,
    ValidationView,
    WorkflowDetail,
    WorkflowIn,
    WorkflowPut,
    WorkflowView,
)

router = APIRouter(route_class=ApiRoute, tags=["Workflows"])

Rt = Annotated[Runtime, Depends(current)]
Reads = Annotated[Actor, needs(Permission.WORKFLOWS_READ)]
Writes = Annotated[Actor, needs(Permission.WORKFLOWS_WRITE)]
Deletes = Annotated[Actor, needs(Permission.WORKFLOWS_WRITE, sudo=True)]
SetsSecrets = Annotated[Actor, needs(Permission.WORKFLOWS_WRITE, Permission.WEBHOOKS_SECRET, rate=RateClass.SENSITIVE)]
Id = Annotated[str, Path(max_length=64)]
SecretName = Annotated[str, Path(max_length=64)]
Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX)]
Cursor = Annotated[str | None, Query(max_length=256)]
Text = Annotated[str | None, Query(max_length=200)]
_Moment = Annotated[str | None, Query(max_length=40, description="An RFC 3339 time.")]


def _since(since: _Moment = None) -> int | None:
    return _moment("since", since)


def _until(until: _Moment = None) -> int | None:
    return _moment("until", until)


def _moment(name: str, value: str | None) -> int | None:
    try:
        return None if value is None else parse_rfc3339(value)
    except (ValueError, OverflowError):
        raise InvalidError.at(f"/{name}", "must be an RFC 3339 time such as 2026-11-23T12:00:00Z") from None


@router.post("/workflows", status_code=201)
async def create_workflow(rt: Rt, actor: Writes, body: WorkflowIn) -> WorkflowDetail:
    """Make a workflow. Whoever saves it must be allowed to do what its steps do."""
    return await service.create_workflow(rt, actor, body)


@router.get("/workflows")
async def list_workflows(
    rt: Rt,
    actor: Reads,
    tenant: Text = None,
    enabled: bool | None = None,
    q: Text = None,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
) -> Page[WorkflowView]:
    """Workflows, newest first."""
    return await service.list_workflows(rt, actor, tenant=tenant, enabled=enabled, q=q, limit=limit, cursor=cursor)


@router.post("/workflows/validate")
async def validate_workflow(rt: Rt, actor: Reads, body: DefinitionIn) -> ValidationView:
    """What is wrong with a definition, and where. Nothing is saved."""
    return await service.validate(rt, actor, body)


@router.get("/workflows/{id}")
async def get_workflow(
    rt: Rt, actor: Reads, id: Id, version: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None
) -> WorkflowDetail:
    """A workflow with its definition, or with an earlier version of it."""
    return await service.get_workflow(rt, actor, id, version)


@router.put("/workflows/{id}")
async def update_workflow(rt: Rt, actor: Writes, id: Id, body: WorkflowPut) -> WorkflowDetail:
    """Save a new version. Runs that began go on with theirs."""
    return await service.update_workflow(rt, actor, id, body)


@router.patch("/workflows/{id}")
async def enable_workflow(rt: Rt, actor: Writes, id: Id, body: EnabledIn) -> WorkflowDetail:
    """Have its triggers start runs, or not."""
    return await service.set_enabled(rt, actor, id, body.enabled)


@router.delete("/workflows/{id}", status_code=204)
async def delete_workflow(rt: Rt, actor: Deletes, id: Id) -> Response:
    """Delete a workflow with its runs; those that are not over are cancelled."""
    await service.delete_workflow(rt, actor, id)
    return Response(status_code=204)


@router.put("/workflows/{id}/secrets/{name}", status_code=204)
async def set_secret(rt: Rt, actor: SetsSecrets, id: Id, name: SecretName, body: SecretIn) -> Response:
    """Set a secret that http steps find as `{{ secrets.<name> }}`. It is not shown again."""
    await service.put_secret(rt, actor, id, name, body.value)
    return Response(status_code=204)


@router.delete("/workflows/{id}/secrets/{name}", status_code=204)
async def delete_secret(rt: Rt, actor: SetsSecrets, id: Id, name: SecretName) -> Response:
    """Forget a secret."""
    await service.delete_secret(rt, actor, id, name)
    return Response(status_code=204)


@router.post("/workflows/{id}/runs", status_code=202)
async def start_run(rt: Rt, actor: Writes, id: Id, body: RunIn) -> RunView:
    """Start a run now. With an `Idempotency-Key`, once."""
    return await runs.start_run(rt, actor, id, body.input)


@router.get("/workflow-runs")
async def list_runs(
    rt: Rt,
    actor: Reads,
    since: Annotated[Any, Depends(_since)],
    until: Annotated[Any, Depends(_until)],
    workflow_id: Text = None,
    state: RunStateIn | None = None,
    trigger: TriggerIn | None = None,
    tenant: Text = None,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
) -> Page[RunView]:
    """Runs, newest first."""
    return await runs.list_runs(
        rt,
        actor,
        workflow_id=workflow_id,
        state=state,
        trigger=trigger,
        tenant=tenant,
        since=since,
        until=until,
        limit=limit,
        cursor=cursor,
    )


@router.get("/workflow-runs/{id}")
async def get_run(rt: Rt, actor: Reads, id: Id) -> RunDetail:
    """A run with each of its steps."""
    return await runs.get_run(rt, actor, id)


@router.post("/workflow-runs/{id}/cancel")
async def cancel_run(rt: Rt, actor: Writes, id: Id) -> RunView:
    """Stop a run. What was done stays done."""
    return await runs.cancel_run(rt, actor, id)


@router.post("/workflow-runs/{id}/retry")
async def retry_run(rt: Rt, actor: Writes, id: Id) -> RunView:
    """Do again what failed, and go on from there."""
    return await runs.retry_run(rt, actor, id)
