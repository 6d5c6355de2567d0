"""The audit log as its page shows it: filters from the URL, one page of rows, the row that is open."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import orjson
import reflex as rx

from novapulse.core.actor import Permission
from novapulse.core.clock import now_ms, rfc3339
from novapulse.core.errors import ForbiddenError, ProblemError
from novapulse.core.runtime import current
from novapulse.security import audit_log
from novapulse.security.audit_log import AuditFilter, AuditRow
from novapulse.security.handlers import handler, handler_actor
from novapulse.security.screens.audit_words import SUBJECTS, names_target, page_of_target, phrase
from novapulse.ui import says
from novapulse.ui.urls import chosen, with_query

_PAGE = 50
_TEXT_MAX = 200
RESULTS = ("ok", "denied", "failed")
SPANS = {"1h": 3600, "24h": 86_400, "7d": 7 * 86_400, "30d": 30 * 86_400}
_FILTERS = ("q", "actor", "subject", "target", "result", "span")


class AuditState(rx.State):
    """What `/settings/audit` shows."""

    rows: list[dict[str, Any]] = []  # noqa: RUF012 - Reflex copies defaults
    filters: dict[str, str] = dict.fromkeys(_FILTERS, "")
    cursor: str = ""
    first_href: str = ""  # '': this is the first page
    next_href: str = ""  # '': this is the last one
    loaded: bool = False
    allowed: bool = True
    problem: str = ""
    open_seq: str = ""
    opened: dict[str, Any] = {}  # noqa: RUF012

    @rx.var
    def filtered(self) -> bool:
        """Whether not all rows are meant."""
        return any(self.filters.values())

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
        query = self.router.url.query_parameters
        typed = {name: str(query.get(name, ""))[:_TEXT_MAX] for name in ("q", "actor", "target")}
        self.filters = {
            **typed,
            "subject": chosen(query, "subject", SUBJECTS),
            "result": chosen(query, "result", RESULTS),
            "span": chosen(query, "span", SPANS),
        }
        self.cursor = str(query.get("cursor", ""))[:_TEXT_MAX]
        await self._read()
        await self._show(str(query.get("row", "")))

    @handler(Permission.AUDIT_READ)
    @rx.event
    async def refresh(self) -> None:
        """Read the same page again."""
        await self._read()

    @handler(Permission.AUDIT_READ)
    @rx.event
    def set_filter(self, name: str, value: str) -> Any:
        """Change a filter, by going to the URL that has it."""
        if name not in _FILTERS:
            return None
        text = "" if value == "all" else str(value)
        return rx.redirect(with_query(self.router.url, cursor="", row="", **{name: text}))

    @handler(Permission.AUDIT_READ)
    @rx.event
    async def open(self, seq: str) -> Any:
        """Open a row."""
        await self._show(str(seq))
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
        wanted = AuditFilter(
            q=self.filters["q"] or None,
            actor=self.filters["actor"] or None,
            action=f"{self.filters['subject']}." if self.filters["subject"] else None,
            target=self.filters["target"] or None,
            result=self.filters["result"] or None,  # pyright: ignore[reportArgumentType] - one of RESULTS
            since=_since_ms(self.filters["span"]),
        )
        self.problem, self.allowed = "", True
        self.first_href = with_query(self.router.url, cursor="", row="") if self.cursor else ""
        self.next_href = ""
        try:
            page = await audit_log.list_audit(
                current(), await handler_actor(self), wanted, limit=_PAGE, cursor=self.cursor or None
            )
        except ForbiddenError:
            self.rows, self.allowed = [], False
        except ProblemError as error:
            self.rows, self.problem = [], error.detail
        else:
            self.rows = [_shown(row) for row in page.data]
            older = page.next_cursor
            self.next_href = with_query(self.router.url, cursor=older, row="") if older else ""
        self.loaded = True

    async def _show(self, seq: str) -> None:
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
