"""What failed, by what failures have in common."""

from __future__ import annotations

from functools import partial
from typing import Any

import reflex as rx

from novapulse.core.actor import Actor, Permission
from novapulse.core.clock import now_ms
from novapulse.core.errors import ProblemError
from novapulse.core.runtime import current
from novapulse.jobs.failures import list_failures
from novapulse.jobs.schemas import FailureGroup, JobFilter
from novapulse.jobs.screens.bulk_state import BulkState, look
from novapulse.jobs.screens.filters import QUEUES, SPANS
from novapulse.live.shown import count
from novapulse.live.watching import Shown, show
from novapulse.security.handlers import handler, handler_actor
from novapulse.ui import says
from novapulse.ui.listing import Listing

_GROUPS = 50
# What may be done to a group, and to which of its jobs.
ACTS = {"retry": "dead", "discard": "dead"}


class FailuresState(Listing, rx.State):
    """What `/jobs/failures` shows."""

    filters: dict[str, str] = dict.fromkeys(("queue", "span"), "")
    groups: list[dict[str, Any]] = []  # noqa: RUF012 - Reflex copies defaults
    complete: bool = True

    @handler(Permission.JOBS_READ)
    @rx.event
    async def load(self) -> None:
        """Read the filters from the URL, then the failures."""
        self._of_url(queue=QUEUES, span=SPANS)
        await self._read()

    @handler(Permission.JOBS_READ)
    @rx.event
    async def refresh(self) -> None:
        """Something failed, or was retried: read them again."""
        await self._read()

    @handler(Permission.JOBS_READ)
    @rx.event
    def set_filter(self, name: str, value: str) -> Any:
        """Change a filter, by going to the URL that has it."""
        return self._filter(name, value)

    @handler(Permission.JOBS_WRITE)
    @rx.event
    async def ask(self, fingerprint: str, act: str) -> Any:
        """Look at what an act would do to a group; a retry tries one first."""
        if act not in ACTS:
            return None
        wanted = JobFilter.model_validate({"fingerprint": str(fingerprint)[:200], "state": ACTS[act]})
        bulk = await self.get_state(BulkState)
        try:
            await look(bulk, current(), await handler_actor(self), act, wanted, canary=act == "retry")
        except ProblemError as error:
            return says.error(error.detail)
        return None

    async def _read(self) -> None:
        filters = dict(self.filters)  # not Reflex's own kind of one, which belongs to this event
        try:
            await show(self, await handler_actor(self), "failures", filters, partial(_look, filters))
        except ProblemError as error:
            self.problem = error.detail


async def _look(filters: dict[str, str], actor: Actor) -> Shown:
    since = now_ms() - SPANS[filters["span"]] * 1000 if filters["span"] else None
    found = await list_failures(current(), actor, queue=filters["queue"] or None, since=since, limit=_GROUPS)
    groups = [_shown(group) for group in found.data]
    return Shown({"groups": groups, "complete": found.complete, "problem": "", "loaded": True}, moves=False)


def _shown(group: FailureGroup) -> dict[str, Any]:
    return {
        "fingerprint": group.fingerprint,
        "queue": group.queue,
        "task": group.task,
        "error": group.error.partition("\n")[0] or "It said nothing.",
        "dead": count(group.dead),
        "retrying": count(group.retrying),
        "any_dead": group.dead > 0,
        "may_discard": group.dead > 0 and group.queue != "webhook",
        "first": group.first_seen or "",
        "last": group.last_seen or "",
        "example": group.example_id,
    }
