"""One webhook: its numbers, its delivery log, the open delivery, and a test."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import orjson
import reflex as rx

from novapulse.core.actor import Permission
from novapulse.core.clock import now_ms
from novapulse.core.errors import NotFoundError, ProblemError
from novapulse.core.runtime import current
from novapulse.security.handlers import handler, handler_actor
from novapulse.webhooks import deliveries, event_types, service, stats, trial
from novapulse.webhooks.matching import check_event_type
from novapulse.webhooks.models import DeliveryStatus
from novapulse.webhooks.schemas import WebhookPatch
from novapulse.webhooks.screens.shown import (
    attempt_shown,
    curl,
    delivery_row,
    header_lines,
    milliseconds,
    percent,
    pretty,
)

_PAGE = 25
_WINDOWS = {"1h": 3600, "24h": 24 * 3600, "7d": 7 * 24 * 3600}
_SPANS = {"15m": 900, "1h": 3600, "24h": 24 * 3600, "7d": 7 * 24 * 3600}
_TABS = ("deliveries", "settings", "secret")
_EXAMPLE_MAX = 64 * 1024


class DetailState(rx.State):
    """What `/webhooks/[webhook_id]` shows."""

    webhook: dict[str, Any] = {}  # noqa: RUF012 - Reflex copies defaults
    numbers: dict[str, str] = {}  # noqa: RUF012
    series: list[dict[str, Any]] = []  # noqa: RUF012
    window: str = "24h"
    tab: str = "deliveries"
    rows: list[dict[str, Any]] = []  # noqa: RUF012
    next_cursor: str = ""
    cursor: str = ""
    status: str = ""
    event_type: str = ""
    span: str = ""
    following: bool = True
    problem: str = ""
    loaded: bool = False
    open_id: str = ""
    opened: dict[str, Any] = {}  # noqa: RUF012
    attempts: list[dict[str, Any]] = []  # noqa: RUF012
    typed_name: str = ""
    test_open: bool = False
    test_type: str = trial.DEFAULT_TYPE
    test_types: list[str] = []  # noqa: RUF012
    test_data: str = ""
    test_problem: str = ""
    test_attempt: dict[str, Any] = {}  # noqa: RUF012

    @handler(Permission.WEBHOOKS_READ)
    @rx.event
    async def load(self) -> Any:
        """Read what the URL describes."""
        query = self.router.url.query_parameters
        webhook_id = self._wanted_id()
        if webhook_id != self.webhook.get("id"):
            self.loaded, self.webhook, self.rows, self.series = False, {}, [], []
        self.status = str(query.get("status", "")) if query.get("status") in set(DeliveryStatus) else ""
        self.event_type = str(query.get("event_type", ""))[:128]
        self.span = str(query.get("span", "")) if query.get("span") in _SPANS else ""
        self.tab = str(query.get("tab", "")) if query.get("tab") in _TABS else "deliveries"
        self.window = str(query.get("window", "")) if query.get("window") in _WINDOWS else "24h"
        self.cursor = str(query.get("cursor", ""))[:200]
        self.open_id = str(query.get("delivery", ""))[:64]
        try:
            await self._read()
            await self._read_open()
        except NotFoundError as error:
            return [rx.toast.error(error.detail), rx.redirect("/webhooks")]
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
            await self._read_open()
        except ProblemError as error:
            self.problem = error.detail

    @handler(Permission.WEBHOOKS_READ)
    @rx.event
    def go(self, name: str, value: str) -> Any:
        """Change one part of the view, by going to the URL that has it."""
        wanted = self._query()
        if name not in wanted:
            return None
        wanted[name] = "" if value == "all" else str(value)[:200]
        if name != "cursor" and name != "delivery":
            wanted["cursor"] = ""
        query = urlencode({key: text for key, text in wanted.items() if text})
        return rx.redirect(f"/webhooks/{self.webhook.get('id', '')}" + (f"?{query}" if query else ""))

    @handler(Permission.WEBHOOKS_READ)
    @rx.event
    async def open_delivery(self, delivery_id: str) -> Any:
        """Open the drawer."""
        self.open_id = str(delivery_id)[:64]
        try:
            await self._read_open()
        except ProblemError as error:
            return rx.toast.error(error.detail)
        return DetailState.go("delivery", self.open_id)

    @handler(Permission.WEBHOOKS_READ)
    @rx.event
    def close_delivery(self) -> Any:
        """Close the drawer."""
        self.open_id, self.opened, self.attempts = "", {}, []
        return DetailState.go("delivery", "")

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
            return rx.toast.error(error.detail)
        return rx.toast.success("Paused: its deliveries wait." if status == "paused" else "Active again.")

    @handler(Permission.WEBHOOKS_WRITE)
    @rx.event
    def type_name(self, text: str) -> None:
        """The name typed to confirm."""
        self.typed_name = str(text)[:300]

    @handler(Permission.WEBHOOKS_WRITE)
    @rx.event
    async def delete(self) -> Any:
        """Delete this webhook, if its name was typed."""
        if self.typed_name != self.webhook.get("label"):
            return rx.toast.error("Type the webhook's name to delete it.")
        try:
            await service.delete_webhook(current(), await handler_actor(self), self._id())
        except ProblemError as error:
            return rx.toast.error(error.detail)
        self.typed_name = ""
        return [rx.toast.success("Deleted."), rx.redirect("/webhooks")]

    @handler(Permission.DELIVERIES_WRITE)
    @rx.event
    async def retry(self, delivery_id: str) -> Any:
        """Send a delivery now, once more."""
        try:
            await deliveries.retry_delivery(current(), await handler_actor(self), str(delivery_id)[:64])
        except ProblemError as error:
            return rx.toast.error(error.detail)
        return rx.toast.success("On its way.")

    @handler(Permission.DELIVERIES_WRITE)
    @rx.event
    async def cancel(self, delivery_id: str) -> Any:
        """Make no further attempt."""
        try:
            await deliveries.cancel_delivery(current(), await handler_actor(self), str(delivery_id)[:64])
            await self._read()
            await self._read_open()
        except ProblemError as error:
            return rx.toast.error(error.detail)
        return rx.toast.success("Cancelled.")

    @handler(Permission.WEBHOOKS_WRITE)
    @rx.event
    async def start_test(self, on: bool) -> None:
        """Open or close the test dialog."""
        self.test_open = bool(on)
        self.test_problem, self.test_attempt = "", {}
        if self.test_open:
            page = await event_types.list_event_types(current(), await handler_actor(self), limit=200, archived=False)
            self.test_types = list(dict.fromkeys([trial.DEFAULT_TYPE, *(view.name for view in page.data)]))
            await self._example(self.test_type)

    @handler(Permission.WEBHOOKS_WRITE)
    @rx.event
    async def pick_test_type(self, name: str) -> None:
        """Another event type, with its example."""
        self.test_type = str(name)[:128]
        await self._example(self.test_type)

    @handler(Permission.WEBHOOKS_WRITE)
    @rx.event
    def type_test_data(self, text: str) -> None:
        """The example, edited."""
        self.test_data = str(text)[:_EXAMPLE_MAX]

    @handler(Permission.WEBHOOKS_WRITE)
    @rx.event
    async def send_test(self) -> None:
        """Send the test and show its attempt."""
        self.test_problem, self.test_attempt = "", {}
        try:
            check_event_type(self.test_type)
            data = orjson.loads(self.test_data or "{}")
        except orjson.JSONDecodeError as error:
            self.test_problem = f"This is not JSON: {error.msg} at line {error.lineno}."
            return
        except ValueError as error:
            self.test_problem = str(error)
            return
        try:
            attempt = await trial.send_test(current(), await handler_actor(self), self._id(), self.test_type, data)
            self.test_attempt = attempt_shown(attempt)
            await self._read()
        except ProblemError as error:
            self.test_problem = error.detail

    def _id(self) -> str:
        return str(self.webhook.get("id", ""))

    def _wanted_id(self) -> str:
        parts = self.router.url.path.strip("/").split("/")
        return parts[1][:64] if len(parts) > 1 else ""

    def _query(self) -> dict[str, str]:
        return {
            "tab": "" if self.tab == "deliveries" else self.tab,
            "window": "" if self.window == "24h" else self.window,
            "status": self.status,
            "event_type": self.event_type,
            "span": self.span,
            "cursor": self.cursor,
            "delivery": self.open_id,
        }

    async def _example(self, name: str) -> None:
        try:
            known = await event_types.get_event_type(current(), await handler_actor(self), name)
            example = known.example
        except NotFoundError:
            example = None
        shown = trial.EXAMPLE if example is None else example
        self.test_data = orjson.dumps(shown, option=orjson.OPT_INDENT_2).decode()

    async def _read(self) -> None:
        rt, actor = current(), await handler_actor(self)
        webhook_id = self._wanted_id()
        view = await service.get_webhook(rt, actor, webhook_id)
        numbers = await stats.webhook_stats(rt, actor, webhook_id, _WINDOWS[self.window])
        page = await deliveries.list_deliveries(
            rt,
            actor,
            webhook_id=webhook_id,
            status=self.status or None,
            event_type=self.event_type or None,
            since=now_ms() - _SPANS[self.span] * 1000 if self.span else None,
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
        self.series = [
            {"at": p.at[11:16], "ok": p.attempts - p.failed_attempts, "failed": p.failed_attempts}
            for p in numbers.series
        ]
        self.rows = [delivery_row(delivery) for delivery in page.data]
        self.next_cursor = page.next_cursor or ""
        self.problem = ""
        self.loaded = True

    async def _read_open(self) -> None:
        if not self.open_id:
            self.opened, self.attempts = {}, []
            return
        detail = await deliveries.get_delivery(current(), await handler_actor(self), self.open_id)
        last = detail.attempts[-1].request_headers if detail.attempts else {"content-type": "application/json"}
        self.opened = delivery_row(detail) | {
            "body": pretty(detail.body),
            "curl": curl(detail.webhook_url, detail.body, last),
            "may_retry": detail.status in ("failed", "cancelled", "retrying", "delivered"),
            "may_cancel": detail.status in ("pending", "retrying"),
        }
        self.attempts = [attempt_shown(attempt) for attempt in reversed(detail.attempts)]
