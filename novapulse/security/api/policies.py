"""`/security/policies`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel

from novapulse.core.actor import Actor, Permission
from novapulse.core.http import ApiRoute
from novapulse.security import policy_map
from novapulse.security.api.common import Rt
from novapulse.security.policy import needs

router = APIRouter(route_class=ApiRoute, tags=["Accounts"])


class Policies(BaseModel):
    """The policy map."""

    data: list[policy_map.PolicyView]


@router.get("/security/policies")
async def list_policies(rt: Rt, actor: Annotated[Actor, needs(Permission.AUDIT_READ)]) -> Policies:
    """Every route and every event handler with what it takes, from the registry that enforces it."""
    return Policies(data=await policy_map.list_policies(rt, actor))
