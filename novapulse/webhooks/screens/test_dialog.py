"""Sending a test: pick a type, edit its example, see the attempt."""
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# At class level Reflex turns fields into vars, which type checkers cannot see.

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.ui.components import status_badge
from novapulse.webhooks.screens.test_state import TestState


def test_dialog(webhook_id: Any) -> rx.Component:
    """The button and its dialog."""
    return rx.dialog.root(
        rx.dialog.trigger(rx.button(rx.icon("send", size=15), "Send test", custom_attrs={"data-testid": "test-open"})),
        rx.dialog.content(
            rx.dialog.title("Send a test"),
            rx.dialog.description("A real signed delivery, sent now and once.", size="2", color="var(--gray-11)"),
            rx.vstack(
                rx.select.root(
                    rx.select.trigger(
                        width="100%", custom_attrs={"aria-label": "Event type", "data-testid": "test-type"}
                    ),
                    rx.select.content(rx.foreach(TestState.types, lambda t: rx.select.item(t, value=t))),
                    value=TestState.type,
                    on_change=TestState.pick,
                ),
                rx.debounce_input(
                    rx.text_area(
                        value=TestState.data,
                        on_change=TestState.write,
                        rows="8",
                        width="100%",
                        class_name="np-mono",
                        custom_attrs={"aria-label": "Event data", "data-testid": "test-data"},
                    ),
                    debounce_timeout=250,
                ),
                rx.cond(
                    TestState.problem != "",
                    rx.callout(
                        TestState.problem,
                        icon="triangle-alert",
                        color_scheme="red",
                        role="alert",
                        custom_attrs={"data-testid": "test-problem"},
                    ),
                ),
                rx.cond(TestState.attempt.contains("number"), _result()),
                rx.hstack(
                    rx.dialog.close(rx.button("Close", variant="soft", color_scheme="gray")),
                    rx.button("Send", on_click=TestState.send(webhook_id), custom_attrs={"data-testid": "test-send"}),
                    justify="end",
                    width="100%",
                ),
                spacing="3",
                margin_top="12px",
                align="stretch",
            ),
            max_width="560px",
        ),
        open=TestState.shown,
        on_open_change=TestState.show,
    )


def _result() -> rx.Component:
    attempt = TestState.attempt
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
