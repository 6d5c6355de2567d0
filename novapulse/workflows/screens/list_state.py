"""The list of workflows, and of all their runs."""

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.core.actor import Permission
from novapulse.core.errors import ProblemError
from novapulse.core.runtime import current
from novapulse.security.handlers import handler, handler_actor
from novapulse.ui import says
from novapulse.ui.listing import Listing
from novapulse.ui.urls import chosen, with_query
from novapulse.workflows import runs, service
from novapulse.workflows.screens.shown import run_row, workflow_row

_PAGE = 25
TABS = ("workflows", "runs")
RUN_STATES = ("running", "completed", "failed", "cancelled")


class WorkflowsState(Listing, rx.State):
    """What `/workflows` shows."""

    filters: dict[str, str] = dict.fromkeys(("q", "state"), "")
    tab: str = "workflows"

    @handler(Permission.WORKFLOWS_READ)
    @rx.event
    async def load(self) -> None:
        """Read what the URL describes."""
        query = self._of_url("q", state=RUN_STATES)
        tab = chosen(query, "tab", TABS, TABS[0])
        if tab != self.tab:
            self.rows, self.loaded = [], False
        self.tab = tab
        await self._read()

    @handler(Permission.WORKFLOWS_READ)
    @rx.event
    async def refresh(self) -> None:
        """Read the same again."""
        await self._read()

    @handler(Permission.WORKFLOWS_READ)
    @rx.event
    def set_filter(self, name: str, value: str) -> Any:
        """Change a filter, by going to the URL that has it."""
        return self._filter(name, value)

    @handler(Permission.WORKFLOWS_READ)
    @rx.event
    def show_tab(self, tab: str) -> Any:
        """Look at the workflows, or at the runs."""
        return rx.redirect(with_query(self.router.url, q="", state="", cursor="", tab=tab if tab == TABS[1] else ""))

    @handler(Permission.WORKFLOWS_WRITE)
    @rx.event
    async def enable(self, workflow_id: str, on: bool) -> Any:
        """Have a workflow's triggers start runs, or not."""
        try:
            view = await service.set_enabled(current(), await handler_actor(self), str(workflow_id), bool(on))
        except ProblemError as error:
            return says.error(error.detail)
        await self._read()
        return says.success(f"{view.name} is {'on' if view.enabled else 'off'}.")

    async def _read(self) -> None:
        rt, actor = current(), await handler_actor(self)
        cursor, wanted = self.cursor or None, self._wanted()
        try:
            if self.tab == "runs":
                found = await runs.list_runs(rt, actor, state=wanted["state"], limit=_PAGE, cursor=cursor)
                rows, following = [run_row(view) for view in found.data], found.next_cursor
            else:
                page = await service.list_workflows(rt, actor, q=wanted["q"], limit=_PAGE, cursor=cursor)
                rows, following = [workflow_row(view) for view in page.data], page.next_cursor
        except ProblemError as error:
            self.problem = error.detail
            return
        self._show(rows, following)
