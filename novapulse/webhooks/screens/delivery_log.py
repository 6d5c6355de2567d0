"""The delivery log of a webhook."""
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# At class level Reflex turns fields into vars, which type checkers cannot see.

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.ui.components import empty_state, status_badge
from novapulse.ui.parts import time_ago
from novapulse.webhooks.models import DeliveryStatus
from novapulse.webhooks.screens.delivery_state import DeliveryState
from novapulse.webhooks.screens.detail_state import DetailState


def delivery_log() -> rx.Component:
    """Filters and rows, newest first, live."""
    return rx.vstack(
        rx.hstack(
            _select(
                "status", "Any status", DetailState.status, [(s.value, s.value.capitalize()) for s in DeliveryStatus]
            ),
            _type_filter(),
            _select(
                "span",
                "Any time",
                DetailState.span,
                [("15m", "Last 15 min"), ("1h", "Last hour"), ("24h", "Last 24 h"), ("7d", "Last 7 days")],
            ),
            rx.spacer(),
            rx.text(
                rx.hstack(rx.switch(checked=DetailState.following, on_change=DetailState.follow, size="1"), "Live"),
                as_="label",
                size="2",
                custom_attrs={"data-testid": "log-live"},
            ),
            wrap="wrap",
            width="100%",
            align="center",
        ),
        rx.cond(
            DetailState.rows.length() == 0,
            empty_state(
                "inbox", "No deliveries here", "Send an event of a type this webhook takes, or press “Send test”."
            ),
            rx.box(
                rx.table.root(
                    rx.table.header(
                        rx.table.row(
                            rx.table.column_header_cell("Status"),
                            rx.table.column_header_cell("Event"),
                            rx.table.column_header_cell("Answer", class_name="np-wide-only"),
                            rx.table.column_header_cell("Attempts", class_name="np-wide-only"),
                            rx.table.column_header_cell("Next", class_name="np-wide-only"),
                            rx.table.column_header_cell("Created"),
                        )
                    ),
                    rx.table.body(rx.foreach(DetailState.rows, _row)),
                    variant="ghost",
                    class_name="np-num",
                ),
                class_name="np-table",
            ),
        ),
        rx.hstack(
            rx.cond(
                DetailState.cursor != "",
                rx.button(
                    "Newest",
                    variant="soft",
                    color_scheme="gray",
                    on_click=DetailState.go("cursor", ""),
                    custom_attrs={"data-testid": "log-newest"},
                ),
            ),
            rx.cond(
                DetailState.next_cursor != "",
                rx.button(
                    "Older",
                    variant="soft",
                    on_click=DetailState.go("cursor", DetailState.next_cursor),
                    custom_attrs={"data-testid": "log-older"},
                ),
            ),
            justify="end",
            width="100%",
        ),
        spacing="3",
        width="100%",
        align="stretch",
    )


def _type_filter() -> rx.Component:
    return rx.form(
        rx.input(
            rx.input.slot(rx.icon("search", size=15)),
            name="event_type",
            default_value=DetailState.event_type,
            key=DetailState.event_type,
            placeholder="Any event type",
            custom_attrs={"aria-label": "Filter by event type", "data-testid": "log-event-type", "list": "log-types"},
        ),
        rx.el.datalist(rx.foreach(DetailState.types, lambda name: rx.el.option(value=name)), id="log-types"),
        on_submit=DetailState.filter_type,
        width="210px",
    )


def _select(name: str, any_label: str, value: Any, choices: list[tuple[str, str]]) -> rx.Component:
    return rx.select.root(
        rx.select.trigger(custom_attrs={"aria-label": f"Filter by {name}", "data-testid": f"log-{name}"}),
        rx.select.content(
            rx.select.item(any_label, value="all"), *(rx.select.item(label, value=key) for key, label in choices)
        ),
        value=rx.cond(value == "", "all", value),
        on_change=lambda chosen: DetailState.go(name, chosen),
    )


def _row(d: Any) -> rx.Component:
    return rx.table.row(
        rx.table.cell(status_badge(d["status"])),
        rx.table.row_header_cell(
            rx.el.button(
                d["event_type"].to(str),
                type="button",
                class_name="np-linkbutton np-stretch np-mono",
                on_click=DeliveryState.open(d["id"].to(str)),
            ),
            rx.text(d["answer"].to(str), size="1", color="var(--gray-11)", class_name="np-phone-only"),
        ),
        rx.table.cell(d["answer"].to(str), class_name="np-wide-only"),
        rx.table.cell(d["attempts"].to_string(), class_name="np-wide-only"),
        rx.table.cell(
            rx.cond((d["next"] != "") & (d["status"] == "retrying"), time_ago(at=d["next"].to(str), due=True), "–"),
            class_name="np-wide-only",
            white_space="nowrap",
        ),
        rx.table.cell(time_ago(at=d["at"].to(str)), white_space="nowrap"),
        class_name="np-row",
        custom_attrs={"data-testid": "delivery-row-" + d["id"].to(str), "data-status": d["status"].to(str)},
    )
