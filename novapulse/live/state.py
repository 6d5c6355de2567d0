"""What every dashboard shows, sent to all by one broadcast. A page only loads it once, when it opens."""

from __future__ import annotations

from typing import Any

import orjson
import reflex as rx

from novapulse.core.actor import Permission
from novapulse.core.runtime import current
from novapulse.live.room import Room
from novapulse.live.sampler import LAST
from novapulse.live.shown import snapshot_vars
from novapulse.live.watching import Watching, this_socket
from novapulse.security.handlers import handler, handler_actor

SOME = "?"  # too many changed at once to name all
WORKFLOWS = "workflows"  # any workflow, or a run of any
MAIL = "mail"  # any message or template


class LiveState(rx.State):
    """The latest snapshot and the latest happenings; and what who looks may do, which is told to nobody else."""

    at: str = ""
    per_s: float = 0.0
    rate_line: str = ""  # deliveries per second in the last minute, as the path of an SVG (`shown.line`)
    queues: list[dict[str, Any]] = []  # noqa: RUF012 - Reflex copies defaults; see `shown` for what is in it
    totals: dict[str, str] = {}  # noqa: RUF012
    workers: list[dict[str, Any]] = []  # noqa: RUF012
    workers_known: bool = True  # whether they could be asked for
    meter: dict[str, Any] = {}  # noqa: RUF012 - of conservation
    # Lists are there from the start: a page that comes back to another process still shows what counts them.
    overview: dict[str, Any] = {"failing_webhooks": [], "latest_failures": []}  # noqa: RUF012
    feed: list[dict[str, Any]] = []  # noqa: RUF012
    # Id of a webhook, workflow or run, "*" for any webhook, or a name above -> number of the last message about it.
    changes: dict[str, int] = {}  # noqa: RUF012

    audit_seq: int = 0  # of the newest row of the audit log
    report_changes: int = 0  # grows when something about a report changes
    resumed: int = 0  # how often live changes were paused and had again
    may: list[str] = []  # noqa: RUF012 - permissions, for what the frame of a page offers

    @handler(Permission.WEBHOOKS_READ)
    @rx.event
    async def load(self) -> None:
        """The first snapshot, for a page that has just opened."""
        self.may = sorted((await handler_actor(self)).permissions)
        await current().part(Watching).leave(this_socket(), stay_at=self.router.url.path)
        await self._read()

    @handler(Permission.WEBHOOKS_READ)
    @rx.event
    async def pause(self, on: bool) -> None:
        """Stop live changes for this connection, or have them again."""
        rt, sid = current(), this_socket()
        await rt.part(Room).pause(sid, bool(on))
        if on:
            await rt.part(Watching).leave(sid)
        else:
            self.resumed += 1
            await self._read()

    async def _read(self) -> None:
        found = await current().valkey.get(LAST)
        if found:
            for name, value in snapshot_vars(orjson.loads(found)).items():
                setattr(self, name, value)
