"""Mail as its page shows it: filters from the URL, one page of messages, the message that is open, a trial."""

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.core.actor import Permission
from novapulse.core.errors import ProblemError
from novapulse.core.runtime import current
from novapulse.mail import listing, sending
from novapulse.mail.schemas import EmailDetail, EmailView, MailServerView, check_address
from novapulse.security.handlers import handler, handler_actor
from novapulse.ui import says
from novapulse.ui.listing import Listing
from novapulse.ui.urls import with_query

_PAGE = 50
STATUSES = ("pending", "sending", "sent", "failed", "cancelled", "kept")
_TLS = {
    "at_once": "TLS from the start",
    "required": "STARTTLS required",
    "if_offered": "STARTTLS if offered",
    "never": "not encrypted",
}
_KINDS = {"message": "", "test": "Trial", "api_key_created": "API key created"}  # pragma: allowlist secret


class MailState(Listing, rx.State):
    """What `/mail` shows."""

    filters: dict[str, str] = dict.fromkeys(("q", "status"), "")
    allowed: bool = True
    server: dict[str, Any] = {}  # noqa: RUF012 - Reflex copies defaults
    open_id: str = ""
    opened: dict[str, Any] = {}  # noqa: RUF012
    part: str = "text"

    trial_open: bool = False
    trial_to: str = ""
    trial_problem: str = ""
    trial_result: dict[str, Any] = {}  # noqa: RUF012

    @handler(Permission.WEBHOOKS_READ)  # everybody, to be told who may; the service checks
    @rx.event
    async def load(self) -> None:
        """Read the filters from the URL, then the page they describe, and the message that is open."""
        query = self._of_url("q", status=STATUSES)
        await self._read()
        await self._open(str(query.get("email", "")))

    @handler(Permission.EMAILS_READ)
    @rx.event
    async def refresh(self) -> None:
        """Read the same page, and the message that is open, again."""
        await self._read_again()

    @handler(Permission.EMAILS_READ)
    @rx.event
    def set_filter(self, name: str, value: str) -> Any:
        """Change a filter, by going to the URL that has it."""
        return self._filter(name, value, email="")

    @handler(Permission.EMAILS_READ)
    @rx.event
    async def open(self, email_id: str) -> Any:
        """Open a message."""
        await self._open(str(email_id))
        if not self.open_id:
            return says.error("There is no such message.")
        return rx.redirect(with_query(self.router.url, email=self.open_id))

    @handler(Permission.EMAILS_READ)
    @rx.event
    def close(self) -> Any:
        """Close it."""
        self.open_id = ""
        return rx.redirect(with_query(self.router.url, email=""))

    @handler(Permission.EMAILS_READ)
    @rx.event
    def choose_part(self, part: str) -> None:
        """Look at the text, the HTML or the headers."""
        if part in ("text", "html", "headers"):
            self.part = part

    @handler(Permission.EMAILS_WRITE)
    @rx.event
    async def retry(self) -> Any:
        """Send the open message again."""
        try:
            await sending.retry_email(current(), await handler_actor(self), self.open_id)
        except ProblemError as error:
            return says.error(error.detail)
        await self._read_again()
        return says.success("It is sent again, to those who were not sent it.")

    @handler(Permission.EMAILS_WRITE)
    @rx.event
    def show_trial(self, on: bool) -> None:
        """Open or close the trial."""
        self.trial_open = bool(on)
        self.trial_problem, self.trial_result = "", {}

    @handler(Permission.EMAILS_WRITE)
    @rx.event
    def write_trial(self, to: str) -> None:
        """Where it goes."""
        self.trial_to = str(to)[:254]

    @handler(Permission.EMAILS_WRITE)
    @rx.event(background=True)
    async def send_trial(self) -> None:
        """Send a trial message and show what the server said."""
        async with self:
            self.trial_problem, self.trial_result = "", {}
            to = self.trial_to.strip()
            try:
                check_address(to)
            except ValueError as error:
                self.trial_problem = str(error).capitalize() + "."
                return
        try:
            tried = await sending.try_server(current(), await handler_actor(), to)
        except ProblemError as error:
            async with self:
                self.trial_problem = error.detail
            return
        async with self:
            self.trial_result = {
                "status": "sent" if tried.ok else "failed",
                "words": tried.words or "It said nothing.",
                "how": f"{'encrypted' if tried.encrypted else 'not encrypted'}, {tried.duration_ms:,} ms",
            }

    async def _read_again(self) -> None:
        await self._read()
        if self.open_id:
            await self._open(self.open_id)

    async def _read(self) -> None:
        rt, actor = current(), await handler_actor(self)
        self.allowed = actor.may(Permission.EMAILS_READ)
        try:
            self.server = _server(sending.mail_server(rt, actor))
            page = await listing.list_emails(rt, actor, **self._wanted(), limit=_PAGE, cursor=self.cursor or None)
        except ProblemError as error:
            self._show([], None)
            self.problem = error.detail if self.allowed else ""
        else:
            self._show([_row(view) for view in page.data], page.next_cursor, email="")

    async def _open(self, email_id: str) -> None:
        before, self.open_id = self.open_id, ""
        if not self.allowed or not email_id.startswith("eml_") or len(email_id) > 64:
            return
        actor = await handler_actor(self)
        try:
            detail = await listing.get_email(current(), actor, email_id)
        except ProblemError:
            return
        self.opened = _detail(detail, may_write=actor.may(Permission.EMAILS_WRITE))
        self.open_id = detail.id
        if before != detail.id:
            self.part = "html" if detail.html and not detail.text else "text"


