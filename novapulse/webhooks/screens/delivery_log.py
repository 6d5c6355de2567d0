"""The delivery log of a webhook, and the drawer of one delivery."""
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# At class level Reflex turns fields into vars, which type checkers cannot see.

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.ui.components import empty_state, status_badge
from novapulse.ui.parts import copy_button, time_ago
from novapulse.webhooks.models import DeliveryStatus
from novapulse.webhooks.screens.detail_state import DetailState


def delivery_log() -> rx.Component:
    """Filters and rows, newest first, live."""
    return rx.vstack(
        rx.hstack(
            _select(
                "status", "Any status", DetailState.status, [(s.value, s.value.capitalize()) for s in DeliveryStatus]
            ),
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
                rx.button("Newest", variant="soft", color_scheme="gray", on_click=DetailState.go("cursor", "")),
            ),
            rx.cond(
                DetailState.next_cursor != "",
                rx.button("Older", variant="soft", on_click=DetailState.go("cursor", DetailState.next_cursor)),
            ),
            justify="end",
            width="100%",
        ),
        spacing="3",
        width="100%",
        align="stretch",
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
                class_name="np-linkbutton np-mono",
                on_click=DetailState.open_delivery(d["id"].to(str)),
            )
        ),
        rx.table.cell(d["answer"].to(str), class_name="np-wide-only"),
        rx.table.cell(d["attempts"].to_string(), class_name="np-wide-only"),
        rx.table.cell(
            rx.cond((d["next"] != "") & (d["status"] == "retrying"), time_ago(at=d["next"].to(str)), "–"),
            class_name="np-wide-only",
            white_space="nowrap",
        ),
        rx.table.cell(time_ago(at=d["at"].to(str)), white_space="nowrap"),
        class_name="np-row",
        custom_attrs={"data-testid": "delivery-row-" + d["id"].to(str), "data-status": d["status"].to(str)},
    )


def delivery_drawer() -> rx.Component:
    """One delivery: its event, its attempts, what may be done."""
    d = DetailState.opened
    return rx.drawer.root(
        rx.drawer.overlay(z_index="40"),
        rx.drawer.portal(
            rx.drawer.content(
                rx.hstack(
                    rx.drawer.title(d["event_type"].to(str), class_name="np-drawer-title np-mono"),
                    status_badge(d["status"]),
                    rx.spacer(),
                    rx.icon_button(
                        rx.icon("x", size=18),
                        variant="ghost",
                        color_scheme="gray",
                        on_click=DetailState.close_delivery,
                        custom_attrs={"aria-label": "Close", "data-testid": "drawer-close"},
                    ),
                    align="center",
                    width="100%",
                ),
                rx.drawer.description(
                    rx.hstack(
                        rx.text(d["id"].to(str), class_name="np-mono np-cut", color="var(--gray-11)"),
                        copy_button(text=d["id"].to(str), label="Copy id"),
                        align="center",
                        min_width="0",
                    )
                ),
                rx.cond(d["why"] != "", rx.text(d["why"].to(str), size="2", color="var(--gray-11)", margin_y="8px")),
                rx.hstack(
                    rx.cond(
                        d["may_retry"].to(bool),
                        rx.button(
                            rx.icon("rotate-cw", size=14),
                            "Send again",
                            size="2",
                            on_click=DetailState.retry(d["id"].to(str)),
                            custom_attrs={"data-testid": "delivery-retry"},
                        ),
                    ),
                    rx.cond(
                        d["may_cancel"].to(bool),
                        rx.button(
                            "Cancel",
                            size="2",
                            variant="soft",
                            color_scheme="gray",
                            on_click=DetailState.cancel(d["id"].to(str)),
                            custom_attrs={"data-testid": "delivery-cancel"},
                        ),
                    ),
                    copy_button(text=d["curl"].to(str), label="Copy as curl"),
                    margin_y="12px",
                    align="center",
                    wrap="wrap",
                ),
                rx.heading("Event", size="2", as_="h3", margin_bottom="6px"),
                rx.el.pre(
                    d["body"].to(str), class_name="np-pre", tab_index=0, custom_attrs={"data-testid": "drawer-body"}
                ),
                rx.heading("Attempts", size="2", as_="h3", margin_top="18px", margin_bottom="6px"),
                rx.cond(
                    DetailState.attempts.length() == 0,
                    rx.text("None yet.", size="2", color="var(--gray-11)"),
                    rx.vstack(rx.foreach(DetailState.attempts, _attempt), spacing="3", width="100%", align="stretch"),
                ),
                height="100%",
                width="min(720px, 100vw)",
                display="block",
                padding="20px",
                background="var(--color-panel-solid)",
                overflow_y="auto",
                z_index="41",
                custom_attrs={"data-testid": "delivery-drawer"},
            )
        ),
        direction="right",
        open=DetailState.open_id != "",
        on_open_change=lambda _: DetailState.close_delivery(),  # type: ignore[call-arg]
        handle_only=True,
    )


def _attempt(a: Any) -> rx.Component:
    return rx.box(
        rx.hstack(
            rx.text("#" + a["number"].to_string(), weight="bold", size="2"),
            status_badge(a["status"]),
            rx.text(a["answer"].to(str), size="2", weight="medium"),
            rx.spacer(),
            rx.text(a["duration"].to(str), size="1", color="var(--gray-11)"),
            rx.text(time_ago(at=a["at"].to(str)), size="1", color="var(--gray-11)"),
            align="center",
            wrap="wrap",
        ),
        rx.cond(a["detail"] != "", rx.text(a["detail"].to(str), size="2", color="var(--red-11)", margin_top="4px")),
        rx.text(a["timings"].to(str), size="1", color="var(--gray-11)", margin_top="4px"),
        rx.el.div(
            rx.box(
                rx.text("Request", size="1", weight="medium", margin_bottom="4px"),
                rx.el.pre(a["request"].to(str), class_name="np-pre", tab_index=0),
                min_width="0",
            ),
            rx.box(
                rx.text("Response", size="1", weight="medium", margin_bottom="4px"),
                rx.el.pre(a["response"].to(str), "\n\n", a["body"].to(str), class_name="np-pre", tab_index=0),
                rx.cond(
                    a["truncated"].to(bool), rx.text("The first 16 KiB are kept.", size="1", color="var(--gray-11)")
                ),
                min_width="0",
            ),
            class_name="np-pair",
        ),
        class_name="np-card np-num",
        custom_attrs={"data-testid": "attempt"},
    )
