"""What every dashboard shows, sent to all by one broadcast. No handler of a page writes here but the first load."""

from __future__ import annotations

from typing import Any

import orjson
import reflex as rx

from novapulse.core.actor import Permission
from novapulse.core.runtime import current
from novapulse.live.sampler import LAST
from novapulse.security.handlers import handler

_FEED_MAX = 30


class LiveState(rx.State):
    """The latest snapshot and the latest happenings."""

    at: str = ""
    snapshot: dict[str, Any] = {}  # noqa: RUF012 - Reflex copies defaults
    feed: list[dict[str, Any]] = []  # noqa: RUF012
    changes: dict[str, int] = {}  # noqa: RUF012 - webhook id -> number of the broadcast that last told of it

    @handler(Permission.WEBHOOKS_READ)
    @rx.event
    async def load(self) -> None:
        """The first snapshot, for a page that has just opened."""
        found = await current().valkey.get(LAST)
        if found:
            self.snapshot = orjson.loads(found)
            self.at = self.snapshot["at"]


def live_delta(snapshot: dict[str, Any] | None, feed: list[dict[str, Any]], changes: dict[str, int]) -> dict[str, Any]:
    """What the broadcast sends: only what changed, under the names the browser knows."""
    delta: dict[str, Any] = {}
    if snapshot is not None:
        delta |= {"at": snapshot["at"], "snapshot": snapshot}
    if feed:
        delta |= {"feed": feed[:_FEED_MAX], "changes": changes}
    return delta
