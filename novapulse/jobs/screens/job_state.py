"""One job: all that is known of it, why it is not running, and what may be done.

Who looks is kept up to date by `live.watching`; a change in the browser does not reach the state here, so that what a
handler goes by is read anew.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from typing import Any

import reflex as rx

from novapulse.core.actor import Actor, Permission
from novapulse.core.errors import NotFoundError, ProblemError
from novapulse.core.runtime import current
from novapulse.jobs import service
from novapulse.jobs.screens.shown import job_shown, why_shown
from novapulse.jobs.waiting_reason import explain
from novapulse.live.watching import Shown, show
from novapulse.security.handlers import handler, handler_actor
from novapulse.ui import says

_ID_MAX = 64
_DO: dict[str, Callable[..., Awaitable[Any]]] = {
    "retry": service.retry_job,
    "cancel": service.cancel_job,
    "discard": service.discard_job,
    "undo": service.undo_job,
}
_SAID = {"retry": "It runs as soon as a worker is free.", "undo": "Taken back."}


class JobPageState(rx.State):
    """What `/jobs/[job_id]` shows."""

    job: dict[str, Any] = {}  # noqa: RUF012 - Reflex copies defaults; see `shown.job_shown`
    attempts: list[dict[str, str]] = []  # noqa: RUF012
    timeline: list[dict[str, str]] = []  # noqa: RUF012
    logs: list[dict[str, str]] = []  # noqa: RUF012
    why: dict[str, Any] = {}  # noqa: RUF012 - {}: it has ended
    loaded: bool = False
    gone: bool = False
    problem: str = ""

    @handler(Permission.JOBS_READ)
    @rx.event
    async def load(self) -> AsyncGenerator[None]:
        """Read the job that the URL names."""
        if self._wanted() != self.job.get("id"):
            self.loaded, self.job, self.why, self.gone = False, {}, {}, False
            yield  # what is on the page is of another job
        self.gone = False
        await self._read()

    @handler(Permission.JOBS_READ)
    @rx.event
    async def refresh(self) -> None:
        """Read it again."""
        await self._read()

    @handler(Permission.JOBS_WRITE)
    @rx.event
    async def act(self, what: str) -> Any:
        """Retry, cancel or discard it, or take that back."""
        if what not in _DO:
            return None
        try:
            await _DO[what](current(), await handler_actor(self), self._wanted())
        except ProblemError as error:
            await self._read()
            return says.error(error.detail)
        await self._read()
        return says.success(_SAID[what]) if what in _SAID else None

    @handler(Permission.JOBS_WRITE)
    @rx.event
    async def pin(self, on: bool) -> Any:
        """Keep it beyond its time, or no longer."""
        try:
            await service.pin_job(current(), await handler_actor(self), self._wanted(), bool(on))
        except ProblemError as error:
            return says.error(error.detail)
        await self._read()
        return says.success("Pinned: it is kept until you unpin it." if on else "No longer pinned.")

    def _wanted(self) -> str:
        return self.router.url.path.rstrip("/").rsplit("/", 1)[-1][:_ID_MAX]

    async def _read(self) -> None:
        job_id = self._wanted()
        try:
            await show(self, await handler_actor(self), "job", job_id, partial(_look, job_id))
        except ProblemError as error:
            self.problem = error.detail


async def _look(job_id: str, actor: Actor) -> Shown:
    rt = current()
    try:
        detail = await service.get_job(rt, actor, job_id)
        waits = detail.state in ("waiting", "delayed")
        why = why_shown(await explain(rt, actor, detail.id)) if waits else {}
    except NotFoundError:
        return Shown({"gone": True, "loaded": True}, moves=False)
    shown = job_shown(detail, rt.settings.trace_address(detail.trace_id) if detail.trace_id else "")
    lists = {"attempts": shown.pop("attempt_list"), "timeline": shown.pop("timeline"), "logs": shown.pop("logs")}
    moves = bool(shown["open"] or shown["undo_until"])
    return Shown({"job": shown, **lists, "why": why, "gone": False, "problem": "", "loaded": True}, moves)
