"""`/auth`, `/security/sessions`, `/api-keys` and `/users`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from novapulse.core.actor import Role
from novapulse.core.errors import ForbiddenError, UnauthorizedError
from novapulse.core.http import ApiRoute
from novapulse.core.pagination import LIMIT_DEFAULT, LIMIT_MAX, Page
from novapulse.core.runtime import Runtime, current
from novapulse.security import api_keys, sessions, setup, users
from novapulse.security.authenticate import CurrentActor, CurrentSession, cookie_name
from novapulse.security.origins import client_ip, is_same_origin_call
from novapulse.security.users import UserPatch, UserView

router = APIRouter(route_class=ApiRoute)

Rt = Annotated[Runtime, Depends(current)]
Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX)]
Cursor = Annotated[str | None, Query(max_length=256)]
Id = Annotated[str, Path(max_length=64)]
_Short = Annotated[str, StringConstraints(max_length=300)]


class _Input(BaseModel):
    model_config = ConfigDict(extra="forbid")


_EMAIL, _PASSWORD = "ada@example.com", "a few words do well"  # in examples


class LoginIn(_Input):
    """Credentials."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"email": _EMAIL, "password": _PASSWORD}]}
    )

    email: _Short
    password: Annotated[str, StringConstraints(max_length=1024)]


class SetupIn(LoginIn):
    """The first admin."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"email": _EMAIL, "password": _PASSWORD, "token": "from the printed link"}]},
    )

    token: _Short


class ApiKeyIn(_Input):
    """A new key."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"name": "Billing service", "scopes": ["events:write"]}]}
    )

    name: _Short
    scopes: list[_Short] = Field(max_length=50)
    tenant: _Short | None = None


class CreatedApiKey(api_keys.ApiKeyView):
    """A key just made."""

    key: str = Field(description="Shown this once.")


class UserIn(LoginIn):
    """A new user."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"email": _EMAIL, "password": _PASSWORD, "role": "operator"}]},
    )

    role: Literal["admin", "operator", "viewer"] = "viewer"


class SignedIn(BaseModel):
    """Who is signed in now."""

    user: UserView


@router.post("/auth/login", tags=["Accounts"])
async def login(rt: Rt, request: Request, response: Response, body: LoginIn) -> SignedIn:
    """Sign in: sets the session cookie. Wrong e-mail and wrong password are the same 401 in the same time."""
    _require_own_page(rt, request)
    user = await users.authenticate(rt, body.email, body.password)
    await _begin_session(rt, request, response, user.id)
    return SignedIn(user=users.user_view(user))


@router.post("/auth/setup", status_code=201, tags=["Accounts"])
async def complete_setup(rt: Rt, request: Request, response: Response, body: SetupIn) -> SignedIn:
    """Make the first admin by the one-time link, and sign in."""
    _require_own_page(rt, request)
    view = await setup.complete(rt, body.token, body.email, body.password)
    await _begin_session(rt, request, response, view.id)
    return SignedIn(user=view)


@router.post("/auth/logout", status_code=204, tags=["Accounts"])
async def logout(rt: Rt, live: CurrentSession) -> Response:
    """Sign out: the session ends on the server, and the browser forgets what it stored."""
    if live is not None:
        await sessions.revoke(rt, users.actor_of(live.user), live.session_id)
    response = Response(status_code=204)
    response.delete_cookie(cookie_name(rt.settings), path="/", **_cookie_flags(rt))
    response.headers["Clear-Site-Data"] = '"storage"'
    return response


@router.get("/auth/me", tags=["Accounts"])
async def me(live: CurrentSession) -> SignedIn:
    """The signed-in user."""
    if live is None:
        raise UnauthorizedError()
    return SignedIn(user=users.user_view(live.user))


@router.get("/security/sessions", tags=["Accounts"])
async def list_sessions(rt: Rt, live: CurrentSession) -> Page[sessions.SessionView]:
    """The sessions of the signed-in user."""
    if live is None:
        raise UnauthorizedError()
    found = await sessions.list_sessions(rt, users.actor_of(live.user), live.session_id)
    return Page(data=found, next_cursor=None)


@router.delete("/security/sessions/{id}", status_code=204, tags=["Accounts"])
async def revoke_session(rt: Rt, live: CurrentSession, id: Id) -> Response:
    """End one of the signed-in user's sessions, at once."""
    if live is None:
        raise UnauthorizedError()
    await sessions.revoke(rt, users.actor_of(live.user), id)
    return Response(status_code=204)


@router.get("/api-keys", tags=["Accounts"])
async def list_api_keys(
    rt: Rt, actor: CurrentActor, limit: Limit = LIMIT_DEFAULT, cursor: Cursor = None
) -> Page[api_keys.ApiKeyView]:
    """The keys that work."""
    return await api_keys.list_api_keys(rt, actor, limit=limit, cursor=cursor)


@router.post("/api-keys", status_code=201, tags=["Accounts"])
async def create_api_key(rt: Rt, actor: CurrentActor, response: Response, body: ApiKeyIn) -> CreatedApiKey:
    """Make a key; it is in this answer and nowhere else."""
    view, key = await api_keys.create_api_key(rt, actor, body.name, body.scopes, body.tenant)
    response.headers["Cache-Control"] = "no-store"
    return CreatedApiKey(**view.model_dump(), key=key)


@router.delete("/api-keys/{id}", status_code=204, tags=["Accounts"])
async def revoke_api_key(rt: Rt, actor: CurrentActor, id: Id) -> Response:
    """Have a key work no longer."""
    await api_keys.revoke_api_key(rt, actor, id)
    return Response(status_code=204)


@router.get("/users", tags=["Accounts"])
async def list_users(
    rt: Rt, actor: CurrentActor, limit: Limit = LIMIT_DEFAULT, cursor: Cursor = None
) -> Page[UserView]:
    """Everybody who may sign in."""
    return await users.list_users(rt, actor, limit=limit, cursor=cursor)


@router.post("/users", status_code=201, tags=["Accounts"])
async def create_user(rt: Rt, actor: CurrentActor, body: UserIn) -> UserView:
    """Make a user."""
    return await users.create_user(rt, actor, email=body.email, password=body.password, role=Role(body.role))


@router.patch("/users/{id}", tags=["Accounts"])
async def update_user(rt: Rt, actor: CurrentActor, id: Id, body: UserPatch) -> UserView:
    """Change a role, or let somebody in or out; their sessions end."""
    return await users.update_user(rt, actor, id, body)


def _require_own_page(rt: Runtime, request: Request) -> None:
    # Signing a visitor in from a foreign page would put them into somebody else's account (login CSRF).
    foreign = request.headers.get("sec-fetch-site") in ("cross-site", "same-site") or "origin" in request.headers
    if foreign and not is_same_origin_call(rt.settings, request.headers):
        raise ForbiddenError("This call was made by a page of another origin; NOVAPULSE_PUBLIC_URL names ours.")


async def _begin_session(rt: Runtime, request: Request, response: Response, user_id: str) -> None:
    peer = request.client.host if request.client else ""
    ip = client_ip(rt.settings, peer, request.headers.get("x-forwarded-for", ""))
    token = await sessions.create_session(rt, user_id, ip=ip, user_agent=request.headers.get("user-agent", ""))
    name, max_age = cookie_name(rt.settings), rt.settings.session_max_s
    response.set_cookie(name, token, max_age=max_age, path="/", **_cookie_flags(rt))
    response.headers["Cache-Control"] = "no-store"


def _cookie_flags(rt: Runtime) -> dict[str, Any]:
    return {"secure": rt.settings.base_url.startswith("https://"), "httponly": True, "samesite": "lax"}
