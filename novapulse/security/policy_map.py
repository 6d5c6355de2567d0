"""The policy map: every route and every event handler with what it takes, from the registry that enforces it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from pydantic import BaseModel, Field

from novapulse.core.actor import ROLE_PERMISSIONS, Actor, Permission, Role
from novapulse.core.clock import rfc3339
from novapulse.core.runtime import Runtime
from novapulse.security.limits import rates_of
from novapulse.security.policy import Policy
from novapulse.security.uses import Uses

_FRAMEWORK = Policy("session", enrolling=True)
_routes: dict[tuple[str, str], Policy] = {}


class PolicyView(BaseModel):
    """What a route or an event handler takes."""

    kind: Literal["route", "handler"]
    name: str = Field(description="Method and path, or state and method.")
    who: Literal["anybody", "session", "actor"] = Field(description="`actor`: a signed-in person or an API key.")
    permissions: list[Permission] = Field(description="All of them are needed.")
    roles: list[Role] = Field(description="The roles that have them.")
    sudo: bool = Field(description="Whether people have to have shown lately that it is them.")
    loopback: bool = Field(description="Open without credentials to calls from the machine itself.")
    enrolling: bool = Field(description="Open before a second factor that is required has been set up.")
    rate: str = Field(description="The class of limits that it counts against.")
    limits: list[str] = Field(description="As they are set; none: not limited.")
    last_used_at: str | None = Field(description="By anybody, as far as is known; written down every few seconds.")


def declare_routes(policies: Mapping[tuple[str, str], Policy]) -> None:
    """Enter the routes of this process, by method and path."""
    _routes.update(policies)


async def list_policies(rt: Runtime, actor: Actor) -> list[PolicyView]:
    """The whole map: routes by path, then handlers by name."""
    actor.require(Permission.AUDIT_READ)
    used = await rt.part(Uses).known()
    routes = sorted(_routes.items(), key=lambda item: (item[0][1], item[0][0]))
    return [
        *(
            _view(rt, "route", f"{method} {path}", policy, used.get(f"{method} {path}"))
            for (method, path), policy in routes
        ),
        *(_view(rt, "handler", name, policy, used.get(key)) for name, key, policy in sorted(_handlers())),
    ]


def _handlers() -> Iterator[tuple[str, str, Policy]]:
    # Not above: whoever calls the API alone has no use for Reflex.
    from novapulse.security.handlers import HANDLER, declared_handlers, is_framework_event

    for name, where, policy in declared_handlers():
        if policy is not None:
            yield where, f"{HANDLER} {name}", policy
        elif is_framework_event(name):
            yield where, f"{HANDLER} {name}", _FRAMEWORK


def _view(rt: Runtime, kind: Literal["route", "handler"], name: str, policy: Policy, used: int | None) -> PolicyView:
    return PolicyView(
        kind=kind,
        name=name,
        who=policy.who,
        permissions=sorted(policy.permissions),
        roles=[role for role in Role if policy.permissions <= ROLE_PERMISSIONS[role]],
        sudo=policy.sudo,
        loopback=policy.loopback,
        enrolling=policy.enrolling,
        rate=policy.rate,
        limits=[str(rate) for rate in rates_of(rt.settings, policy.rate)],
        last_used_at=None if used is None else rfc3339(used),
    )
