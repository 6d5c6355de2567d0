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
from novapulse.security.policy import RateClass, needs

router = APIRouter(route_class=ApiRoute, tags=["Accounts"])


class ApiKeyIn(Input):
    """A new key."""

    model_config = example(name="Billing service", scopes=["events:write"])

    name: Short
    scopes: list[Short] = Field(max_length=50)
    tenant: Short | None = None


class CreatedApiKey(api_keys.ApiKeyView):
    """A key just made."""

    key: str = Field(description="Shown this once.")


@router.get("/api-keys")
async def list_api_keys(
    rt: Rt, actor: Annotated[Actor, needs(Permission.KEYS_WRITE)], limit: Limit = LIMIT_DEFAULT, cursor: Cursor = None
) -> Page[api_keys.ApiKeyView]:
    """The keys that work."""
    return await api_keys.list_api_keys(rt, actor, limit=limit, cursor=cursor)


@router.post("/api-keys", status_code=201)
async def create_api_key(
    rt: Rt,
    actor: Annotated[Actor, needs(Permission.KEYS_WRITE, sudo=True, rate=RateClass.SENSITIVE)],
    response: Response,
    body: ApiKeyIn,
) -> CreatedApiKey:
    """Make a key; it is in this answer and nowhere else."""
    view, key = await api_keys.create_api_key(rt, actor, body.name, body.scopes, body.tenant)
    response.headers["Cache-Control"] = "no-store"
    return CreatedApiKey(**view.model_dump(), key=key)


@router.delete("/api-keys/{id}", status_code=204)
async def revoke_api_key(rt: Rt, actor: Annotated[Actor, needs(Permission.KEYS_WRITE)], id: Id) -> Response:
    """Have a key work no longer."""
    await api_keys.revoke_api_key(rt, actor, id)
    return Response(status_code=204)
