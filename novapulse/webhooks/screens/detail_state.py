"""One webhook: its numbers and its delivery log."""

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.core.actor import Permission
from novapulse.core.clock import now_ms
from novapulse.core.errors import NotFoundError, ProblemError
from novapulse.core.runtime import current
from novapulse.security.handlers import handler, handler_actor
from novapulse.ui import says
from novapulse.ui.urls import chosen, with_query
from novapulse.webhooks import deliveries, event_types, service, stats
from novapulse.webhooks.matching import matches
from novapulse.webhooks.models import DeliveryStatus
from novapulse.webhooks.schemas import WebhookPatch
from novapulse.webhooks.screens.chart_state import DEFAULT_SPAN, SPANS, ChartState, show_attempts
from novapulse.webhooks.screens.delivery_state import DeliveryState, show_delivery
from novapulse.webhooks.screens.shown import delivery_row, header_lines, milliseconds, percent
from novapulse.webhooks.screens.test_state import TestState

_PAGE = 25
_TYPES_MAX = 200
WINDOWS = {"1h": 3600, "24h": 24 * 3600, "7d": 7 * 24 * 3600}
DEFAULT_WINDOW = "24h"
AGES = {"15m": 900, "1h": 3600, "24h": 24 * 3600, "7d": 7 * 24 * 3600}
TABS = ("deliveries", "time", "settings", "secret")
_PARAMETERS = ("tab", "window", "status", "event_type", "span", "cursor", "over")


