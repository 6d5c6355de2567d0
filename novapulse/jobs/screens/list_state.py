"""The list of jobs: filters from the URL, one page of rows, and which of them are selected."""

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.core.actor import Permission
from novapulse.core.clock import now_ms
from novapulse.core.errors import ProblemError
from novapulse.core.runtime import current
from novapulse.jobs.schemas import JobFilter
from novapulse.jobs.screens import filters as filtering
from novapulse.jobs.screens.bulk_state import ACTS, BulkState, look
from novapulse.jobs.screens.shown import job_row
from novapulse.jobs.selecting import DELIVERY_TASK
from novapulse.jobs.service import list_jobs, list_tasks
from novapulse.security.handlers import handler, handler_actor
from novapulse.ui import says
from novapulse.ui.urls import with_query

_PAGE = 25


class JobsState(rx.State):
    """What `/jobs/list` shows."""

    rows: list[dict[str, Any]] = []  # noqa: RUF012 - Reflex copies defaults
    filters: dict[str, str] = dict.fromkeys(filtering.NAMES, "")
    tasks: list[str] = []  # noqa: RUF012 - to pick from
    cursor: str = ""
    first_href: str = ""  # '': this is the first page
    next_href: str = ""  # '': this is the last one
    searched_to: str = ""  # '': everything was looked at
    selected: list[str] = []  # noqa: RUF012
    all_match: bool = False  # not only what is on the page is meant
    behind: bool = False  # something changed while the list was frozen
    loaded: bool = False
    problem: str = ""

    @rx.var
    def filtered(self) -> bool:
        """Whether not all jobs are meant."""
        return any(self.filters.values())

    @rx.var
    def all_selected(self) -> bool:
        """Whether every row of the page is selected."""
        return len(self.selected) == len(self.rows) > 0

    @rx.var
    def runs(self) -> bool:
        """Whether a row is of a job that runs: it tells how far it is."""
        return any(row["state"] == "active" for row in self.rows)

    @rx.var
    def counted(self) -> bool:
        """Whether the numbers of a queue are those of the list: nothing but queue and state is asked for."""
        return not any(text for name, text in self.filters.items() if name not in ("queue", "state"))

    @handler(Permission.JOBS_READ)
    @rx.event
    async def load(self) -> None:
        """Read the filters from the URL, then the page they describe."""
        query = self.router.url.query_parameters
        self.filters = filtering.of_url(query)
        self.cursor = str(query.get("cursor", ""))[:200]
        self.selected, self.all_match = [], False
        await self._read()
        self.tasks = [*(view.name for view in list_tasks(await handler_actor(self))), DELIVERY_TASK]

    @handler(Permission.JOBS_READ)
    @rx.event
    async def refresh(self) -> None:
        """Something changed: read the same page again, unless rows are selected."""
        if self.selected:
            self.behind = True
            return
        await self._read()

    @handler(Permission.JOBS_READ)
    @rx.event
    def set_filter(self, name: str, value: str) -> Any:
        """Change a filter, by going to the URL that has it."""
        if name not in filtering.NAMES:
            return None
        return rx.redirect(with_query(self.router.url, cursor="", **{name: "" if value == "all" else str(value)}))

    @handler(Permission.JOBS_READ)
    @rx.event
    def select(self, ids: list[str], on: bool) -> None:
        """Mark or unmark rows."""
        given = {str(each) for each in ids}
        self._keep({*self.selected, *given} if on else {*self.selected} - given)

    @handler(Permission.JOBS_READ)
    @rx.event
    async def select_page(self, on: bool) -> None:
        """Mark or unmark every row of the page; with none marked the list goes on."""
        self._keep({row["id"] for row in self.rows} if on else set())
        if not self.selected:
            await self._read()

    @handler(Permission.JOBS_READ)
    @rx.event
    def select_matching(self) -> None:
        """Mean all that fit the filters, on whatever page."""
        self.all_match = self.filtered and self.all_selected

    @handler(Permission.JOBS_WRITE)
    @rx.event
    async def ask(self, act: str) -> Any:
        """Look at what an act would do to what is selected, before it is done."""
        if act not in ACTS or not self.selected:
            return None
        try:
            if self.all_match:
                wanted = filtering.for_bulk(self.filters, now_ms())
            else:
                wanted = JobFilter.model_validate({"ids": list(self.selected)})
            await look(await self.get_state(BulkState), current(), await handler_actor(self), act, wanted)
        except ProblemError as error:
            return says.error(error.detail)
        return None

    async def _read(self) -> None:
        rt, actor = current(), await handler_actor(self)
        try:
            page = await list_jobs(
                rt, actor, **filtering.for_list(self.filters, now_ms()), limit=_PAGE, cursor=self.cursor or None
            )
        except ProblemError as error:
            self.problem = error.detail
            return
        self.problem, self.behind = "", False
        self.rows = [job_row(job) for job in page.data]
        self._keep(set(self.selected))
        self.first_href = with_query(self.router.url, cursor="") if self.cursor else ""
        self.next_href = with_query(self.router.url, cursor=page.next_cursor) if page.next_cursor else ""
        self.searched_to = page.searched_back_to or ""
        self.loaded = True

    def _keep(self, marked: set[str]) -> None:
        """Select these, as far as they are on the page."""
        self.selected = [row["id"] for row in self.rows if row["id"] in marked]
        self.all_match = self.all_match and self.all_selected
