"""What the overview adds to the live snapshot: the steps a newcomer has yet to take."""

from __future__ import annotations

import reflex as rx

from novapulse.core.actor import Permission
from novapulse.core.runtime import current
from novapulse.security.handlers import handler, handler_actor
from novapulse.webhooks.stats import overview


class OverviewState(rx.State):
    """The first-run checklist."""

    loaded: bool = False
    has_webhook: bool = True
    has_delivery: bool = True

    @handler(Permission.WEBHOOKS_READ)
    @rx.event
    async def load(self) -> None:
        """What has been done already."""
        seen = await overview(current(), await handler_actor(self))
        self.has_webhook, self.has_delivery, self.loaded = seen.has_webhook, seen.has_delivery, True
