"""The list of jobs: filters from the URL, one page of rows, and which of them are selected."""

from __future__ import annotations

from functools import partial
from typing import Any

import reflex as rx

from novapulse.core.actor import Actor, Permission
from novapulse.core.clock import now_ms
from novapulse.core.errors import ProblemError
from novapulse.core.runtime import current
from novapulse.jobs.schemas import JobFilter
from novapulse.jobs.screens import filters as filtering
from novapulse.jobs.screens.bulk_state import ACTS, BulkState, look
from novapulse.jobs.screens.shown import job_row
from novapulse.jobs.selecting import DELIVERY_TASK
from novapulse.jobs.service import list_jobs, list_tasks
from novapulse.live.watching import Shown, Watching, show, this_socket
from novapulse.security.handlers import handler, handler_actor
from novapulse.ui import says
from novapulse.ui.listing import TEXT_MAX, Selecting
from novapulse.ui.urls import address

_PAGE = 25
_LIST = "list"  # what the page watches
PATH = "/jobs/list"


class JobsState(Selecting, rx.State):
    """What `/jobs/list` shows."""

    filters: dict[str, str] = dict.fromkeys(filtering.NAMES, "")
    tasks: list[str] = []  # noqa: RUF012 - to pick from
    searched_to: str = ""  # '': everything was looked at
    all_match: bool = False  # not only what is on the page is meant
    behind: bool = False  # something changed while the list was frozen

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
        self.cursor = str(query.get("cursor", ""))[:TEXT_MAX]
        self.selected, self.all_match = [], False
        await self._read()
        self.tasks = [*(view.name for view in list_tasks(await handler_actor(self))), DELIVERY_TASK]

    @handler(Permission.JOBS_READ)
    @rx.event
    async def refresh(self) -> None:
        """Read the same page again, unless rows are selected."""
        if not self.selected:
            await self._read()

    @handler(Permission.JOBS_READ)
    @rx.event
    def fall_behind(self) -> None:
        """Something changed while the list stands still."""
        self.behind = bool(self.selected)

    @handler(Permission.JOBS_READ)
    @rx.event
    def set_filter(self, name: str, value: str) -> Any:
        """Change a filter, by going to the URL that has it."""
        return self._filter(name, value)

    @handler(Permission.JOBS_READ)
    @rx.event
    async def select(self, ids: list[str], on: bool) -> None:
        """Mark or unmark rows."""
        await self._stand_still()
        given = {str(each) for each in ids}
        await self._mark({*self.selected, *given} if on else {*self.selected} - given)

    @handler(Permission.JOBS_READ)
    @rx.event
    async def select_page(self, on: bool) -> None:
        """Mark or unmark every row of the page; with none marked the list goes on."""
        await self._stand_still()
        await self._mark({row["id"] for row in self.rows} if on else set())

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

    async def _stand_still(self) -> None:
        """Have the list as its user sees it stay so. What was told to the page since it was read is not known here."""
        if self.selected:
            return
        watching, socket = current().part(Watching), this_socket()
        self.rows = watching.latest(socket, _LIST).get("rows", self.rows)
        await watching.leave(socket, what=_LIST)

    async def _read(self) -> None:
        asked = dict(self.filters), self.cursor  # not Reflex's own kind of one, which belongs to this event
        self.behind = False
        try:
            await show(self, await handler_actor(self), _LIST, asked, partial(_look, *asked))
        except ProblemError as error:
            self.problem = error.detail

    async def _mark(self, marked: set[str]) -> None:
        """Select these, as far as they are on the page; with none the list goes on."""
        self._keep(marked)
        self.all_match = self.all_match and self.all_selected
        if not self.selected:
            await self._read()


async def _look(filters: dict[str, str], cursor: str, actor: Actor) -> Shown:
    """A page of the list; on the first one, what is pinned stands on top of the others."""
    rt, wanted = current(), filtering.for_list(filters, now_ms())
    page = await list_jobs(rt, actor, **wanted, limit=_PAGE, cursor=cursor or None)
    pinned: dict[str, Any] = {**wanted, "pinned": True}
    top = [] if cursor or filters["pinned"] else (await list_jobs(rt, actor, **pinned)).data
    above = {job.id for job in top}
    rows = [job_row(job) for job in (*top, *(each for each in page.data if each.id not in above))]

    def href(to: str) -> str:
        return address(PATH, filters | {"cursor": to})

    shown = {
        "rows": rows,
        "first_href": href("") if cursor else "",
        "next_href": href(page.next_cursor) if page.next_cursor else "",
        "searched_to": page.searched_back_to or "",
        "problem": "",
        "loaded": True,
    }
    # A job that runs tells how far it is, and what can be taken back can be so for seconds.
    return Shown(shown, moves=any(row["state"] == "active" or row["undo_until"] for row in rows))
