"""Sending a test: pick a type, edit its example, see the attempt."""
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# At class level Reflex turns fields into vars, which type checkers cannot see.

from __future__ import annotations

import reflex as rx

from novapulse.ui.components import status_badge
from novapulse.webhooks.screens.detail_state import DetailState


def test_dialog() -> rx.Component:
    """The button and its dialog."""
    return rx.dialog.root(
        rx.dialog.trigger(rx.button(rx.icon("send", size=15), "Send test", custom_attrs={"data-testid": "test-open"})),
        rx.dialog.content(
            rx.dialog.title("Send a test"),
            rx.dialog.description("A real signed delivery, sent now and once.", size="2", color="var(--gray-11)"),
            rx.vstack(
                rx.select.root(
                    rx.select.trigger(width="100%", custom_attrs={"aria-label": "Event type"}),
                    rx.select.content(rx.foreach(DetailState.test_types, lambda t: rx.select.item(t, value=t))),
                    value=DetailState.test_type,
                    on_change=DetailState.pick_test_type,
                ),
                rx.debounce_input(
                    rx.text_area(
                        value=DetailState.test_data,
                        on_change=DetailState.type_test_data,
                        rows="8",
                        width="100%",
                        class_name="np-mono",
                        custom_attrs={"aria-label": "Event data", "data-testid": "test-data"},
                    ),
                    debounce_timeout=250,
                ),
                rx.cond(
                    DetailState.test_problem != "",
                    rx.callout(DetailState.test_problem, icon="triangle-alert", color_scheme="red", role="alert"),
                ),
                rx.cond(DetailState.test_attempt.contains("number"), _result()),
                rx.hstack(
                    rx.dialog.close(rx.button("Close", variant="soft", color_scheme="gray")),
                    rx.button("Send", on_click=DetailState.send_test, custom_attrs={"data-testid": "test-send"}),
                    justify="end",
                    width="100%",
                ),
                spacing="3",
                margin_top="12px",
                align="stretch",
            ),
            max_width="560px",
        ),
        open=DetailState.test_open,
        on_open_change=DetailState.start_test,
    )


def _result() -> rx.Component:
    attempt = DetailState.test_attempt
    return rx.box(
        rx.hstack(
            status_badge(attempt["status"]),
            rx.text(attempt["answer"].to(str), weight="medium"),
            rx.text(attempt["duration"].to(str), color="var(--gray-11)", size="2"),
            align="center",
        ),
        rx.cond(
            attempt["detail"] != "",
            rx.text(attempt["detail"].to(str), size="2", color="var(--red-11)", margin_top="6px"),
        ),
        rx.cond(attempt["body"] != "", rx.el.pre(attempt["body"].to(str), class_name="np-pre", tab_index=0)),
        class_name="np-card",
        custom_attrs={"data-testid": "test-result"},
    )
