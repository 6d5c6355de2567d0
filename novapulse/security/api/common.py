"""What the routes of this package share: parameters, the strict base of bodies, cookies."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, StringConstraints

from novapulse.core.errors import ForbiddenError
from novapulse.core.pagination import LIMIT_MAX
from novapulse.core.runtime import Runtime, current
from novapulse.security.authenticate import cookie_name, ip_of
from novapulse.security.devices import COOKIE_MAX_AGE_S, Caller
from novapulse.security.origins import is_same_origin_call
from novapulse.security.rules import current_rules
from novapulse.security.sign_in import SignedIn

Rt = Annotated[Runtime, Depends(current)]
Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX)]
Cursor = Annotated[str | None, Query(max_length=256)]
Id = Annotated[str, Path(max_length=64)]
Short = Annotated[str, StringConstraints(max_length=300)]
Password = Annotated[str, StringConstraints(max_length=1024)]
EMAIL, PASSWORD = "ada@example.com", "a few words do well"  # in examples


class Input(BaseModel):
    """A body that takes nothing it does not know."""

    model_config = ConfigDict(extra="forbid")


def example(**fields: Any) -> ConfigDict:
    """The configuration of a body with this example."""
    return ConfigDict(extra="forbid", json_schema_extra={"examples": [fields]})


def require_own_page(rt: Runtime, request: Request) -> None:
    """Refuse a call made by a page of another origin: it would put a visitor into somebody else's account (login CSRF).

    Raises:
        ForbiddenError: it was; calls that are no page's pass.
    """
    foreign = request.headers.get("sec-fetch-site") in ("cross-site", "same-site") or "origin" in request.headers
    if foreign and not is_same_origin_call(rt.settings, request.headers):
        raise ForbiddenError("This call was made by a page of another origin; NOVAPULSE_PUBLIC_URL names ours.")


def device_cookie_name(rt: Runtime) -> str:
    """The name of the cookie that tells a known device from a stranger."""
    return "__Host-np_device" if rt.settings.base_url.startswith("https://") else "np_device"


def caller_of(rt: Runtime, request: Request) -> Caller:
    """Where a call comes from."""
    cookies = request.cookies
    return Caller(
        ip=ip_of(request),
        user_agent=request.headers.get("user-agent", ""),
        device_cookie=cookies.get(device_cookie_name(rt), ""),
        session_cookie=cookies.get(cookie_name(rt.settings), ""),
    )


async def hand_over(rt: Runtime, response: Response, signed_in: SignedIn) -> None:
    """Hand the browser its session, and the cookie by which it is known from now on."""
    await set_session_cookie(rt, response, signed_in.session_token)
    name, flags = device_cookie_name(rt), cookie_flags(rt)
    response.set_cookie(name, signed_in.device_cookie, max_age=COOKIE_MAX_AGE_S, path="/", **flags)


async def set_session_cookie(rt: Runtime, response: Response, token: str) -> None:
    """Hand the browser its session."""
    max_age = (await current_rules(rt)).session_max_s
    response.set_cookie(cookie_name(rt.settings), token, max_age=max_age, path="/", **cookie_flags(rt))
    response.headers["Cache-Control"] = "no-store"


def cookie_flags(rt: Runtime) -> dict[str, Any]:
    """What protects a cookie of ours."""
    return {"secure": rt.settings.base_url.startswith("https://"), "httponly": True, "samesite": "lax"}
