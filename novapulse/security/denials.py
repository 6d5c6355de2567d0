"""Refusals of somebody who is known, in the audit log (ASVS 5.0, 16.3.2): at routes of the API and at event handlers.

The same actor at the same place is one row a minute and process, which says how many refusals went before it: who is
refused in a loop cannot flood the log. That somebody is first asked who they are, or to set up a second factor, is no
refusal.
"""

from __future__ import annotations

import time
from collections import OrderedDict

import structlog
from fastapi import Request, Response
from sqlalchemy.exc import SQLAlchemyError

from novapulse.core.actor import Actor
from novapulse.core.errors import EnrolmentError, ForbiddenError, ReauthenticationError
from novapulse.core.problems import problem_response
from novapulse.core.runtime import Runtime, current
from novapulse.security import audit

_EVERY_S = 60.0
_KEPT = 10_000  # places that are remembered

log = structlog.get_logger(__name__)


class _Told:
    """What was recorded lately. Made by `Runtime.part`."""

    def __init__(self, _rt: Runtime) -> None:
        self._last: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()

    def is_due(self, actor_id: str, where: str) -> int | None:
        """How many went unrecorded before this one; None: so does this one."""
        key, now = (actor_id, where), time.monotonic()
        at, unrecorded = self._last.pop(key, (-_EVERY_S, 0))
        due = now - at >= _EVERY_S
        self._last[key] = (now, 0) if due else (at, unrecorded + 1)
        while len(self._last) > _KEPT:
            self._last.popitem(last=False)
        return unrecorded if due else None


async def record_denial(rt: Runtime, actor: Actor, kind: str, where: str, why: str) -> None:
    """Record that this actor was refused at a `route` or a `handler`. Never fails: the refusal stands either way."""
    unrecorded = rt.part(_Told).is_due(actor.id, where)
    if unrecorded is None:
        return
    detail = {"why": why} | ({"refused_before": unrecorded} if unrecorded else {})
    try:
        await audit.record(rt, actor, "access.denied", target=(kind, where, where), result="denied", detail=detail)
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        log.warning("denial_not_recorded", actor=actor.id, where=where, error=str(error)[:200])


async def answer_forbidden(request: Request, error: Exception) -> Response:
    """Answer a 403 of the API, and record it of whom `authenticate` has recognised."""
    assert isinstance(error, ForbiddenError)
    actor = getattr(request.state, "actor", None)
    if isinstance(actor, Actor) and not isinstance(error, (EnrolmentError, ReauthenticationError)):
        where = f"{request.method} {getattr(request.scope.get('route'), 'path', '')}"
        await record_denial(current(), actor, "route", where, error.detail)
    return problem_response(request, error)
