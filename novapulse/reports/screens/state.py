"""The list of reports and their schedules. Making and downloading is done by the browser, by the API itself."""

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.core.actor import Permission
from novapulse.core.clock import parse_rfc3339
from novapulse.core.errors import ProblemError
from novapulse.core.runtime import current
from novapulse.reports import schedules, service
from novapulse.reports.asked import READS, kinds_for
from novapulse.reports.content import TITLES, Kind
from novapulse.reports.ranges import WORDS, words
from novapulse.reports.schemas import ReportScheduleView, ReportView
from novapulse.security.handlers import handler, handler_actor
from novapulse.ui import says
from novapulse.ui.listing import Listing
from novapulse.webhooks.service import list_webhooks

_PAGE = 25
_SCHEDULES = 100
_WEBHOOKS = 200  # to pick from
KINDS: tuple[Kind, ...] = tuple(READS)


class ReportsState(Listing, rx.State):
    """What `/reports` shows."""

    filters: dict[str, str] = {"kind": ""}  # noqa: RUF012 - Reflex copies defaults
    regular: list[dict[str, Any]] = []  # noqa: RUF012
    kinds: list[str] = []  # noqa: RUF012 - that this person may read
    webhooks: list[dict[str, str]] = []  # noqa: RUF012
    may_make: bool = False
    may_mail: bool = False

    @handler(Permission.REPORTS_READ)
    @rx.event
    async def load(self) -> None:
        """What the URL describes."""
        self._of_url(kind=KINDS)
        rt, actor = current(), await handler_actor(self)
        self.kinds = list(kinds_for(actor))
        self.may_make, self.may_mail = actor.may(Permission.REPORTS_WRITE), actor.may(Permission.EMAILS_WRITE)
        await self._read()
        if self.may_make and actor.may(Permission.WEBHOOKS_READ):
            found = await list_webhooks(rt, actor, limit=_WEBHOOKS)
            self.webhooks = [{"id": hook.id, "name": hook.name or hook.url} for hook in found.data]

    @handler(Permission.REPORTS_READ)
    @rx.event
    async def refresh(self) -> None:
        """Read the same page again."""
        await self._read()

    @handler(Permission.REPORTS_READ)
    @rx.event
    def set_filter(self, name: str, value: str) -> Any:
        """Change a filter, by going to the URL that has it."""
        return self._filter(name, value)

    @handler(Permission.REPORTS_WRITE)
    @rx.event
    async def delete(self, report_id: str) -> Any:
        """Delete a report, or call it off."""
        try:
            await service.delete_report(current(), await handler_actor(self), str(report_id)[:64])
        except ProblemError as error:
            return says.error(error.detail)
        await self._read()
        return says.success("Deleted.")

    @handler(Permission.REPORTS_WRITE)
    @rx.event
    async def run_now(self, schedule_id: str) -> Any:
        """Have the report of a schedule made now."""
        try:
            await schedules.run_schedule(current(), await handler_actor(self), str(schedule_id)[:64])
        except ProblemError as error:
            return says.error(error.detail)
        await self._read()
        return says.success("It is being made.")

    @handler(Permission.REPORTS_WRITE)
    @rx.event
    async def unschedule(self, schedule_id: str) -> Any:
        """Make no further reports by a schedule."""
        try:
            await schedules.delete_schedule(current(), await handler_actor(self), str(schedule_id)[:64])
        except ProblemError as error:
            return says.error(error.detail)
        await self._read()
        return says.success("The schedule is deleted. Its reports stay.")

    async def _read(self) -> None:
        rt, actor = current(), await handler_actor(self)
        try:
            page = await service.list_reports(rt, actor, **self._wanted(), limit=_PAGE, cursor=self.cursor or None)
            regular = await schedules.list_schedules(rt, actor, limit=_SCHEDULES)
        except ProblemError as error:
            self.problem = error.detail
            return
        self._show([_row(view) for view in page.data], page.next_cursor)
        self.regular = [_regular(view) for view in regular.data]


def _row(view: ReportView) -> dict[str, Any]:
    return {
        "id": view.id,
        "kind": view.kind,
        "title": TITLES[view.kind],
        "range": words(parse_rfc3339(view.params["since"]), parse_rfc3339(view.params["until"])),
        "about": view.params["tenant"] or "",
        "webhook": view.params["webhook_id"] or "",
        "format": view.format.upper(),
        "status": view.status,
        "percent": round((view.progress or 0.0) * 100),
        "progress": view.progress_text or "",
        "error": view.error or "",
        "rows": "" if view.rows is None else f"{view.rows:,} row{'' if view.rows == 1 else 's'}",
        "size": "" if view.bytes is None else _size(view.bytes),
        "by": view.created_by,
        "created": view.created_at,
        "expires": view.expires_at or "",
        "mailed": ", ".join(view.mail_to),
        "job": view.job_id,
    }


def _regular(view: ReportScheduleView) -> dict[str, Any]:
    return {
        "id": view.id,
        "name": view.name,
        "title": TITLES[view.kind],
        "range": WORDS[view.range][0].lower() + WORDS[view.range][1:],
        "format": view.format.upper(),
        "when": view.explanation,
        "timezone": view.timezone,
        "next": view.next_run_at or "",
        "mailed": ", ".join(view.mail_to),
        "enabled": view.enabled,
        "error": view.last_error or "",
    }


def _size(count: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"
