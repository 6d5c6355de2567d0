"""What each route and each event handler takes: declared where it is written, enforced by what declares it, and listed.

A route says `actor: Annotated[Actor, needs(Permission.X)]`, `live: Annotated[Live, own_session()]`, or is
`anybody(...)` in its `dependencies`; a handler of a state has `@handler(Permission.X)` over it. What says nothing
cannot be served: `policies_of` refuses it when the application is built.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fastapi import APIRouter, Depends, Request
from fastapi.routing import APIRoute
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from novapulse.core.actor import Actor, Permission
from novapulse.core.errors import EnrolmentError, LimitedError, ProblemError, UnauthorizedError
from novapulse.core.http import answer_fields
from novapulse.core.runtime import current
from novapulse.security import authenticate, limiting
from novapulse.security.origins import is_from_here
from novapulse.security.rates import RateClass
from novapulse.security.sessions import Live
from novapulse.security.uses import Uses


@dataclass(frozen=True, slots=True)
class Policy:
    """What is asked of who calls."""

    who: Literal["anybody", "session", "actor"]
    permissions: frozenset[Permission] = frozenset()
    sudo: bool = False
    rate: RateClass = RateClass.API
    enrolling: bool = False  # also for those who have to set up a second factor before anything else
    loopback: bool = False  # and for whoever calls from this machine


API_PREFIX = "/api/v1"
OPEN_PAGE = Policy("anybody", rate=RateClass.PUBLIC, enrolling=True)


class _Guard:
    """A dependency that enforces its policy, once per call; the routes that have it can be listed."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    async def __call__(self, request: Request) -> Any:
        state = request.state
        if not hasattr(state, "guarded"):
            try:
                state.guarded = await self._enter(request)
            except ProblemError as error:
                state.guarded = error
            else:
                current().part(Uses).note(request.method, API_PREFIX + request.scope["route"].path)
        if isinstance(state.guarded, ProblemError):
            raise state.guarded
        return state.guarded

    async def _enter(self, request: Request) -> Any:
        raise NotImplementedError


class _ActorGuard(_Guard):
    async def _enter(self, request: Request) -> Actor:
        if self.policy.loopback and "authorization" not in request.headers:
            peer = request.client.host if request.client else ""
            if is_from_here(peer, request.headers):
                return Actor("system", "", "This machine", self.policy.permissions, ip=peer)
        try:
            actor = await authenticate.current_actor(request)
        except UnauthorizedError:
            await limiting.count_stranger(request)
            raise
        # Before what may be refused, so that refusals are counted and limited too.
        await limiting.count_actor(request, self.policy.rate, actor.id)
        if actor.must_enrol and not self.policy.enrolling:
            raise EnrolmentError()
        for permission in self.policy.permissions:
            actor.require(permission)
        if self.policy.sudo:
            actor.require_sudo()
        return actor


class _SessionGuard(_Guard):
    async def _enter(self, request: Request) -> Live:
        live = await authenticate.current_session(request)
        if live is None:
            await limiting.count_stranger(request)
            raise UnauthorizedError()
        await limiting.count_actor(request, self.policy.rate, live.user.id)
        if live.must_enrol and not self.policy.enrolling:
            raise EnrolmentError()
        actor = live.actor()
        for permission in self.policy.permissions:
            actor.require(permission)
        if self.policy.sudo:
            actor.require_sudo()
        return live


class _OpenGuard(_Guard):
    async def _enter(self, request: Request) -> None:
        await limiting.count_anybody(request, self.policy.rate)


async def admit(request: Request) -> None:
    """Do what the guard of this call's route does, before anything else is done.

    Raises:
        ProblemError: the caller is refused, or nobody has to be known here.
    """
    guard = _guard_of(request.scope["route"])
    if guard.policy.who == "anybody":
        raise UnauthorizedError()
    await guard(request)


def needs(*permissions: Permission, sudo: bool = False, rate: RateClass = RateClass.API, loopback: bool = False) -> Any:
    """A user or a key that holds all of these permissions; answers who it is. With `sudo`, proven lately.

    With `loopback`, also whoever calls from this machine itself, who has no more than these permissions.
    """
    return Depends(_ActorGuard(Policy("actor", frozenset(permissions), sudo, rate, loopback=loopback)))


def own_session(
    *permissions: Permission, sudo: bool = False, rate: RateClass = RateClass.API, enrolling: bool = False
) -> Any:
    """A signed-in browser, about its own user; with permissions, a person who holds them all, and never a key."""
    return Depends(_SessionGuard(Policy("session", frozenset(permissions), sudo, rate, enrolling)))


def anybody(rate: RateClass = RateClass.PUBLIC) -> Any:
    """Whoever calls."""
    return Depends(_OpenGuard(Policy("anybody", rate=rate, enrolling=True)))


def open_page(route: Route) -> Route:
    """A page beside the API that anybody may load, counted as `OPEN_PAGE` says."""

    async def counted(request: Request) -> Response:
        try:
            await limiting.count_anybody(request, OPEN_PAGE.rate)
        except LimitedError as error:
            response: Response = PlainTextResponse(error.detail, error.status, error.headers)
        else:
            current().part(Uses).note("GET", route.path)
            response = await route.endpoint(request)
        response.raw_headers.extend(answer_fields(request))
        return response

    return Route(route.path, counted, methods=sorted(route.methods or ()) or None)


def policy_of_route(route: APIRoute) -> Policy:
    """The declared policy of a route.

    Raises:
        ValueError: it has none, or more than one.
    """
    return _guard_of(route).policy


def _guard_of(route: APIRoute) -> _Guard:
    found = [each.call for each in route.dependant.dependencies if isinstance(each.call, _Guard)]
    if len(found) != 1:
        raise ValueError(f"{sorted(route.methods or ())} {route.path} declares {len(found)} policies, not one")
    return found[0]


def policies_of(routers: Sequence[APIRouter]) -> Iterator[tuple[str, str, Policy]]:
    """Method, path and policy of every route.

    Raises:
        ValueError: a route declares none.
    """
    for router in routers:
        for route in router.routes:
            if isinstance(route, APIRoute):
                policy = policy_of_route(route)
                for method in sorted(route.methods or ()):
                    yield method, route.path, policy