class DetailState(rx.State):
    """What `/webhooks/[webhook_id]` shows."""

    webhook: dict[str, Any] = {}  # noqa: RUF012 - Reflex copies defaults
    numbers: dict[str, str] = {}  # noqa: RUF012
    window: str = "24h"
    tab: str = "deliveries"
    rows: list[dict[str, Any]] = []  # noqa: RUF012
    next_cursor: str = ""
    cursor: str = ""
    status: str = ""
    event_type: str = ""
    types: list[str] = []  # noqa: RUF012 - of the catalogue, to pick from
    span: str = ""
    following: bool = True
    problem: str = ""
    loaded: bool = False
    typed_name: str = ""

    @handler(Permission.WEBHOOKS_READ)
    @rx.event
    async def load(self) -> Any:
        """Read what the URL describes."""
        query = self.router.url.query_parameters
        webhook_id = self._wanted_id()
        if webhook_id != self.webhook.get("id"):
            self.loaded, self.webhook, self.rows = False, {}, []
            (await self.get_state(TestState)).shown = False
        self.status = chosen(query, "status", set(DeliveryStatus))
        self.event_type = str(query.get("event_type", ""))[:128]
        self.span = chosen(query, "span", AGES)
        self.tab = chosen(query, "tab", TABS, TABS[0])
        self.window = chosen(query, "window", WINDOWS, DEFAULT_WINDOW)
        self.cursor = str(query.get("cursor", ""))[:200]
        try:
            await self._read()
        except NotFoundError as error:
            return [says.error(error.detail), rx.redirect("/webhooks")]
        except ProblemError as error:
            self.problem = error.detail
            return None
        try:
            await self._read_types()
            await self._read_parts()
        except ProblemError as error:
            self.problem = error.detail
        return None

    @handler(Permission.WEBHOOKS_READ)
    @rx.event
    async def refresh(self) -> None:
        """Something happened to this webhook: read again, unless the reader has stopped the log."""
        if not self.following and self.loaded:
            return
        try:
            await self._read()
            await self._read_parts()
        except ProblemError as error:
            self.problem = error.detail

    @handler(Permission.WEBHOOKS_READ)
    @rx.event
    def go(self, name: str, value: str) -> Any:
        """Change one part of the view, by going to the URL that has it."""
        if name not in _PARAMETERS:
            return None
        changes = {name: "" if value in ("all", TABS[0]) else str(value)}
        return rx.redirect(with_query(self.router.url, **({"cursor": ""} | changes)))

    @handler(Permission.WEBHOOKS_READ)
    @rx.event
    def filter_type(self, form: dict[str, Any]) -> Any:
        """Show the deliveries of one event type only."""
        return DetailState.go("event_type", str(form.get("event_type", "")).strip())

    @handler(Permission.WEBHOOKS_READ)
    @rx.event
    async def follow(self, on: bool) -> None:
        """Go on with the live log, or hold it still."""
        self.following = bool(on)
        if self.following:
            await self._read()

    @handler(Permission.WEBHOOKS_WRITE)
    @rx.event
    async def set_status(self, status: str) -> Any:
        """Pause or resume."""
        if status not in ("active", "paused"):
            return None
        try:
            await service.update_webhook(
                current(), await handler_actor(self), self._id(), WebhookPatch.model_validate({"status": status})
            )
            await self._read()
        except ProblemError as error:
            return says.error(error.detail)
        return says.success("Paused: its deliveries wait." if status == "paused" else "Active again.")

    @handler(Permission.WEBHOOKS_WRITE)
    @rx.event
    def type_name(self, text: str) -> None:
        """The name typed to confirm."""
        self.typed_name = str(text)[:300]

    @handler(Permission.WEBHOOKS_WRITE, sudo=True)
    @rx.event
    async def delete(self, typed: str) -> Any:
        """Delete this webhook, if this is its name.

        It comes with the event, which may be sent again after its user has shown who they are: the dialog in which it
        was typed is closed then.
        """
        if typed != self.webhook.get("label"):
            return says.error("Type the webhook's name to delete it.")
        try:
            await service.delete_webhook(current(), await handler_actor(self), self._id())
        except ProblemError as error:
            return says.error(error.detail)
        self.typed_name = ""
        return [says.success("Deleted."), rx.redirect("/webhooks")]

    def _id(self) -> str:
        return str(self.webhook.get("id", ""))

    def _wanted_id(self) -> str:
        parts = self.router.url.path.strip("/").split("/")
        return parts[1][:64] if len(parts) > 1 else ""

    async def _read(self) -> None:
        rt, actor = current(), await handler_actor(self)
        webhook_id = self._wanted_id()
        view = await service.get_webhook(rt, actor, webhook_id)
        numbers = await stats.webhook_stats(rt, actor, webhook_id, WINDOWS[self.window])
        page = await deliveries.list_deliveries(
            rt,
            actor,
            webhook_id=webhook_id,
            status=self.status or None,
            event_type=self.event_type or None,
            since=now_ms() - AGES[self.span] * 1000 if self.span else None,
            limit=_PAGE,
            cursor=self.cursor or None,
        )
        self.webhook = {
            "id": view.id,
            "label": view.name or view.url,
            "url": view.url,
            "description": view.description,
            "status": view.status,
            "health": view.health,
            "reason": view.disabled_reason or "",
            "tenant": view.tenant or "–",
            "event_types": ", ".join(view.event_types),
            "headers": header_lines(view.headers) or "–",
            "timeout": f"{view.timeout_s:g} s",
            "rate": "no limit" if view.rate_limit is None else f"{view.rate_limit:g} per second",
            "schedule": ", ".join(f"{delay:g}" for delay in view.retry.schedule_s) + " s",
            "ordered": "one after the other" if view.ordered else "as fast as possible",
            "demo": view.demo,
        }
        self.numbers = {
            "delivered": f"{numbers.delivered:,}",
            "failed": f"{numbers.failed:,}",
            "rate": percent(numbers.success_rate),
            "p50": milliseconds(numbers.p50_ms),
            "p95": milliseconds(numbers.p95_ms),
            "p99": milliseconds(numbers.p99_ms),
            "open": f"{sum(numbers.open.values()):,}",
        }
        self.rows = [delivery_row(delivery) for delivery in page.data]
        self.next_cursor = page.next_cursor or ""
        self.problem = ""
        self.loaded = True

    async def _read_types(self) -> None:
        page = await event_types.list_event_types(current(), await handler_actor(self), limit=_TYPES_MAX)
        patterns = self.webhook["event_types"].split(", ")
        self.types = [view.name for view in page.data if any(matches(pattern, view.name) for pattern in patterns)]

    async def _read_parts(self) -> None:
        """What other states show on this page: the chart, and the open delivery."""
        rt, actor, query = current(), await handler_actor(self), self.router.url.query_parameters
        if self.tab == "time":
            over = chosen(query, "over", SPANS, DEFAULT_SPAN)
            await show_attempts(await self.get_state(ChartState), rt, actor, self._wanted_id(), over)
        drawer, delivery_id = await self.get_state(DeliveryState), str(query.get("delivery", ""))
        await show_delivery(drawer, rt, actor, delivery_id, of=self._wanted_id())
