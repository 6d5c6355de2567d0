"""Rewinding the board over the last 24 hours."""

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.core.actor import Permission
from novapulse.core.clock import now_ms, parse_rfc3339
from novapulse.core.errors import ProblemError
from novapulse.core.runtime import current
from novapulse.jobs.history import rewind
from novapulse.jobs.screens.filters import QUEUES
from novapulse.jobs.shapes import HistoryPoint
from novapulse.security.handlers import handler, handler_actor
from novapulse.ui.urls import chosen, with_query

# The last is a little less: of so much time every second is known.
SPANS = {"24h": 24 * 3600, "3h": 3 * 3600, "15m": 880}
_FIRST = "24h"
_CLOSER = {"24h": "3h", "3h": "15m"}


class HistoryState(rx.State):
    """What `/jobs/history` shows."""

    span: str = _FIRST
    start: int = 0  # ms: where the slider begins; 0: at the end
    times: list[int] = []  # noqa: RUF012 - Reflex copies defaults
    queues: dict[str, list[list[Any] | None]] = {}  # noqa: RUF012 - see `_point`
    marks: list[dict[str, Any]] = []  # noqa: RUF012
    step: int = 0  # ms
    loaded: bool = False
    problem: str = ""

    @rx.var
    def closest(self) -> bool:
        """Whether one can look no closer."""
        return self.span not in _CLOSER

    @handler(Permission.JOBS_READ)
    @rx.event
    async def load(self) -> None:
        """Read the span that the URL names: around a moment, or up to now."""
        query = self.router.url.query_parameters
        self.span = chosen(query, "span", SPANS, _FIRST)
        now, length = now_ms(), SPANS[self.span] * 1000
        at = str(query.get("at", ""))
        first = now - SPANS[_FIRST] * 1000
        self.start = max(first, min(now, int(at))) if at.isascii() and at.isdecimal() and len(at) < 15 else 0
        until = min(now, self.start + length // 2) if self.start else now
        since = max(first, until - length)
        try:
            view = await rewind(current(), await handler_actor(self), since=since, until=until)
        except ProblemError as error:
            self.problem = error.detail
            return
        # What is not known yet at the end is not shown as unknown.
        while len(view.moments) > 1 and not any(view.moments[-1].queues.values()):
            view.moments.pop()
        self.times = [parse_rfc3339(moment.at) for moment in view.moments]
        self.queues = {name: [_point(moment.queues[name]) for moment in view.moments] for name in QUEUES}
        self.marks = [mark.model_dump(mode="json") for mark in view.marks]
        self.step = view.step_s * 1000
        self.problem, self.loaded = "", True

    @handler(Permission.JOBS_READ)
    @rx.event
    def zoom(self, at: int) -> Any:
        """Look closer at a moment."""
        return rx.redirect(with_query(self.router.url, span=_CLOSER.get(self.span, self.span), at=str(int(at))))

    @handler(Permission.JOBS_READ)
    @rx.event
    def go(self, span: str | list[str]) -> Any:
        """Look at the last of so much time."""
        wanted = str(span)
        if wanted not in SPANS:
            return None
        return rx.redirect(with_query(self.router.url, span="" if wanted == _FIRST else wanted, at=""))


def _point(point: HistoryPoint | None) -> list[Any] | None:
    """A queue at a moment, as the page takes it; None: nothing is known."""
    if point is None:
        return None
    return [
        point.waiting,
        point.active,
        point.delayed,
        point.completed,
        point.dead,
        point.workers,
        point.slots,
        point.paused,
        point.oldest_waiting_s,
        point.throughput_per_s,
        point.failed_per_s,
        point.wait_ms.p99,
        point.run_ms.p99,
    ]
