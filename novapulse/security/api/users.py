"""`/users`."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Request, Response
from pydantic import StringConstraints

from novapulse.core.actor import Actor, Permission, Role
from novapulse.core.http import ApiRoute
from novapulse.core.pagination import LIMIT_DEFAULT, Page
from novapulse.security import invitations, mfa_resets, users
from novapulse.security.api.common import (
    EMAIL,
    PASSWORD,
    Cursor,
    Id,
    Input,
    Limit,
    Password,
    Rt,
    Short,
    example,
    require_own_page,
)
from novapulse.security.authenticate import ip_of
from novapulse.security.invitations import InvitationView
from novapulse.security.mfa_resets import MfaResetView
from novapulse.security.policy import RateClass, anybody, needs, own_session
from novapulse.security.sessions import Live
from novapulse.security.users import UserPatch, UserView

router = APIRouter(route_class=ApiRoute, tags=["Accounts"])
# A key cannot be a person who vouches for another.
Vouches = Annotated[Live, own_session(Permission.USERS_WRITE, sudo=True, rate=RateClass.SENSITIVE)]
ManagesUsers = Annotated[Actor, needs(Permission.USERS_WRITE, sudo=True, rate=RateClass.SENSITIVE)]


class UserIn(Input):
    """A new user."""

    model_config = example(email=EMAIL, password=PASSWORD, role="operator")

    email: Short
    password: Password
    role: Literal["admin", "operator", "viewer"] = "viewer"


class InvitationIn(Input):
    """Somebody to let in."""

    model_config = example(email=EMAIL, role="operator")

    email: Short
    role: Literal["admin", "operator", "viewer"] = "viewer"


class ReasonIn(Input):
    """Why, for the second admin and the log."""

    model_config = example(reason="She called from the number we know and showed her badge; the phone is lost.")

    reason: Annotated[str, StringConstraints(max_length=1000)]


class TokenIn(Input):
    """From a mailed link."""

    model_config = example(token="from the link")

    token: Short


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


@router.post("/users/invite", status_code=201)
async def invite_user(rt: Rt, actor: ManagesUsers, response: Response, body: InvitationIn) -> InvitationView:
    """Make an account and mail its owner a link that lets them in; where no mail is sent, it is in the answer."""
    response.headers["Cache-Control"] = "no-store"
    return await invitations.invite(rt, actor, body.email, Role(body.role))


@router.delete("/users/{id}/sessions")
async def end_sessions(rt: Rt, actor: ManagesUsers, id: Id) -> dict[str, int]:
    """Sign somebody out everywhere, at once."""
    return {"ended": await users.end_sessions(rt, actor, id)}


@router.post("/users/{id}/invite")
async def invite_user_again(rt: Rt, actor: ManagesUsers, response: Response, id: Id) -> InvitationView:
    """A fresh link for somebody who has not come yet."""
    response.headers["Cache-Control"] = "no-store"
    return await invitations.invite_again(rt, actor, id)


@router.get("/users/mfa-resets")
async def list_mfa_resets(rt: Rt, live: Annotated[Live, own_session(Permission.USERS_WRITE)]) -> Page[MfaResetView]:
    """Requests to take somebody's second factors away: those that are open, then the latest that ended."""
    return Page(data=await mfa_resets.list_resets(rt, live.actor()), next_cursor=None)


@router.post("/users/{id}/mfa-reset", status_code=201)
async def ask_mfa_reset(rt: Rt, request: Request, live: Vouches, id: Id, body: ReasonIn) -> MfaResetView:
    """Ask for somebody's second factors to be taken away. They are told, and can stop it."""
    return await mfa_resets.ask(rt, live.actor(ip_of(request)), id, body.reason)


@router.post("/users/mfa-resets/{id}/approve")
async def approve_mfa_reset(rt: Rt, request: Request, live: Vouches, id: Id) -> MfaResetView:
    """Agree, as the second admin."""
    return await mfa_resets.approve(rt, live.actor(ip_of(request)), id)


@router.post("/users/mfa-resets/{id}/cancel", status_code=204)
async def cancel_mfa_reset(rt: Rt, request: Request, live: Vouches, id: Id) -> Response:
    """Take it back."""
    await mfa_resets.cancel(rt, live.actor(ip_of(request)), id)
    return Response(status_code=204)


@router.post("/auth/mfa-reset/stop", status_code=204, dependencies=[anybody(RateClass.SIGN_IN)])
async def stop_mfa_reset(rt: Rt, request: Request, body: TokenIn) -> Response:
    """By the link in the mail: it was not me who asked for it."""
    require_own_page(rt, request)
    await mfa_resets.stop(rt, body.token)
    return Response(status_code=204)


@router.patch("/users/{id}")
async def update_user(
    rt: Rt, actor: Annotated[Actor, needs(Permission.USERS_WRITE, sudo=True)], id: Id, body: UserPatch
) -> UserView:
    """Change a role, or let somebody in or out; their sessions end."""
    return await users.update_user(rt, actor, id, body)
