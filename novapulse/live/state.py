"""What every dashboard shows, sent to all by one broadcast. A page only loads it once, when it opens."""

from __future__ import annotations

from typing import Any

import orjson
import reflex as rx
from reflex_base.constants import RouteVar
from reflex_base.event.context import EventContext

from novapulse.core.actor import Permission
from novapulse.core.runtime import current
from novapulse.live.room import Room
from novapulse.live.sampler import LAST
from novapulse.security.handlers import handler, handler_actor

SOME = "?"  # too many webhooks changed at once to name all


class LiveState(rx.State):
    """The latest snapshot and the latest happenings; and what who looks may do, which is told to nobody else."""

    at: str = ""
    per_s: float = 0.0
    rates: list[dict[str, float]] = []  # noqa: RUF012 - Reflex copies defaults
    queues: list[dict[str, Any]] = []  # noqa: RUF012
    workers: list[dict[str, Any]] = []  # noqa: RUF012
    overview: dict[str, Any] = {}  # noqa: RUF012
    feed: list[dict[str, Any]] = []  # noqa: RUF012
    # Webhook id, "*" for any, or SOME -> number of the last message about it.
    changes: dict[str, int] = {}  # noqa: RUF012

    audit_seq: int = 0  # of the newest row of the audit log
    may: list[str] = []  # noqa: RUF012 - permissions, for what the frame of a page offers

    @handler(Permission.WEBHOOKS_READ)
    @rx.event
    async def load(self) -> None:
        """The first snapshot, for a page that has just opened."""
        self.may = sorted((await handler_actor(self)).permissions)
        found = await current().valkey.get(LAST)
        if found:
            for name, value in snapshot_vars(orjson.loads(found)).items():
                setattr(self, name, value)

    @handler(Permission.WEBHOOKS_READ)
    @rx.event
    async def pause(self, on: bool) -> None:
        """Stop live changes for this connection, or have them again."""
        await current().part(Room).pause(EventContext.get().router_data.get(RouteVar.SESSION_ID, ""), bool(on))


def snapshot_vars(snapshot: dict[str, Any]) -> dict[str, Any]:
    """A snapshot of the sampler as the variables above."""
    overview = snapshot["overview"]
    rate = overview["success_rate"]
    attempts = overview["series"]
    return {
        "at": snapshot["at"],
        "audit_seq": snapshot.get("audit_seq", 0),  # not in what the version before has left in Valkey
        "per_s": snapshot["per_s"],
        "rates": [{"v": rate_} for rate_ in snapshot["rates"]],
        "queues": [queue | {name: _shown(queue[name]) for name in _COUNTS} for queue in snapshot["queues"]],
        "workers": [worker | {"mb": _megabytes(worker["rss_bytes"])} for worker in snapshot["workers"] or []],
        "overview": overview
        | {name: _shown(overview[name]) for name in ("delivered", "failed", "open")}
        | {
            "rate": "–" if rate is None else f"{rate * 100:.2f} %".replace("100.00", "100"),
            "p95": "–" if overview["p95_ms"] is None else f"{overview['p95_ms']:.0f} ms",
            "series": [{"at": p["at"], "ok": p["delivered"], "failed": p["failed"]} for p in attempts],
        },
    }


_COUNTS = ("waiting", "active", "completed", "parked", "workers")


def _shown(count: int | None) -> str:
    return "?" if count is None else f"{count:,}"


def _megabytes(size: int | None) -> str:
    return "?" if size is None else f"{size / 1e6:.0f} MB"
