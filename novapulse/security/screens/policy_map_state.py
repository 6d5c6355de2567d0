"""The policy map, as it is filtered."""

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.core.actor import Permission
from novapulse.core.errors import ForbiddenError, ProblemError
from novapulse.core.runtime import current
from novapulse.security import policy_map
from novapulse.security.handlers import handler, handler_actor

_WHO = {"anybody": "Anybody", "session": "People", "actor": "People and keys"}


class PolicyMapState(rx.State):
    """What every route and handler takes."""

    rows: list[dict[str, Any]] = []  # noqa: RUF012 - Reflex copies defaults
    routes: int = 0
    handlers: int = 0
    loaded: bool = False
    allowed: bool = True
    problem: str = ""

    @handler(Permission.WEBHOOKS_READ)  # everybody, to be told who may; the service checks
    @rx.event
    async def load(self) -> None:
        """All of it."""
        self.problem, self.allowed = "", True
        try:
            views = await policy_map.list_policies(current(), await handler_actor(self))
        except ForbiddenError:
            self.allowed = False
        except ProblemError as error:
            self.problem = error.detail
        else:
            self.rows = [_row(view) for view in views]
            self.routes = sum(view.kind == "route" for view in views)
            self.handlers = len(views) - self.routes
        self.loaded = True


def _row(view: policy_map.PolicyView) -> dict[str, Any]:
    asks = ["confirmed lately"] if view.sudo else []
    return {
        "kind": view.kind,
        "name": view.name,
        "who": _WHO[view.who] + (", or this machine" if view.loopback else ""),
        "permissions": [*view.permissions, *asks],
        "roles": "–" if view.who == "anybody" else ", ".join(view.roles) or "nobody",
        "rate": view.rate.replace("_", " "),
        "limits": ", ".join(view.limits) or "off",
        "used": view.last_used_at or "",
    }
