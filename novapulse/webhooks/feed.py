"""What just happened, told to whoever watches: a Valkey channel that the web processes broadcast.

Telling never waits and never fails: losing a message loses a moment's freshness of a screen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar, get_args

import orjson
from redis.exceptions import RedisError

from novapulse.core.runtime import Runtime

CHANNEL = "{np}:feed"
_ITEMS_MAX = 50  # per message: a screen shows no more

Kind = Literal["event", "delivery", "webhook", "workflow", "mail"]
F = TypeVar("F")


class Feed:
    """The teller of one process. Made by `Runtime.part`."""

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt
        kinds = get_args(Kind)
        self._items: dict[Kind, list[dict[str, Any]]] = {kind: [] for kind in kinds}
        self._more: dict[Kind, int] = dict.fromkeys(kinds, 0)
        self._telling: asyncio.Task[None] | None = None

    def tell(self, kind: Kind, facts: Sequence[F], item: Callable[[F], dict[str, Any]]) -> None:
        """Have these published with the next message, each as `item` writes it; of many, the latest."""
        waiting = self._items[kind]
        latest = facts[-_ITEMS_MAX:]
        self._more[kind] += len(facts) - len(latest)
        waiting += map(item, latest)
        if len(waiting) > _ITEMS_MAX:
            self._more[kind] += len(waiting) - _ITEMS_MAX
            del waiting[:-_ITEMS_MAX]
        if waiting and (self._telling is None or self._telling.done()):
            self._telling = asyncio.create_task(self._publish())

    async def _publish(self) -> None:
        while any(self._items.values()):
            for kind in self._items:
                items, self._items[kind] = self._items[kind], []
                more, self._more[kind] = self._more[kind], 0
                if not items:
                    continue
                try:
                    await self._rt.valkey.publish(CHANNEL, orjson.dumps({"kind": kind, "items": items, "more": more}))
                except (RedisError, OSError):
                    continue
            # What happens within a tenth of a second is one message.
            await asyncio.sleep(0.1)


def tell_changed(rt: Runtime, webhook_id: str) -> None:
    """Somebody changed this webhook, or what is owed to it."""
    rt.part(Feed).tell("webhook", [webhook_id], lambda id_: {"webhook_id": id_})
