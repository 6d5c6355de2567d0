"""What each route and each event handler takes: declared where it is written, enforced by what declares it, and listed.

A route says `actor: Annotated[Actor, needs(Permission.X)]`, `live: Annotated[Live, own_session()]`, or is
`anybody(...)` in its `dependencies`; a handler of a state has `@handler(Permission.X)` over it. What says nothing
cannot be served: `policies_of` refuses it when the application is built.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Literal

from fastapi import APIRouter, Depends, Request
from fastapi.routing import APIRoute

from novapulse.core.actor import Actor, Permission
from novapulse.core.errors import EnrolmentError, UnauthorizedError
from novapulse.security import authenticate
from novapulse.security.sessions import Live


class RateClass(StrEnum):
    """Which limit a call counts against."""

    PUBLIC = "public"  # what anybody may ask
    SIGN_IN = "sign_in"  # everything that guesses could be made at
    SENSITIVE = "sensitive"  # what a signed-in person does seldom
    API = "api"
    INGEST = "ingest"  # taking events in
    SCREEN = "screen"  # events of open pages


@dataclass(frozen=True, slots=True)
class Policy:
    """What is asked of who calls."""

    who: Literal["anybody", "session", "actor"]
    permissions: frozenset[Permission] = frozenset()
    sudo: bool = False
    rate: RateClass = RateClass.API
    enrolling: bool = False  # also for those who have to set up a second factor before anything else


class _Guard:
    """A dependency that enforces its policy; the routes that have it can be listed."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy


class _ActorGuard(_Guard):
    async def __call__(self, request: Request) -> Actor:
        actor = await authenticate.current_actor(request)
        if actor.must_enrol and not self.policy.enrolling:
            raise EnrolmentError()
        for permission in self.policy.permissions:
            actor.require(permission)
        if self.policy.sudo:
            actor.require_sudo()
        return actor


class _SessionGuard(_Guard):
    async def __call__(self, request: Request) -> Live:
        live = await authenticate.current_session(request)
        if live is None:
            raise UnauthorizedError()
        if live.must_enrol and not self.policy.enrolling:
            raise EnrolmentError()
        if self.policy.sudo:
            live.actor().require_sudo()
        return live


class _OpenGuard(_Guard):
    async def __call__(self) -> None:
        """Nothing is asked."""


def needs(*permissions: Permission, sudo: bool = False, rate: RateClass = RateClass.API) -> Any:
    """A user or a key that holds all of these permissions; answers who it is. With `sudo`, proven lately."""
    return Depends(_ActorGuard(Policy("actor", frozenset(permissions), sudo, rate)))


def own_session(*, sudo: bool = False, rate: RateClass = RateClass.API, enrolling: bool = False) -> Any:
    """A signed-in browser, about its own user."""
    return Depends(_SessionGuard(Policy("session", sudo=sudo, rate=rate, enrolling=enrolling)))


def anybody(rate: RateClass = RateClass.PUBLIC) -> Any:
    """Whoever calls."""
    return Depends(_OpenGuard(Policy("anybody", rate=rate, enrolling=True)))


def policy_of_route(route: APIRoute) -> Policy:
    """The declared policy of a route.

    Raises:
        ValueError: it has none, or more than one.
    """
    found = [each.call.policy for each in route.dependant.dependencies if isinstance(each.call, _Guard)]
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
                    yield method, route.path, replace(policy)
