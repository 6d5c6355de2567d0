"""The open delivery: its event, its attempts, and what may be done."""

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.core.actor import Actor, Permission
from novapulse.core.errors import NotFoundError, ProblemError
from novapulse.core.runtime import Runtime, current
from novapulse.security.handlers import handler, handler_actor
from novapulse.ui import says
from novapulse.ui.urls import with_query
from novapulse.webhooks import deliveries
from novapulse.webhooks.screens.shown import attempt_shown, curl, delivery_row, pretty

_ID_MAX = 64


class DeliveryState(rx.State):
    """What the drawer shows."""

    open_id: str = ""
    opened: dict[str, Any] = {}  # noqa: RUF012 - Reflex copies defaults
    attempts: list[dict[str, Any]] = []  # noqa: RUF012

    @handler(Permission.DELIVERIES_READ)
    @rx.event
    async def open(self, delivery_id: str) -> Any:
        """Open the drawer."""
        try:
            await show_delivery(self, current(), await handler_actor(self), str(delivery_id))
        except ProblemError as error:
            return says.error(error.detail)
        return rx.redirect(with_query(self.router.url, delivery=self.open_id))

    @handler(Permission.DELIVERIES_READ)
    @rx.event
    def close(self) -> Any:
        """Close the drawer."""
        self.open_id = ""
        return rx.redirect(with_query(self.router.url, delivery=""))

    @handler(Permission.DELIVERIES_WRITE)
    @rx.event
    async def retry(self) -> Any:
        """Send it now, once more."""
        rt, actor = current(), await handler_actor(self)
        try:
            await deliveries.retry_delivery(rt, actor, self.open_id)
            await show_delivery(self, rt, actor, self.open_id)
        except ProblemError as error:
            return says.error(error.detail)
        return says.success("On its way.")

    @handler(Permission.DELIVERIES_WRITE)
    @rx.event
    async def cancel(self) -> Any:
        """Make no further attempt."""
        rt, actor = current(), await handler_actor(self)
        try:
            await deliveries.cancel_delivery(rt, actor, self.open_id)
            await show_delivery(self, rt, actor, self.open_id)
        except ProblemError as error:
            return says.error(error.detail)
        return says.success("Cancelled: no further attempt is made.")


async def show_delivery(
    state: DeliveryState, rt: Runtime, actor: Actor, delivery_id: str, *, of: str | None = None
) -> None:
    """Read a delivery, `of` one webhook, for the drawer; an empty id closes it.

    Raises:
        NotFoundError: none of this id that the actor may see.
    """
    state.open_id = ""
    if not delivery_id:
        return
    detail = await deliveries.get_delivery(rt, actor, delivery_id[:_ID_MAX])
    if of not in (None, detail.webhook_id):
        raise NotFoundError("delivery of this webhook", delivery_id)
    last = detail.attempts[-1].request_headers if detail.attempts else {"content-type": "application/json"}
    state.opened = delivery_row(detail) | {
        "body": pretty(detail.body),
        "trace": detail.trace_id,
        "trace_href": rt.settings.trace_address(detail.trace_id),
        "curl": curl(detail.webhook_url, detail.body, last),
        "may_retry": detail.status in ("failed", "cancelled", "retrying", "delivered"),
        "may_cancel": detail.status in ("pending", "retrying"),
    }
    state.attempts = [attempt_shown(attempt) for attempt in reversed(detail.attempts)]
    state.open_id = detail.id
