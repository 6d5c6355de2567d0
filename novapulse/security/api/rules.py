"""`/security/rules`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter

from novapulse.core.actor import Actor, Permission
from novapulse.core.http import ApiRoute
from novapulse.security import rules
from novapulse.security.api.common import Rt
from novapulse.security.policy import RateClass, needs

router = APIRouter(route_class=ApiRoute, tags=["Accounts"])


@router.get("/security/rules")
async def get_rules(rt: Rt, _actor: Annotated[Actor, needs(Permission.SECURITY_WRITE)]) -> rules.RulesView:
    """What is required of everybody."""
    return await rules.current_rules(rt)


@router.put("/security/rules")
async def put_rules(
    rt: Rt,
    actor: Annotated[Actor, needs(Permission.SECURITY_WRITE, sudo=True, rate=RateClass.SENSITIVE)],
    body: rules.Rules,
) -> rules.RulesView:
    """Require something else from now on."""
    return await rules.change_rules(rt, actor, body)
