"""`/security/sessions`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Response

from novapulse.core.http import ApiRoute
from novapulse.core.pagination import Page
from novapulse.security import sessions
from novapulse.security.api.common import Id, Rt
from novapulse.security.policy import own_session
from novapulse.security.sessions import Live

router = APIRouter(route_class=ApiRoute, tags=["Accounts"])


@router.get("/security/sessions")
async def list_sessions(rt: Rt, live: Annotated[Live, own_session()]) -> Page[sessions.SessionView]:
    """The sessions of the signed-in user."""
    found = await sessions.list_sessions(rt, live.actor(), live.session_id)
    return Page(data=found, next_cursor=None)


@router.delete("/security/sessions/{id}", status_code=204)
async def revoke_session(rt: Rt, live: Annotated[Live, own_session()], id: Id) -> Response:
    """End one of the signed-in user's sessions, at once."""
    await sessions.revoke(rt, live.actor(), id)
    return Response(status_code=204)
