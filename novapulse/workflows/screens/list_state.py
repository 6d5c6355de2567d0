"""The list of workflows, and of all their runs."""

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.core.actor import Permission
from novapulse.core.errors import ProblemError
from novapulse.core.runtime import current
from novapulse.security.handlers import handler, handler_actor
from novapulse.ui import says
from novapulse.ui.urls import chosen, with_query
from novapulse.workflows import runs, service
from novapulse.workflows.screens.shown import run_row, workflow_row

_PAGE = 25
_TEXT_MAX = 200
TABS = ("workflows", "runs")
RUN_STATES = ("running", "completed", "failed", "cancelled")


class WorkflowsState(rx.State):
    """What `/workflows` shows."""

    rows: list[dict[str, Any]] = []  # noqa: RUF012 - Reflex copies defaults
    tab: str = "workflows"
    q: str = ""
    state: str = ""
    cursor: str = ""
    first_href: str = ""
    next_href: str = ""
    loaded: bool = False
    problem: str = ""

    @handler(Permission.WORKFLOWS_READ)
    @rx.event
    async def load(self) -> None:
        """Read what the URL describes."""
        query = self.router.url.query_parameters
        tab = chosen(query, "tab", TABS, TABS[0])
        if tab != self.tab:
            self.rows, self.loaded = [], False
        self.tab = tab
        self.q = str(query.get("q", ""))[:_TEXT_MAX]
        self.state = chosen(query, "state", RUN_STATES)
        self.cursor = str(query.get("cursor", ""))[:_TEXT_MAX]
        await self._read()

    @handler(Permission.WORKFLOWS_READ)
    @rx.event
    async def refresh(self) -> None:
        """Read the same again."""
        await self._read()

    @handler(Permission.WORKFLOWS_READ)
    @rx.event
    def go(self, name: str, value: str) -> Any:
        """Change one part of the view, by going to the URL that has it."""
        if name not in ("tab", "q", "state"):
            return None
        plain = "" if value in ("all", TABS[0]) else str(value)
        cleared = {"q": "", "state": ""} if name == "tab" else {}
        return rx.redirect(with_query(self.router.url, **(cleared | {"cursor": "", name: plain})))

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
        cursor = self.cursor or None
        try:
            if self.tab == "runs":
                found = await runs.list_runs(rt, actor, state=self.state or None, limit=_PAGE, cursor=cursor)
                rows, following = [run_row(view) for view in found.data], found.next_cursor
            else:
                page = await service.list_workflows(rt, actor, q=self.q or None, limit=_PAGE, cursor=cursor)
                rows, following = [workflow_row(view) for view in page.data], page.next_cursor
        except ProblemError as error:
            self.problem = error.detail
            return
        self.rows, self.problem, self.loaded = rows, "", True
        self.first_href = with_query(self.router.url, cursor="") if self.cursor else ""
        self.next_href = with_query(self.router.url, cursor=following) if following else ""
