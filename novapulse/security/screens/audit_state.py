"""The audit log as its page shows it: filters from the URL, one page of rows, the row that is open."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import orjson
import reflex as rx

from novapulse.core.actor import Permission
from novapulse.core.clock import now_ms, rfc3339
from novapulse.core.errors import ProblemError
from novapulse.core.runtime import current
from novapulse.security import audit_log
from novapulse.security.audit_log import AuditFilter, AuditRow
from novapulse.security.handlers import handler, handler_actor
from novapulse.security.screens.audit_words import SUBJECTS, names_target, page_of_target, phrase
from novapulse.ui import says
from novapulse.ui.listing import Listing
from novapulse.ui.urls import with_query

_PAGE = 50
RESULTS = ("ok", "denied", "failed")
SPANS = {"1h": 3600, "24h": 86_400, "7d": 7 * 86_400, "30d": 30 * 86_400}


class AuditState(Listing, rx.State):
    """What `/settings/audit` shows."""

    filters: dict[str, str] = dict.fromkeys(("q", "actor", "subject", "target", "result", "span"), "")
    allowed: bool = True
    open_seq: str = ""
    opened: dict[str, Any] = {}  # noqa: RUF012 - Reflex copies defaults

    @rx.var
    def export_query(self) -> str:
        """The filters as the export takes them."""
        wanted = {
            "q": self.filters["q"],
            "actor": self.filters["actor"],
            "action": self.filters["subject"] and f"{self.filters['subject']}.",
            "target": self.filters["target"],
            "result": self.filters["result"],
            "since": _since(self.filters["span"]),
        }
        return urlencode({name: text for name, text in wanted.items() if text})

    @handler(Permission.WEBHOOKS_READ)  # everybody, to be told who may; the service checks
    @rx.event
    async def load(self) -> None:
        """Read the filters from the URL, then the page they describe, and the row that is open."""
        query = self._of_url("q", "actor", "target", subject=SUBJECTS, result=RESULTS, span=SPANS)
        await self._read()
        await self._open(str(query.get("row", "")))

    @handler(Permission.AUDIT_READ)
    @rx.event
    async def refresh(self) -> None:
        """Read the same page again."""
        await self._read()

    @handler(Permission.AUDIT_READ)
    @rx.event
    def set_filter(self, name: str, value: str) -> Any:
        """Change a filter, by going to the URL that has it."""
        return self._filter(name, value, row="")

    @handler(Permission.AUDIT_READ)
    @rx.event
    async def open(self, seq: str) -> Any:
        """Open a row."""
        await self._open(str(seq))
        if not self.open_seq:
            return says.error("There is no such row in the audit log.")
        return rx.redirect(with_query(self.router.url, row=self.open_seq))

    @handler(Permission.AUDIT_READ)
    @rx.event
    def close(self) -> Any:
        """Close it."""
        self.open_seq = ""
        return rx.redirect(with_query(self.router.url, row=""))

    async def _read(self) -> None:
        filters = self._wanted()
        wanted = AuditFilter(
            **{name: filters[name] for name in ("q", "actor", "target", "result")},
            action=f"{filters['subject']}." if filters["subject"] else None,
            since=_since_ms(self.filters["span"]),
        )
        actor = await handler_actor(self)
        self.allowed = actor.may(Permission.AUDIT_READ)
        try:
            page = await audit_log.list_audit(current(), actor, wanted, limit=_PAGE, cursor=self.cursor or None)
        except ProblemError as error:
            self._show([], None)
            self.problem = error.detail if self.allowed else ""
        else:
            self._show([_shown(row) for row in page.data], page.next_cursor, row="")

    async def _open(self, seq: str) -> None:
        self.open_seq = ""
        if not self.allowed or not (seq.isascii() and seq.isdigit() and len(seq) < 19):
            return
        try:
            row = await audit_log.get_audit_row(current(), await handler_actor(self), int(seq))
        except ProblemError:
            return
        self.opened = _shown(row) | {
            "entry": row.id,
            "who_kind": row.actor.kind.replace("_", " "),
            "target_kind": row.target.kind.replace("_", " ") if row.target else "",
            "target_name": row.target.name if row.target else "",
            "request_id": row.request_id,
            "detail": orjson.dumps(row.detail, option=orjson.OPT_INDENT_2).decode() if row.detail else "",
            "head": f"{row.seq}:{row.seal}",
        }
        self.open_seq = str(row.seq)


def _since_ms(span: str) -> int | None:
    return now_ms() - SPANS[span] * 1000 if span else None


def _since(span: str) -> str:
    since = _since_ms(span)
    return "" if since is None else rfc3339(since)


def _shown(row: AuditRow) -> dict[str, Any]:
    target = row.target
    return {
        "seq": str(row.seq),
        "at": row.at,
        "who": row.actor.name,
        "who_id": row.actor.id,
        "action": row.action,
        "words": phrase(row.action),
        "target": target.name or target.id if target and names_target(row.action) else "",
        "target_id": target.id if target else "",
        "href": page_of_target(row.action, target.kind, target.id, row.detail) if target else "",
        "result": row.result,
        "ip": row.ip,
    }
