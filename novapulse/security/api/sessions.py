"""`/security/sessions`, `/security/devices` and `/security/sign-ins`: where one is signed in, and who tried to be."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from novapulse.core.http import ApiRoute
from novapulse.core.pagination import Page
from novapulse.security import attempts, devices, sessions
from novapulse.security.api.common import Id, Rt
from novapulse.security.attempts import AttemptsView, SignInView
from novapulse.security.authenticate import ip_of
from novapulse.security.devices import DeviceView
from novapulse.security.policy import RateClass, own_session
from novapulse.security.sessions import Live, SessionView

router = APIRouter(route_class=ApiRoute, tags=["Accounts"])


class Ended(BaseModel):
    """How many sessions ended."""

    ended: int


class Attempts(BaseModel):
    """Tries to sign in as the signed-in user."""

    data: list[AttemptsView]
    last: list[SignInView]


@router.get("/security/sessions")
async def list_sessions(rt: Rt, live: Annotated[Live, own_session()]) -> Page[SessionView]:
    """The sessions of the signed-in user."""
    return Page(data=await sessions.list_sessions(rt, live.actor(), live.session_id), next_cursor=None)


@router.delete("/security/sessions")
async def revoke_other_sessions(
    rt: Rt, request: Request, live: Annotated[Live, own_session(rate=RateClass.SENSITIVE)]
) -> Ended:
    """End all of the signed-in user's sessions but this one, at once."""
    return Ended(ended=await sessions.revoke_others(rt, live.actor(ip_of(request))))


@router.delete("/security/sessions/{id}", status_code=204)
async def revoke_session(
    rt: Rt, request: Request, live: Annotated[Live, own_session(rate=RateClass.SENSITIVE)], id: Id
) -> Response:
    """End one of the signed-in user's sessions, at once."""
    await sessions.revoke(rt, live.actor(ip_of(request)), id)
    return Response(status_code=204)


@router.get("/security/devices")
async def list_devices(rt: Rt, live: Annotated[Live, own_session()]) -> Page[DeviceView]:
    """The browsers that the signed-in user has signed in with before."""
    return Page(data=await devices.list_devices(rt, live.actor(), live.device_id), next_cursor=None)


@router.delete("/security/devices/{id}", status_code=204)
async def forget_device(
    rt: Rt, request: Request, live: Annotated[Live, own_session(rate=RateClass.SENSITIVE)], id: Id
) -> Response:
    """Have a browser be a stranger again: it asks for the second factor."""
    await devices.forget(rt, live.actor(ip_of(request)), id)
    return Response(status_code=204)


@router.get("/security/sign-ins")
async def list_sign_ins(
    rt: Rt, live: Annotated[Live, own_session()], days: Annotated[int, Query(ge=1, le=attempts.KEPT_DAYS)] = 30
) -> Attempts:
    """Tries to sign in as the signed-in user, per hour, network and result; and the last ten that succeeded."""
    actor = live.actor()
    data = await attempts.list_attempts(rt, actor, days)
    return Attempts(data=data, last=await attempts.last_sign_ins(rt, actor))
