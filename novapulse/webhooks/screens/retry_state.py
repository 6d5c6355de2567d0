"""The retry schedule in the webhook form, drawn while it is typed."""

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.core.actor import Permission
from novapulse.security.handlers import handler
from novapulse.webhooks.retry import DEFAULT_SCHEDULE_S
from novapulse.webhooks.screens import schedule
from novapulse.webhooks.screens.wording import sentence

_TEXT_MAX = 2_000


class RetryState(rx.State):
    """What is drawn, or why it cannot be."""

    steps: list[dict[str, Any]] = []  # noqa: RUF012 - Reflex copies defaults
    total: str = ""
    preset: str = ""
    problem: str = ""

    @handler(Permission.WEBHOOKS_READ)
    @rx.event
    def draw(self, text: str) -> None:
        """The text has changed."""
        draw_schedule(self, str(text)[:_TEXT_MAX])


def draw_schedule(state: RetryState, text: str) -> None:
    """Draw what the text means; what cannot be read leaves the drawing as it was."""
    try:
        given = schedule.parse(text)
    except ValueError as error:
        state.problem, state.preset = sentence(str(error)), ""
        return
    delays = DEFAULT_SCHEDULE_S if given is None else given
    state.problem, state.preset = "", schedule.preset_of(given)
    state.steps, state.total = schedule.timeline(delays), schedule.total(delays)
