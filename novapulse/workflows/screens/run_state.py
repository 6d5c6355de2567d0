"""One run: its picture, its steps, and the step that is looked at."""

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.core.actor import Permission
from novapulse.core.errors import NotFoundError, ProblemError
from novapulse.core.runtime import current
from novapulse.security.handlers import handler, handler_actor
from novapulse.ui import says
from novapulse.ui.urls import with_query
from novapulse.workflows import runs
from novapulse.workflows.definition import Definition
from novapulse.workflows.screens.shown import graph, pretty, run_row, step_row

_SHOWN_MAX = 200  # steps in the table
_KEY_MAX = 300


class RunState(rx.State):
    """What `/workflows/runs/[run_id]` shows."""

    run: dict[str, Any] = {}  # noqa: RUF012 - Reflex copies defaults
    picture: dict[str, Any] = {}  # noqa: RUF012
    steps: list[dict[str, Any]] = []  # noqa: RUF012
    more: int = 0  # steps that the table does not show
    step: dict[str, Any] = {}  # noqa: RUF012 - in the drawer
    open_key: str = ""
    loaded: bool = False
    problem: str = ""

    @handler(Permission.WORKFLOWS_READ)
    @rx.event
    async def load(self) -> Any:
        """Read what the URL describes."""
        wanted = self._wanted()
        if wanted != self.run.get("id"):
            self.loaded, self.run, self.steps, self.picture = False, {}, [], {}
        self.open_key = str(self.router.url.query_parameters.get("step", ""))[:_KEY_MAX]
        try:
            await self._read()
        except NotFoundError as error:
            return [says.error(error.detail), rx.redirect("/workflows?tab=runs")]
        except ProblemError as error:
            self.problem = error.detail
        return None

    @handler(Permission.WORKFLOWS_READ)
    @rx.event
    async def refresh(self) -> None:
        """Something happened in this run."""
        try:
            await self._read()
        except ProblemError as error:
            self.problem = error.detail

    @handler(Permission.WORKFLOWS_READ)
    @rx.event
    def open(self, key: str) -> Any:
        """Look at a step."""
        return rx.redirect(with_query(self.router.url, step=str(key)[:_KEY_MAX]))

    @handler(Permission.WORKFLOWS_READ)
    @rx.event
    def close(self) -> Any:
        """Look at no step any more."""
        return rx.redirect(with_query(self.router.url, step=""))

    @handler(Permission.WORKFLOWS_WRITE)
    @rx.event
    async def cancel(self) -> Any:
        """Stop the run."""
        return await self._act("cancel")

    @handler(Permission.WORKFLOWS_WRITE)
    @rx.event
    async def retry(self) -> Any:
        """Do again what failed."""
        return await self._act("retry")

    async def _act(self, what: str) -> Any:
        act = runs.cancel_run if what == "cancel" else runs.retry_run
        try:
            await act(current(), await handler_actor(self), self._wanted())
            await self._read()
        except ProblemError as error:
            return says.error(error.detail)
        return says.success("The run is stopped." if what == "cancel" else "What failed is done again.")

    def _wanted(self) -> str:
        return self.router.url.path.rstrip("/").rpartition("/")[2][:64]

    async def _read(self) -> None:
        found = await runs.get_run(current(), await handler_actor(self), self._wanted())
        self.run = run_row(found) | {
            "tenant": found.tenant or "",
            "event_id": (found.event or {}).get("id", ""),
            "input": pretty(found.input),
            "done": sum(step.state in ("completed", "skipped") for step in found.steps),
        }
        self.picture = graph(Definition.model_validate(found.definition), found)
        self.steps = [step_row(step) | {"input": "", "output": ""} for step in found.steps[:_SHOWN_MAX]]
        self.more = max(0, len(found.steps) - _SHOWN_MAX)
        opened = next((step for step in found.steps if step.key == self.open_key), None)
        self.step = {} if opened is None else step_row(opened)
        self.problem, self.loaded = "", True