def _row(view: EmailView) -> dict[str, Any]:
    more = len(view.to) - 1
    return {
        "id": view.id,
        "status": view.status,
        "to": view.to[0] + (f" and {more} more" if more else ""),
        "subject": view.subject,
        "kind": kind_in_words(view.kind),
        "at": view.created_at,
        "error": "" if view.status == "kept" else view.error or "",  # the page says above why it is kept
        "next": view.next_attempt_at or "" if view.attempts else "",
        "files": view.attachments,
    }


def kind_in_words(kind: str) -> str:
    """What a message tells, for people: nothing for one that somebody asked for."""
    return _KINDS.get(kind, kind.replace("_", " ").capitalize())


def _detail(detail: EmailDetail, *, may_write: bool) -> dict[str, Any]:
    by_hand = detail.status == "kept" and detail.content == "private"
    again = detail.status in ("failed", "cancelled", "kept") and detail.content == "shown"
    return _row(detail) | {
        "content": detail.content,
        "text": detail.text or "",
        "html_src": f"/api/v1/emails/{detail.id}/html" if detail.html else "",
        "headers": "\n".join(f"{name}: {value}" for name, value in detail.headers),
        "recipients": [each.model_dump() for each in detail.recipients],
        "failures": [
            {"number": str(each.number), "at": each.started_at, "error": each.error, "worker": each.worker}
            for each in detail.failures
        ],
        "file_list": [
            {
                "name": each.name,
                "about": f"{each.media_type}, {_size(each.size)}",
                "href": f"/api/v1/emails/{detail.id}/attachments/{each.number}" if detail.content == "shown" else "",
            }
            for each in detail.files
        ],
        "may_retry": may_write and again,
        "template": detail.template or "",
        "by": detail.created_by,
        "finished": detail.finished_at or "",
        "attempts": str(detail.attempts),
        "command": f"novapulse mail show {detail.id}" if by_hand else "",
        "job": detail.job_id or "",
    }


def _server(view: MailServerView) -> dict[str, Any]:
    limits = "; ".join(f"{name}: {rates}" for name, rates in view.domain_limits.items())
    return {
        "set": view.set,
        "address": f"{view.host}:{view.port}" if view.set else "",
        "tls": _TLS.get(view.tls or "", ""),
        "user": view.user or "",
        "sender": view.sender,
        "limits": limits,
    }


def _size(n: int) -> str:
    return f"{n} B" if n < 1000 else f"{n / 1000:.1f} kB" if n < 1_000_000 else f"{n / 1_000_000:.1f} MB"
