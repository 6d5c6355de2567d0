"""What the overview adds to the live snapshot: the steps a newcomer has yet to take."""

from __future__ import annotations

import reflex as rx

from novapulse.core.actor import Permission
from novapulse.core.runtime import current
from novapulse.security.api_keys import list_api_keys
from novapulse.security.handlers import handler, handler_actor
from novapulse.webhooks.stats import overview


class OverviewState(rx.State):
    """The first-run checklist."""

    loaded: bool = False
    has_webhook: bool = True
    has_delivery: bool = True
    has_key: bool = True

    @handler(Permission.WEBHOOKS_READ)
    @rx.event
    async def load(self) -> None:
        """What has been done already."""
        rt, actor = current(), await handler_actor(self)
        seen = await overview(rt, actor)
        self.has_webhook, self.has_delivery = seen.has_webhook, seen.has_delivery
        # Only who may make keys is reminded of it.
        self.has_key = not actor.may(Permission.KEYS_WRITE) or bool((await list_api_keys(rt, actor, limit=1)).data)
        self.loaded = True
