"""The retry schedule in the webhook form: presets, the field, and the timeline of its attempts."""
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# At class level Reflex turns fields into vars, which type checkers cannot see.

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.ui.components import field
from novapulse.webhooks.screens.form_fields import PAUSE_MS, stack, text_input
from novapulse.webhooks.screens.form_state import FormState
from novapulse.webhooks.screens.retry_state import RetryState
from novapulse.webhooks.screens.schedule import PRESETS

_JITTER = " Each wait is lengthened by up to a fifth, so that retries do not come all at once."


def retry_field() -> rx.Component:
    """All three."""
    error = rx.cond(FormState.errors.contains("retry"), FormState.errors["retry"], RetryState.problem)

    def draw(text: Any) -> list[Any]:
        return [RetryState.draw(text).debounce(PAUSE_MS), FormState.forget("retry").debounce(PAUSE_MS)]

    def choose(text: str) -> list[Any]:
        return [rx.set_value("retry", text), RetryState.draw(text), FormState.forget("retry")]

    return stack(
        rx.el.div(
            *(
                rx.el.button(
                    preset.label,
                    type="button",
                    on_click=choose(preset.text),
                    custom_attrs={
                        "aria-pressed": rx.cond(RetryState.preset == preset.key, "true", "false"),
                        "data-testid": f"retry-{preset.key}",
                    },
                )
                for preset in PRESETS
            ),
            class_name="np-choices",
            role="group",
            aria_label="Schedules to choose from",
        ),
        field(
            "Wait before each retry",
            text_input(
                "retry",
                next(preset for preset in PRESETS if preset.key == "default").shown,
                on_change=draw,
                custom_attrs={
                    "aria-describedby": "retry-hint",
                    "aria-invalid": rx.cond(error != "", "true", "false"),
                },
            ),
            error=error,
            hint="As 5 s, 5 min, 2 h, 1 d; a plain number is seconds.",
            name="retry",
            optional=True,
        ),
        rx.el.div(
            rx.el.ol(rx.foreach(RetryState.steps, _step), class_name="np-waits", aria_label="Attempts"),
            rx.el.p(
                rx.el.strong(RetryState.total, custom_attrs={"data-testid": "retry-total"}),
                _JITTER,
                role="status",
                class_name="np-note",
            ),
            custom_attrs={"data-testid": "retry-timeline"},
            class_name="np-schedule",
        ),
    )


def _step(step: Any) -> rx.Component:
    return rx.el.li(
        rx.el.span(step["n"].to(int), class_name="np-step-n"),
        rx.el.span(step["wait"].to(str), class_name="np-step-wait"),
        style={"--grow": step["grow"].to(float)},
        title=step["at"].to(str),
        custom_attrs={"data-testid": "retry-step", "data-last": step["last"].to(bool).to_string()},
    )
