"""The list of webhooks: filters from the URL, one page of rows, acts on those selected."""

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.core.actor import Actor, Permission
from novapulse.core.errors import ProblemError
from novapulse.core.runtime import Runtime, current
from novapulse.security.handlers import handler, handler_actor
from novapulse.ui import says
from novapulse.ui.listing import Selecting
from novapulse.webhooks import event_types, service, stats, tenants
from novapulse.webhooks.schemas import WebhookPatch
from novapulse.webhooks.screens.shown import webhook_row

_PAGE = 25
_TYPES_MAX = 1_000
STATUSES = ("active", "paused", "disabled")
HEALTHS = ("healthy", "degraded", "failing", "idle")
_DONE = {"active": "enabled", "paused": "paused", "delete": "deleted"}


class ListState(Selecting, rx.State):
    """What `/webhooks` shows."""

    filters: dict[str, str] = dict.fromkeys(("q", "status", "health", "event_type", "tenant"), "")
    types: list[str] = []  # noqa: RUF012 - to pick from
    tenants: list[str] = []  # noqa: RUF012

    @handler(Permission.WEBHOOKS_READ)
    @rx.event
    async def load(self) -> None:
        """Read the filters from the URL, then the page they describe."""
        self._of_url("q", "event_type", "tenant", status=STATUSES, health=HEALTHS)
        self.selected = []
        await self._read()
        await self._read_choices()

    @handler(Permission.WEBHOOKS_READ)
    @rx.event
    async def refresh(self) -> None:
        """Read the same page again."""
        await self._read()

    @handler(Permission.WEBHOOKS_READ)
    @rx.event
    def set_filter(self, name: str, value: str) -> Any:
        """Change a filter, by going to the URL that has it."""
        return self._filter(name, value)

    @handler(Permission.WEBHOOKS_READ)
    @rx.event
    def select(self, webhook_id: str, on: bool) -> None:
        """Mark or unmark a row."""
        marked = {*self.selected, webhook_id} if on else {*self.selected} - {webhook_id}
        self._keep(marked)

    @handler(Permission.WEBHOOKS_READ)
    @rx.event
    def select_all(self, on: bool) -> None:
        """Mark or unmark every row of the page."""
        self._keep({row["id"] for row in self.rows} if on else set())

    @handler(Permission.WEBHOOKS_WRITE)
    @rx.event
    async def act(self, what: str) -> Any:
        """Pause or enable what is selected; what cannot be done is told and stays selected."""
        return await self._act(what) if what in ("active", "paused") else None

    @handler(Permission.WEBHOOKS_WRITE, sudo=True)
    @rx.event
    async def delete(self) -> Any:
        """Delete what is selected."""
        return await self._act("delete")

    async def _act(self, what: str) -> Any:
        rt, actor = current(), await handler_actor(self)
        left: dict[str, str] = {}
        done = 0
        for webhook_id in self.selected:
            try:
                await _do(rt, actor, what, webhook_id)
                done += 1
            except ProblemError as error:
                left[webhook_id] = error.detail
        self.selected = list(left)
        await self._read()
        toasts = [says.success(f"{_counted(done)} {_DONE[what]}.")] if done else []
        if left:
            why = next(iter(left.values()))
            toasts.append(says.error(f"{_counted(len(left))} could not be {_DONE[what]}: {why}"))
        return toasts

    async def _read(self) -> None:
        rt, actor = current(), await handler_actor(self)
        try:
            page = await service.list_webhooks(rt, actor, **self._wanted(), limit=_PAGE, cursor=self.cursor or None)
            numbers = await stats.stats_of_many(rt, actor, [webhook.id for webhook in page.data])
        except ProblemError as error:
            self.problem = error.detail
            return
        self._show([webhook_row(webhook, numbers[webhook.id]) for webhook in page.data], page.next_cursor)
        self._keep(set(self.selected))

    async def _read_choices(self) -> None:
        rt, actor = current(), await handler_actor(self)
        catalogue = await event_types.list_event_types(rt, actor, limit=_TYPES_MAX)
        self.types = [view.name for view in catalogue.data]
        self.tenants = await tenants.list_tenants(rt, actor)


async def _do(rt: Runtime, actor: Actor, what: str, webhook_id: str) -> None:
    if what == "delete":
        await service.delete_webhook(rt, actor, webhook_id)
    else:
        await service.update_webhook(rt, actor, webhook_id, WebhookPatch.model_validate({"status": what}))


def _counted(number: int) -> str:
    return f"{number} webhook{'s' if number != 1 else ''}"
