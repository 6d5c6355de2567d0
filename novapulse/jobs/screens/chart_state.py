"""How one queue went lately."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import reflex as rx

from novapulse.core.actor import Permission
from novapulse.core.clock import parse_rfc3339
from novapulse.core.errors import ProblemError
from novapulse.core.runtime import current
from novapulse.jobs.history import WINDOWS, Window, queue_history
from novapulse.jobs.screens.board_state import QUEUES
from novapulse.jobs.shapes import HistoryPoint
from novapulse.security.handlers import handler, handler_actor
from novapulse.ui.urls import chosen, with_query

SPANS: tuple[Window, ...] = ("15m", "1h", "24h")
DEFAULT_QUEUE = "webhook"
_POINTS_MAX = 300  # in a chart: more is not seen


class QueueChartState(rx.State):
    """What the charts of `/jobs` show."""

    queue: str = DEFAULT_QUEUE
    window: str = SPANS[0]
    points: list[list[float | None]] = []  # noqa: RUF012 - Reflex copies defaults; see `_point`
    marks: list[dict[str, Any]] = []  # noqa: RUF012
    step: int = 1_000  # ms
    span: int = 900_000  # ms
    problem: str = ""
    loaded: bool = False

    @handler(Permission.JOBS_READ)
    @rx.event
    async def load(self) -> None:
        """Read what the URL describes."""
        query = self.router.url.query_parameters
        self.queue = chosen(query, "queue", QUEUES, DEFAULT_QUEUE)
        window: Any = chosen(query, "window", SPANS, SPANS[0])
        self.window = window
        try:
            view = await queue_history(current(), await handler_actor(self), self.queue, window)
        except ProblemError as error:
            self.problem = error.detail
            return
        length_s, _, step_s = WINDOWS[window]
        merge = -(-len(view.points) // _POINTS_MAX)
        self.points = [_point(view.points[at : at + merge]) for at in range(0, len(view.points), merge)]
        self.marks = [mark.model_dump(mode="json") for mark in view.marks]
        self.step, self.span = step_s * merge * 1000, length_s * 1000
        self.problem, self.loaded = "", True

    @handler(Permission.JOBS_READ)
    @rx.event
    def go(self, name: str, value: str) -> Any:
        """Show another queue or span, by going to the URL that has it."""
        allowed = {"queue": QUEUES, "window": SPANS}.get(name, ())
        return rx.redirect(with_query(self.router.url, **{name: value})) if value in allowed else None


def _point(points: Sequence[HistoryPoint]) -> list[float | None]:
    """Time, ended well and failed per second, waiting, and the percentiles of waits and runs, of some steps."""

    def mean(name: str) -> float | None:
        known = [value for each in points if (value := getattr(each, name)) is not None]
        return sum(known) / len(known) if known else None

    def most(span: str, part: str) -> float | None:
        return max((value for p in points if (value := getattr(getattr(p, span), part)) is not None), default=None)

    ended, failed = mean("throughput_per_s"), mean("failed_per_s")
    waiting = next((each.waiting for each in reversed(points) if each.waiting is not None), None)
    times = [most(span, part) for span in ("wait_ms", "run_ms") for part in ("p50", "p99")]
    well = None if ended is None else round(ended - (failed or 0), 2)
    return [parse_rfc3339(points[0].at), well, None if failed is None else round(failed, 2), waiting, *times]
