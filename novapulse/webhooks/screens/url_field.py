"""The URL in the webhook form, with what is known of it."""
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# At class level Reflex turns fields into vars, which type checkers cannot see.

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.webhooks.guard import URL_MAX
from novapulse.webhooks.screens.form_fields import PAUSE_MS, text_input
from novapulse.webhooks.screens.form_state import FormState
from novapulse.webhooks.screens.url_state import UrlState

_MARKS = {"fine": "circle-check", "unsure": "circle-help", "refused": "circle-x", "checking": "loader-circle"}


def url_field() -> rx.Component:
    """The field, and one line below it that says how things stand."""

    def check(url: Any) -> list[Any]:
        return [UrlState.check(url).debounce(PAUSE_MS), FormState.forget("url").debounce(PAUSE_MS)]

    refused = (UrlState.verdict == "refused") | FormState.errors.contains("url")
    says = rx.cond(FormState.errors.contains("url"), FormState.errors["url"], UrlState.says)
    verdict = rx.hstack(
        rx.match(
            UrlState.verdict,
            *((name, rx.icon(icon, size=14, flex="none")) for name, icon in _MARKS.items()),
            rx.icon("radar", size=14, flex="none"),
        ),
        rx.match(
            UrlState.verdict,
            ("", "Checked as you type, without sending anything."),
            ("checking", "Looking it up…"),
            UrlState.says,
        ),
        class_name="np-verdict",
        custom_attrs={"data-verdict": UrlState.verdict, "data-testid": "url-verdict"},
    )
    error = rx.hstack(
        rx.icon("circle-x", size=14, flex="none"),
        rx.el.span(says, custom_attrs={"data-testid": "error-url"}),
        class_name="np-verdict",
        custom_attrs={"data-verdict": "refused"},
    )
    return rx.vstack(
        rx.el.label(rx.text("URL", size="2", weight="medium", as_="span"), html_for="url"),
        text_input(
            "url",
            "https://example.com/webhooks",
            on_change=check,
            input_mode="url",
            max_length=URL_MAX + 1,
            custom_attrs={
                "aria-describedby": "url-line",
                "aria-invalid": rx.cond(refused, "true", "false"),
                "spellCheck": "false",
                "autoCapitalize": "off",
            },
        ),
        rx.el.div(rx.cond(refused, error, verdict), id="url-line", aria_live="polite"),
        spacing="1",
        align="stretch",
        width="100%",
    )
