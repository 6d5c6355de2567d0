"""An act on many jobs: looked at before, done by a job that one can watch and stop."""

from __future__ import annotations

from functools import partial
from typing import Any

import reflex as rx
from pydantic import ValidationError

from novapulse.core.actor import Actor, Permission
from novapulse.core.clock import now_ms, parse_rfc3339
from novapulse.core.errors import InvalidError, ProblemError
from novapulse.core.problems import from_validation
from novapulse.core.runtime import Runtime, current
from novapulse.jobs.bulk import preview_bulk, start_bulk
from novapulse.jobs.schemas import BulkIn, JobFilter, PreviewIn
from novapulse.jobs.screens.shown import preview_shown
from novapulse.jobs.service import cancel_job, get_job, undo_job
from novapulse.live.watching import Shown, Watching, show, this_socket
from novapulse.security.handlers import handler, handler_actor
from novapulse.ui import says

ACTS = ("retry", "cancel", "discard")
_CANARY = ("first", "batch", "max_failures")
_ENDED = ("completed", "dead", "cancelled")
_WORDS = {"delayed": "It begins in a moment.", "completed": "There was nothing left to do."}
_ACT = "act"  # what a page watches of it


class BulkState(rx.State):
    """The act that is looked at, and the one that is being done."""

    act: str = ""  # '': none is looked at
    preview: dict[str, Any] = {}  # noqa: RUF012 - Reflex copies defaults
    canary: bool = False
    errors: dict[str, str] = {}  # noqa: RUF012
    problem: str = ""
    started: int = 0  # how many were begun here
    job_id: str = ""  # '': none is being done
    state: str = ""
    over: bool = False  # whether it has ended
    percent: int = -1
    says: str = ""
    undo_until: str = ""
    may_undo: bool = False  # what it called off can be put back
    _filter: str = ""  # JSON, which stays on the server

    @handler(Permission.JOBS_WRITE)
    @rx.event
    def close(self) -> None:
        """Do nothing."""
        self.act = ""

    @handler(Permission.JOBS_WRITE)
    @rx.event
    def set_canary(self, on: bool) -> None:
        """Try one first, or not."""
        self.canary = bool(on)

    @handler(Permission.JOBS_WRITE)
    @rx.event
    async def start(self, form: dict[str, Any]) -> Any:
        """Have it done, as it was looked at."""
        if self.act not in ACTS or not self._filter:
            return None
        self.errors, self.problem = {}, ""
        actor = await handler_actor(self)
        try:
            given: dict[str, Any] = {"action": self.act, "filter": JobFilter.model_validate_json(self._filter)}
            if self.canary and self.act == "retry":
                given["canary"] = {name: _whole(str(form.get(name, ""))) for name in _CANARY}
            done = await start_bulk(current(), actor, BulkIn.model_validate(given))
        except ValidationError as error:
            self._place(from_validation(error.errors()))
            return None
        except InvalidError as error:
            self._place(error)
            return None
        except ProblemError as error:
            self.problem = error.detail
            return None
        # Until it starts it can be taken back as if nothing had been.
        self.undo_until = done.starts_at if parse_rfc3339(done.starts_at) > now_ms() + 1_000 else ""
        self.act, self.job_id = "", done.job_id
        self.state, self.over, self.percent, self.says = "waiting", False, 0, "It is about to begin."
        self.may_undo = False
        self.started += 1
        await self._follow()
        return None

    @handler(Permission.JOBS_READ)
    @rx.event
    async def follow(self) -> None:
        """Show how far it is, from now on."""
        await self._follow()

    async def _follow(self) -> None:
        if not self.job_id:
            return
        try:
            await show(self, await handler_actor(self), _ACT, self.job_id, partial(_look, self.job_id))
        except ProblemError:
            self.job_id = ""

    @handler(Permission.JOBS_WRITE)
    @rx.event
    async def stop(self) -> Any:
        """Do no more of it; what is done stays done."""
        try:
            await cancel_job(current(), await handler_actor(self), self.job_id)
        except ProblemError as error:
            return says.error(error.detail)
        self.undo_until = ""
        await self._follow()
        return None

    @handler(Permission.JOBS_WRITE)
    @rx.event
    async def undo(self) -> Any:
        """Have what a cancel called off put back, and show how far that is."""
        try:
            job = await undo_job(current(), await handler_actor(self), self.job_id)
        except ProblemError as error:
            return says.error(error.detail)
        self.job_id, self.undo_until, self.may_undo = job.id, "", False
        await self._follow()
        return None

    @handler(Permission.JOBS_READ)
    @rx.event
    async def dismiss(self) -> None:
        """Show it no more; it goes on."""
        self.job_id = ""
        await current().part(Watching).leave(this_socket(), what=_ACT)

    def _place(self, error: InvalidError) -> None:
        placed: dict[str, str] = {}
        for each in error.errors:
            name = each.pointer.rsplit("/", 1)[-1]
            placed.setdefault(name, each.detail)
        self.errors = placed
        self.problem = "" if set(placed) <= set(_CANARY) else error.detail


async def _look(job_id: str, actor: Actor) -> Shown:
    job = await get_job(current(), actor, job_id)
    stopped = job.result.get("stopped") if isinstance(job.result, dict) else None
    said = stopped or job.progress_text or _WORDS.get(job.state, "")
    if job.state == "dead":
        said = job.error or "It failed."
    elif job.state == "cancelled":
        said = "Stopped." if job.started_at else "Taken back: nothing was done."
    over = job.state in _ENDED
    cancels = isinstance(job.payload, dict) and job.payload.get("action") == "cancel"
    may_undo = cancels and job.undo_until is not None
    shown = {
        "state": job.state,
        "over": over,
        "percent": 100 if job.state == "completed" else round((job.progress or 0) * 100),
        "says": said,
        "may_undo": may_undo,
    }
    if job.state != "delayed":
        # While a cancel goes on it can be taken back, too, but no seconds count.
        shown["undo_until"] = job.undo_until if over and may_undo else ""
    return Shown(shown, moves=not over or may_undo)


async def look(
    state: BulkState, rt: Runtime, actor: Actor, act: str, wanted: JobFilter, *, canary: bool = False
) -> None:
    """Say what an act would touch and repeat; it is done once that is confirmed.

    Raises:
        ProblemError: the filter is none for this act, or the actor may not.
    """
    given = PreviewIn.model_validate({"action": act, "filter": wanted})
    state.preview = preview_shown(await preview_bulk(rt, actor, given))
    state._filter = wanted.model_dump_json(exclude_none=True)
    state.act, state.canary = act, canary
    state.errors, state.problem = {}, ""


def _whole(text: str) -> Any:
    return int(text) if text.strip().isdecimal() else text
