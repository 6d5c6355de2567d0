"""The list of webhooks: filters from the URL, one page of rows, acts on those selected."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import reflex as rx

from novapulse.core.actor import Permission
from novapulse.core.errors import ProblemError
from novapulse.core.runtime import current
from novapulse.security.handlers import handler, handler_actor
from novapulse.webhooks import service, stats
from novapulse.webhooks.schemas import WebhookPatch
from novapulse.webhooks.screens.shown import webhook_row

_PAGE = 25
_FILTERS = {"status": ("active", "paused", "disabled"), "health": ("healthy", "degraded", "failing", "idle")}


class ListState(rx.State):
    """What `/webhooks` shows."""

    rows: list[dict[str, Any]] = []  # noqa: RUF012 - Reflex copies defaults
    next_cursor: str = ""
    cursor: str = ""
    q: str = ""
    status: str = ""
    health: str = ""
    selected: list[str] = []  # noqa: RUF012
    loaded: bool = False
    problem: str = ""

    @handler(Permission.WEBHOOKS_READ)
    @rx.event
    async def load(self) -> None:
        """Read the filters from the URL, then the page they describe."""
        query = self.router.url.query_parameters
        self.q = str(query.get("q", ""))[:200]
        self.status = _known("status", query.get("status"))
        self.health = _known("health", query.get("health"))
        self.cursor = str(query.get("cursor", ""))[:200]
        self.selected = []
        await self._read()

    @handler(Permission.WEBHOOKS_READ)
    @rx.event
    async def refresh(self) -> None:
        """Read the same page again."""
        await self._read()

    @handler(Permission.WEBHOOKS_READ)
    @rx.event
    def set_filter(self, name: str, value: str) -> Any:
        """Change a filter, by going to the URL that has it."""
        wanted = {"q": self.q, "status": self.status, "health": self.health}
        if name not in wanted:
            return None
        wanted[name] = "" if value == "all" else str(value)[:200]
        return rx.redirect("/webhooks?" + urlencode({key: text for key, text in wanted.items() if text}))

    @handler(Permission.WEBHOOKS_READ)
    @rx.event
    def search(self, form: dict[str, Any]) -> Any:
        """The text to look for."""
        return ListState.set_filter("q", str(form.get("q", "")))

    @handler(Permission.WEBHOOKS_READ)
    @rx.event
    def go_next(self) -> Any:
        """The next page."""
        query = {"q": self.q, "status": self.status, "health": self.health, "cursor": self.next_cursor}
        return rx.redirect("/webhooks?" + urlencode({key: text for key, text in query.items() if text}))

    @handler(Permission.WEBHOOKS_READ)
    @rx.event
    def select(self, webhook_id: str, on: bool) -> None:
        """Mark or unmark a row."""
        kept = [id_ for id_ in self.selected if id_ != webhook_id]
        self.selected = [*kept, webhook_id] if on else kept

    @handler(Permission.WEBHOOKS_WRITE)
    @rx.event
    async def act(self, what: str) -> Any:
        """Pause, enable or delete what is selected."""
        rt, actor = current(), await handler_actor(self)
        done = 0
        for webhook_id in self.selected:
            try:
                if what == "delete":
                    await service.delete_webhook(rt, actor, webhook_id)
                elif what in ("active", "paused"):
                    await service.update_webhook(rt, actor, webhook_id, WebhookPatch.model_validate({"status": what}))
                else:
                    return None
                done += 1
            except ProblemError as error:
                return rx.toast.error(error.detail)
        self.selected = []
        await self._read()
        word = {"delete": "deleted", "active": "enabled", "paused": "paused"}[what]
        return rx.toast.success(f"{done} webhook{'s' if done != 1 else ''} {word}.")

    async def _read(self) -> None:
        rt, actor = current(), await handler_actor(self)
        try:
            page = await service.list_webhooks(
                rt,
                actor,
                q=self.q or None,
                status=self.status or None,
                health=self.health or None,
                limit=_PAGE,
                cursor=self.cursor or None,
            )
            numbers = await stats.stats_of_many(rt, actor, [webhook.id for webhook in page.data])
        except ProblemError as error:
            self.problem = error.detail
            return
        self.problem = ""
        self.rows = [webhook_row(webhook, numbers[webhook.id]) for webhook in page.data]
        self.next_cursor = page.next_cursor or ""
        self.loaded = True


def _known(name: str, value: Any) -> str:
    return str(value) if value in _FILTERS[name] else ""
