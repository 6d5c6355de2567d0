"""What just happened, told to whoever watches: a Valkey channel that the web processes broadcast.

Losing a message loses nothing but a moment's freshness of a screen, so errors are swallowed here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from redis.exceptions import RedisError

from novapulse.core.clock import rfc3339
from novapulse.core.runtime import Runtime

CHANNEL = "np:feed"
_ITEMS_MAX = 50  # per message: a screen shows no more


async def publish_events(rt: Runtime, events: Sequence[tuple[str, str, int, int]]) -> None:
    """Tell of accepted events: (id, type, number of deliveries, accepted at in ms)."""
    items = [
        {"event_id": id_, "type": type_, "deliveries": deliveries, "at": rfc3339(at)}
        for id_, type_, deliveries, at in events[:_ITEMS_MAX]
    ]
    await _publish(rt, "event", items, len(events) - len(items))


async def publish_deliveries(rt: Runtime, items: Sequence[dict[str, Any]]) -> None:
    """Tell of recorded attempts, in the shape the screens show."""
    await _publish(rt, "delivery", items[:_ITEMS_MAX], max(0, len(items) - _ITEMS_MAX))


async def _publish(rt: Runtime, kind: str, items: Sequence[dict[str, Any]], more: int) -> None:
    if not items:
        return
    try:
        await rt.valkey.publish(CHANNEL, orjson.dumps({"kind": kind, "items": items, "more": more}))
    except (RedisError, OSError):
        return
