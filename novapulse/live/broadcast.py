"""Telling every open dashboard, encoded once: what the sampler and the feed publish becomes one delta for one room."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import orjson
import reflex as rx
import structlog
from redis.exceptions import RedisError
from reflex.state import StateUpdate

from novapulse.core.clock import now_ms
from novapulse.core.runtime import Runtime
from novapulse.live import sampler
from novapulse.live.room import Room
from novapulse.live.shown import STATES, snapshot_vars
from novapulse.live.state import MAIL, SOME, WORKFLOWS, LiveState
from novapulse.live.watching import Watching
from novapulse.metrics.definitions import LIVE_LAG
from novapulse.security.handlers import NAMESPACE, ROOM
from novapulse.webhooks import feed

_EVERY_S = 0.25  # at most four broadcasts a second, however much happens
_ALL_EVERY_S = 5.0  # what has not changed is told this often: to who missed when it did
_CHANGES_MAX = 500
_FEED = 10  # happenings that the overview shows

log = structlog.get_logger(__name__)


class Broadcaster:
    """Listens for one web process and tells its sockets."""

    def __init__(self, rt: Runtime, app: rx.App) -> None:
        self._rt = rt
        self._app = app
        self._snapshot: dict[str, Any] | None = None
        self._feed: list[dict[str, Any]] = []
        self._changes: dict[str, int] = {}
        self._number = now_ms()  # no number of an earlier process comes again
        self._dirty = False
        self._told: dict[str, Any] = {}
        self._all_at = 0.0
        self._counts: dict[str, Any] = {}

    async def run(self) -> None:
        """As long as the web process lives."""
        watching = self._rt.part(Watching)
        self._rt.part(Room).server = watching.server = self._app.sio
        await asyncio.gather(self._listen(), self._tell(), watching.run())

    async def _listen(self) -> None:
        takers: dict[str, Callable[[Any], None]] = {sampler.CHANNEL: self._take_snapshot, feed.CHANNEL: self._take_feed}
        while True:
            try:
                async with self._rt.valkey.pubsub(ignore_subscribe_messages=True) as channel:
                    await channel.subscribe(*takers)
                    while True:
                        message = await channel.get_message(timeout=5)
                        if message is not None:
                            takers[message["channel"]](orjson.loads(message["data"]))
            except (RedisError, OSError) as error:
                log.warning("live_channel_away", error=str(error)[:200])
                await asyncio.sleep(0.5)

    def _take_snapshot(self, snapshot: dict[str, Any]) -> None:
        self._snapshot = snapshot
        self._dirty = True
        counts = {name: snapshot["totals"][name] for name in STATES}
        if counts != self._counts:
            self._counts = counts
            self._rt.part(Watching).stir()

    def _take_feed(self, message: dict[str, Any]) -> None:
        self._number += 1
        if message["kind"] == "workflow":
            self._take_workflows(message)
            return
        if message["kind"] == "mail":
            self._changes[MAIL] = self._number
            self._keep_changes()
            return
        for item in message["items"]:
            for webhook_id in (item["webhook_id"],) if "webhook_id" in item else item["webhook_ids"]:
                self._changes[webhook_id] = self._number
        if message["more"]:
            self._changes[SOME] = self._number
        if message["kind"] == "delivery":
            shown = [item | {"duration_ms": round(item["duration_ms"])} for item in reversed(message["items"])]
            self._feed = [*shown, *self._feed][:_FEED]
        self._changes["*"] = self._number
        self._keep_changes()

    def _take_workflows(self, message: dict[str, Any]) -> None:
        for item in message["items"]:
            self._changes |= dict.fromkeys(item["ids"], self._number)
        if message["more"]:
            self._changes[SOME] = self._number
        self._changes[WORKFLOWS] = self._number
        self._keep_changes()

    def _keep_changes(self) -> None:
        if len(self._changes) > _CHANGES_MAX:
            self._changes = dict(sorted(self._changes.items(), key=lambda pair: pair[1])[-_CHANGES_MAX:])
        self._dirty = True

    async def _tell(self) -> None:
        name = LiveState.get_full_name()
        while True:
            await asyncio.sleep(_EVERY_S)
            if not self._dirty or self._app.sio is None:
                continue
            self._dirty = False
            delta: dict[str, Any] = {"feed": self._feed, "changes": self._changes}
            looked_at = None
            if self._snapshot is not None:
                looked_at = datetime.fromisoformat(self._snapshot["at"]).timestamp()
                delta |= snapshot_vars(self._snapshot)
                self._snapshot = None
            suffixed = {f"{key}_rx_state_": value for key, value in self._news(delta).items()}
            try:
                await self._app.sio.emit("event", StateUpdate(delta={name: suffixed}), namespace=NAMESPACE, room=ROOM)
                if looked_at is not None:
                    LIVE_LAG.observe(max(0.0, time.time() - looked_at))
            except Exception as error:  # a broken socket must not silence the others
                log.warning("broadcast_failed", error=repr(error)[:200])

    def _news(self, delta: dict[str, Any]) -> dict[str, Any]:
        """What differs from what was told last; now and then all of it."""
        now = time.monotonic()
        if now >= self._all_at:
            self._all_at, self._told = now + _ALL_EVERY_S, {}
        news = {name: value for name, value in delta.items() if name not in self._told or self._told[name] != value}
        # The next message is compared with this one: a list that grows in place must not change it.
        self._told |= {name: dict(value) if name == "changes" else value for name, value in news.items()}
        return news
