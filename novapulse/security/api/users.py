"""`/users`."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter

from novapulse.core.actor import Actor, Permission, Role
from novapulse.core.http import ApiRoute
from novapulse.core.pagination import LIMIT_DEFAULT, Page
from novapulse.security import users
from novapulse.security.api.common import EMAIL, PASSWORD, Cursor, Id, Input, Limit, Password, Rt, Short, example
from novapulse.security.policy import RateClass, needs
from novapulse.security.users import UserPatch, UserView

router = APIRouter(route_class=ApiRoute, tags=["Accounts"])


class UserIn(Input):
    """A new user."""

    model_config = example(email=EMAIL, password=PASSWORD, role="operator")

    email: Short
    password: Password
    role: Literal["admin", "operator", "viewer"] = "viewer"


@router.get("/users")
async def list_users(
    rt: Rt, actor: Annotated[Actor, needs(Permission.USERS_WRITE)], limit: Limit = LIMIT_DEFAULT, cursor: Cursor = None
) -> Page[UserView]:
    """Everybody who may sign in."""
    return await users.list_users(rt, actor, limit=limit, cursor=cursor)


@router.post("/users", status_code=201)
async def create_user(
    rt: Rt, actor: Annotated[Actor, needs(Permission.USERS_WRITE, sudo=True, rate=RateClass.SENSITIVE)], body: UserIn
) -> UserView:
    """Make a user."""
    return await users.create_user(rt, actor, email=body.email, password=body.password, role=Role(body.role))


@router.patch("/users/{id}")
async def update_user(
    rt: Rt, actor: Annotated[Actor, needs(Permission.USERS_WRITE, sudo=True)], id: Id, body: UserPatch
) -> UserView:
    """Change a role, or let somebody in or out; their sessions end."""
    return await users.update_user(rt, actor, id, body)
