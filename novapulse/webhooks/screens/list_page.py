"""`/webhooks`."""
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# At class level Reflex turns fields into vars, which type checkers cannot see.

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.live.state import LiveState
from novapulse.ui.components import (
    confirm,
    empty_state,
    error_state,
    link_button,
    skeleton_rows,
    sparkline,
    status_badge,
)
from novapulse.ui.parts import page_link, time_ago, watch
from novapulse.ui.shell import page_head, shell
from novapulse.webhooks.screens.list_state import ListState


def webhooks_page() -> rx.Component:
    """All webhooks."""
    return shell(
        watch(value=LiveState.changes["*"], on_change=ListState.refresh),
        page_head("Webhooks", "URLs that get your events, signed and retried until they arrive.", _new_button()),
        _toolbar(),
        rx.cond(ListState.problem != "", error_state(ListState.problem, ListState.refresh)),
        rx.cond(
            ListState.loaded,
            rx.cond(ListState.rows.length() == 0, _nothing(), rx.fragment(_bulk(), _table(), _more())),
            skeleton_rows(6),
        ),
        active="Webhooks",
        crumbs=[("Webhooks", None)],
    )


def _new_button() -> rx.Component:
    return link_button(rx.icon("plus", size=16), "New webhook", to="/webhooks/new", testid="webhook-create")


def _toolbar() -> rx.Component:
    return rx.hstack(
        rx.form(
            rx.input(
                rx.input.slot(rx.icon("search", size=15)),
                name="q",
                default_value=ListState.q,
                key=ListState.q,
                placeholder="Search name, URL, id",
                custom_attrs={"aria-label": "Search webhooks", "data-testid": "webhook-search"},
            ),
            on_submit=ListState.search,
            width="260px",
        ),
        _filter("status", "Any status", ListState.status, ("active", "paused", "disabled")),
        _filter("health", "Any health", ListState.health, ("healthy", "degraded", "failing", "idle")),
        wrap="wrap",
        spacing="3",
        margin_bottom="16px",
    )


def _filter(name: str, any_label: str, value: Any, choices: tuple[str, ...]) -> rx.Component:
    return rx.select.root(
        rx.select.trigger(custom_attrs={"aria-label": f"Filter by {name}", "data-testid": f"filter-{name}"}),
        rx.select.content(
            rx.select.item(any_label, value="all"), *(rx.select.item(c.capitalize(), value=c) for c in choices)
        ),
        value=rx.cond(value == "", "all", value),
        on_change=lambda chosen: ListState.set_filter(name, chosen),
    )


def _nothing() -> rx.Component:
    filtered = (ListState.q != "") | (ListState.status != "") | (ListState.health != "")
    return rx.cond(
        filtered,
        empty_state(
            "search-x",
            "Nothing matches",
            "No webhook fits these filters.",
            rx.link("Show all", href="/webhooks"),
            testid="nothing-matches",
        ),
        empty_state(
            "webhook",
            "No webhooks yet",
            "A webhook is a URL that gets your events, signed and retried until they arrive.",
            _new_button(),
        ),
    )


def _bulk() -> rx.Component:
    return rx.cond(
        ListState.selected.length() > 0,
        rx.hstack(
            rx.text(ListState.selected.length().to_string() + " selected", size="2", weight="medium"),
            rx.button(
                "Pause",
                size="1",
                variant="soft",
                on_click=ListState.act("paused"),
                custom_attrs={"data-testid": "bulk-pause"},
            ),
            rx.button(
                "Enable",
                size="1",
                variant="soft",
                on_click=ListState.act("active"),
                custom_attrs={"data-testid": "bulk-enable"},
            ),
            confirm(
                rx.button(
                    "Delete",
                    size="1",
                    variant="soft",
                    color_scheme="red",
                    custom_attrs={"data-testid": "bulk-delete"},
                ),
                title="Delete the selected webhooks?",
                text="Their deliveries and statistics are deleted with them, for good.",
                keep="Keep them",
                act="Delete",
                on_confirm=ListState.act("delete"),
                testid="bulk-delete-confirm",
            ),
            align="center",
            margin_bottom="10px",
        ),
    )


def _table() -> rx.Component:
    heads = ("Select", "Webhook", "Status", "Events", "24 h", "Success", "p95", "Last delivery")
    wide = {"Select", "Events", "24 h", "Success", "p95", "Last delivery"}
    return rx.box(
        rx.table.root(
            rx.table.header(
                rx.table.row(
                    *(
                        rx.table.column_header_cell(
                            rx.el.span("Select", class_name="np-hidden") if head == "Select" else head,
                            class_name="np-wide-only" if head in wide else "",
                        )
                        for head in heads
                    )
                )
            ),
            rx.table.body(rx.foreach(ListState.rows, _row)),
            variant="ghost",
            class_name="np-num",
        ),
        class_name="np-table",
    )


def _row(w: Any) -> rx.Component:
    return rx.table.row(
        rx.table.cell(
            rx.checkbox(
                checked=ListState.selected.contains(w["id"]),
                on_change=lambda on: ListState.select(w["id"], on),
                class_name="np-above",
                custom_attrs={"aria-label": "Select " + w["name"].to(str)},
            ),
            width="36px",
            class_name="np-wide-only",
        ),
        rx.table.row_header_cell(
            rx.vstack(
                rx.hstack(
                    page_link(w["name"].to(str), to="/webhooks/" + w["id"].to(str), class_name="np-link np-stretch"),
                    rx.cond(w["demo"].to(bool), rx.badge("demo", color_scheme="gray", size="1")),
                    rx.cond(w["tenant"] != "", rx.badge(w["tenant"].to(str), variant="outline", size="1")),
                    align="center",
                    spacing="2",
                ),
                rx.text(w["url"].to(str), size="1", color="var(--gray-11)", class_name="np-cut", max_width="34ch"),
                spacing="0",
                min_width="0",
            )
        ),
        rx.table.cell(rx.vstack(status_badge(w["status"]), status_badge(w["health"]), spacing="1")),
        rx.table.cell(rx.text(w["event_types"].to(str), class_name="np-mono"), class_name="np-wide-only"),
        rx.table.cell(
            sparkline(w["line"].to(list[dict[str, Any]])),
            rx.text(w["attempts"].to(str) + " attempts", size="1", color="var(--gray-11)"),
            class_name="np-wide-only",
            width="130px",
        ),
        rx.table.cell(w["rate"].to(str), class_name="np-wide-only"),
        rx.table.cell(w["p95"].to(str), class_name="np-wide-only"),
        rx.table.cell(time_ago(at=w["last"].to(str)), class_name="np-wide-only", white_space="nowrap"),
        class_name="np-row",
        custom_attrs={"data-testid": "webhook-row-" + w["id"].to(str)},
    )


def _more() -> rx.Component:
    return rx.cond(
        (ListState.next_cursor != "") | (ListState.cursor != ""),
        rx.hstack(
            rx.cond(ListState.cursor != "", rx.link("First page", href="/webhooks")),
            rx.cond(
                ListState.next_cursor != "", rx.button("Next", variant="soft", size="2", on_click=ListState.go_next)
            ),
            justify="end",
            margin_top="12px",
            spacing="3",
            align="center",
        ),
    )
