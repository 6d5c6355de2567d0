"""`/api-keys`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import Field

from novapulse.core.actor import Actor, Permission
from novapulse.core.http import ApiRoute
from novapulse.core.pagination import LIMIT_DEFAULT, Page
from novapulse.security import api_keys
from novapulse.security.api.common import Cursor, Id, Input, Limit, Rt, Short, example
from novapulse.security.policy import needs
from novapulse.security.rates import RateClass

router = APIRouter(route_class=ApiRoute, tags=["Accounts"])
ChangesKeys = Annotated[Actor, needs(Permission.KEYS_WRITE, sudo=True, rate=RateClass.SENSITIVE)]
# As often as other calls: in an emergency many keys may have to go.
RevokesKeys = Annotated[Actor, needs(Permission.KEYS_WRITE, sudo=True)]


class ApiKeyIn(Input):
    """A new key."""

    model_config = example(name="Billing service", scopes=["events:write"], expires_in_days=365)

    name: Short
    scopes: list[Short] = Field(max_length=50)
    tenant: Short | None = None
    expires_in_days: int | None = Field(
        None, ge=1, le=api_keys.EXPIRES_MAX_DAYS, description="Left out: it works until it is revoked."
    )


class RotateIn(Input):
    """How a key is replaced."""

    model_config = example(overlap_s=86_400)

    overlap_s: int = Field(
        api_keys.OVERLAP_S, ge=0, le=api_keys.OVERLAP_MAX_S, description="How long the old key still works."
    )


class CreatedApiKey(api_keys.ApiKeyView):
    """A key just made."""

    key: str = Field(description="Shown this once.")


@router.get("/api-keys")
async def list_api_keys(
    rt: Rt, actor: Annotated[Actor, needs(Permission.KEYS_WRITE)], limit: Limit = LIMIT_DEFAULT, cursor: Cursor = None
) -> Page[api_keys.ApiKeyView]:
    """The keys that work, and those whose time was over within the last 30 days."""
    return await api_keys.list_api_keys(rt, actor, limit=limit, cursor=cursor)


@router.post("/api-keys", status_code=201)
async def create_api_key(rt: Rt, actor: ChangesKeys, response: Response, body: ApiKeyIn) -> CreatedApiKey:
    """Make a key; it is in this answer and nowhere else."""
    view, key = await api_keys.create_api_key(rt, actor, body.name, body.scopes, body.tenant, body.expires_in_days)
    response.headers["Cache-Control"] = "no-store"
    return CreatedApiKey(**view.model_dump(), key=key)


@router.post("/api-keys/{id}/rotate", status_code=201)
async def rotate_api_key(rt: Rt, actor: ChangesKeys, response: Response, id: Id, body: RotateIn) -> CreatedApiKey:
    """Make another key that does the same, and let this one work a while longer."""
    view, key = await api_keys.rotate_api_key(rt, actor, id, body.overlap_s)
    response.headers["Cache-Control"] = "no-store"
    return CreatedApiKey(**view.model_dump(), key=key)


@router.delete("/api-keys/{id}", status_code=204)
async def revoke_api_key(rt: Rt, actor: RevokesKeys, id: Id) -> Response:
    """Have a key work no longer."""
    await api_keys.revoke_api_key(rt, actor, id)
    return Response(status_code=204)
