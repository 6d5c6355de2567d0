"""`/auth`: signing in and out, and the first account."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from novapulse.core.http import ApiRoute
from novapulse.core.runtime import Runtime
from novapulse.security import sessions, setup, users
from novapulse.security.api.common import (
    EMAIL,
    PASSWORD,
    Input,
    Password,
    Rt,
    Short,
    cookie_flags,
    example,
    require_own_page,
    set_session_cookie,
)
from novapulse.security.authenticate import cookie_name, current_session, ip_of
from novapulse.security.policy import RateClass, anybody, own_session
from novapulse.security.sessions import Live
from novapulse.security.users import UserView

router = APIRouter(route_class=ApiRoute, tags=["Accounts"])


class LoginIn(Input):
    """Credentials."""

    model_config = example(email=EMAIL, password=PASSWORD)

    email: Short
    password: Password


class SetupIn(LoginIn):
    """The first admin."""

    model_config = example(email=EMAIL, password=PASSWORD, token="from the printed link")

    token: Short


class SignedIn(BaseModel):
    """Who is signed in now."""

    user: UserView


@router.post("/auth/login", dependencies=[anybody(RateClass.SIGN_IN)])
async def login(rt: Rt, request: Request, response: Response, body: LoginIn) -> SignedIn:
    """Sign in: sets the session cookie. Wrong e-mail and wrong password are the same 401 in the same time."""
    require_own_page(rt, request)
    user = await users.authenticate(rt, body.email, body.password)
    await _begin_session(rt, request, response, user.id)
    return SignedIn(user=users.user_view(user))


@router.post("/auth/setup", status_code=201, dependencies=[anybody(RateClass.SIGN_IN)])
async def complete_setup(rt: Rt, request: Request, response: Response, body: SetupIn) -> SignedIn:
    """Make the first admin by the one-time link, and sign in."""
    require_own_page(rt, request)
    view = await setup.complete(rt, body.token, body.email, body.password)
    await _begin_session(rt, request, response, view.id)
    return SignedIn(user=view)


@router.post("/auth/logout", status_code=204, dependencies=[anybody()])
async def logout(rt: Rt, request: Request) -> Response:
    """Sign out: the session ends on the server, and the browser forgets what it stored."""
    live = await current_session(request)
    if live is not None:
        await sessions.revoke(rt, live.actor(ip_of(request)), live.session_id)
    response = Response(status_code=204)
    response.delete_cookie(cookie_name(rt.settings), path="/", **cookie_flags(rt))
    response.headers["Clear-Site-Data"] = '"storage"'
    return response


@router.get("/auth/me")
async def me(live: Annotated[Live, own_session(enrolling=True)]) -> SignedIn:
    """The signed-in user."""
    return SignedIn(user=users.user_view(live.user))


async def _begin_session(rt: Runtime, request: Request, response: Response, user_id: str) -> None:
    agent = request.headers.get("user-agent", "")
    token = await sessions.create_session(rt, user_id, ip=ip_of(request), user_agent=agent)
    await set_session_cookie(rt, response, token)
