"""The attempts of a webhook over time."""

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.core.actor import Actor
from novapulse.core.runtime import Runtime
from novapulse.webhooks import stats

SPANS = {"15m": 900, "1h": 3600, "24h": 24 * 3600}
MINUTES = {"15m": 1, "1h": 1, "24h": 60}  # that a point stands for
DEFAULT_SPAN = "1h"


class ChartState(rx.State):
    """What the chart shows."""

    span: str = DEFAULT_SPAN
    points: list[dict[str, Any]] = []  # noqa: RUF012 - Reflex copies defaults


async def show_attempts(state: ChartState, rt: Runtime, actor: Actor, webhook_id: str, span: str) -> None:
    """Read the chart of a webhook.

    Raises:
        NotFoundError: none of this id that the actor may see.
    """
    numbers = await stats.webhook_stats(rt, actor, webhook_id, SPANS[span])
    state.span = span
    state.points = [
        {"at": p.at, "ok": p.attempts - p.failed_attempts, "failed": p.failed_attempts, "p95": p.p95_ms}
        for p in numbers.series
    ]
