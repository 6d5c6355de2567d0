"""Who calls the API: an API key, or the browser's session cookie with a matching origin."""

from __future__ import annotations

from dataclasses import replace

from fastapi import Request

from novapulse.core.actor import Actor
from novapulse.core.errors import ForbiddenError, UnauthorizedError
from novapulse.core.runtime import Runtime, current
from novapulse.security import api_keys, sessions
from novapulse.security.origins import client_ip, is_same_origin_call
from novapulse.settings import Settings

_SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}


def cookie_name(settings: Settings) -> str:
    """The session cookie's name: with `__Host-` wherever browsers accept that, which is under TLS."""
    return "__Host-np_session" if settings.base_url.startswith("https://") else "np_session"


def device_cookie(request: Request) -> str:
    """What the browser says of the device it is; empty: nothing."""
    secure = current().settings.base_url.startswith("https://")
    return request.cookies.get("__Host-np_device" if secure else "np_device", "")


def ip_of(request: Request) -> str:
    """The caller's address, as far as the proxies that are trusted say."""
    peer = request.client.host if request.client else ""
    return client_ip(current().settings, peer, request.headers.get("x-forwarded-for", ""))


async def current_actor(request: Request) -> Actor:
    """Who calls; kept as `request.state.actor`, for who answers a refusal.

    Raises:
        UnauthorizedError: nobody we know.
        ForbiddenError: a cookie, sent by a page that is not ours.
    """
    rt = current()
    header = request.headers.get("authorization")
    if header is not None:
        request.state.actor = await _by_key(rt, header, ip_of(request))
        return request.state.actor
    live = await current_session(request)
    if live is None:
        raise UnauthorizedError()
    return live.actor(ip_of(request))


async def _by_key(rt: Runtime, header: str, ip: str) -> Actor:
    scheme, _, key = header.partition(" ")
    actor = await api_keys.actor_of_key(rt, key.strip(), ip) if scheme.lower() == "bearer" else None
    if actor is None:
        raise UnauthorizedError("This API key does not work.")
    return replace(actor, ip=ip)


async def current_session(request: Request) -> sessions.Live | None:
    """The browser's live session, if it has one.

    Raises:
        ForbiddenError: a call that changes something, made by a page that is not ours.
    """
    rt = current()
    live = await sessions.find_by_token(rt, request.cookies.get(cookie_name(rt.settings), ""))
    if live is not None:
        request.state.actor = live.actor(ip_of(request))
    if (
        live is not None
        and request.method not in _SAFE_METHODS
        and not is_same_origin_call(rt.settings, request.headers)
    ):
        raise ForbiddenError("This call was made by a page of another origin; NOVAPULSE_PUBLIC_URL names ours.")
    return live
