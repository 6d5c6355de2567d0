"""`/webhooks`."""
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# At class level Reflex turns fields into vars, which type checkers cannot see.

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.live.state import LiveState
from novapulse.ui.components import confirm, empty_state, error_state, link_button, sparkline, status_badge
from novapulse.ui.lists import (
    all_box,
    capitalized,
    none_button,
    nothing_matches,
    pages,
    picked,
    show_all,
    table,
    toolbar,
    typed,
)
from novapulse.ui.parts import page_link, time_ago, watch
from novapulse.ui.shell import page_head, shell
from novapulse.webhooks.screens.list_state import HEALTHS, STATUSES, ListState

_SKELETON_ROWS = 6


def webhooks_page() -> rx.Component:
    """All webhooks."""
    return shell(
        watch(value=LiveState.changes["*"], on_change=ListState.refresh),
        page_head("Webhooks", "URLs that get your events, signed and retried until they arrive.", _new_button()),
        _toolbar(),
        rx.cond(ListState.problem != "", error_state(ListState.problem, ListState.refresh)),
        rx.cond(
            ListState.loaded,
            rx.cond(
                ListState.rows.length() == 0,
                _nothing(),
                rx.fragment(
                    _table(all_box(ListState, ListState.select_all), rx.foreach(ListState.rows, _row)),
                    _bulk(),
                    _pages(),
                ),
            ),
            _skeleton(),
        ),
        active="Webhooks",
        crumbs=[("Webhooks", None)],
    )


def _new_button() -> rx.Component:
    return link_button(rx.icon("plus", size=16), "New webhook", to="/webhooks/new", testid="webhook-create")


def _toolbar() -> rx.Component:
    s = ListState
    return toolbar(
        typed(s, "q", "Search webhooks", "Search name, URL, id", testid="webhook-search"),
        typed(
            s, "event_type", "Filter by event type", "Any event type", icon="tag", options=s.types,
            testid="filter-event-type",
        ),
        typed(
            s, "tenant", "Filter by tenant", "Any tenant", icon="users", options=s.tenants, testid="filter-tenant"
        ),
        picked(s, "status", "Any status", capitalized(STATUSES), testid="filter-status"),
        picked(s, "health", "Any health", capitalized(HEALTHS), testid="filter-health"),
        show_all(s, "/webhooks"),
        label="Webhooks",
    )  # fmt: skip


def _nothing() -> rx.Component:
    return rx.cond(
        ListState.filtered,
        nothing_matches("No webhook fits these filters.", "/webhooks"),
        empty_state(
            "webhook",
            "No webhooks yet",
            "A webhook is a URL that gets your events, signed and retried until they arrive.",
            _new_button(),
        ),
    )


def _bulk() -> rx.Component:
    def button(label: str, what: str, testid: str) -> rx.Component:
        return rx.button(
            label, size="2", variant="soft", on_click=ListState.act(what), custom_attrs={"data-testid": testid}
        )

    delete = rx.button(
        "Delete", size="2", variant="soft", color_scheme="red", custom_attrs={"data-testid": "bulk-delete"}
    )
    return rx.cond(
        ListState.selected.length() > 0,
        rx.hstack(
            rx.text(ListState.selected.length().to_string() + " selected", size="2", weight="medium", role="status"),
            rx.spacer(),
            button("Pause", "paused", "bulk-pause"),
            button("Enable", "active", "bulk-enable"),
            confirm(
                delete,
                title="Delete the selected webhooks?",
                text="Their deliveries and statistics are deleted with them, for good.",
                keep="Keep them",
                act="Delete",
                on_confirm=ListState.delete,
                testid="bulk-delete-confirm",
            ),
            none_button(ListState.select_all(False)),
            align="center",
            class_name="np-bulk",
            role="group",
            aria_label="Selected webhooks",
        ),
    )


def _rows() -> rx.Component:
    return _table(all_box(ListState, ListState.select_all), rx.foreach(ListState.rows, _row))


def _table(box: rx.Component, rows: Any) -> rx.Component:
    wide = ("Status", "Events", "24 h", "Success", "p95", "Last delivery")
    return table([box, "Webhook", *([head] for head in wide)], rows, class_name="np-hooks")


def _row(w: Any) -> rx.Component:
    return rx.table.row(
        rx.table.cell(
            rx.checkbox(
                checked=ListState.selected.contains(w["id"]),
                on_change=lambda on: ListState.select(w["id"], on),
                class_name="np-above",
                custom_attrs={"aria-label": "Select " + w["name"].to(str)},
            ),
        ),
        rx.table.row_header_cell(
            rx.el.div(
                page_link(w["name"].to(str), to="/webhooks/" + w["id"].to(str), class_name="np-link np-stretch"),
                rx.cond(w["demo"].to(bool), _demo_mark()),
                rx.cond(w["tenant"] != "", _tenant_mark(w["tenant"].to(str))),
                class_name="np-marks",
            ),
            rx.text(w["url"].to(str), size="1", color="var(--gray-11)", class_name="np-cut"),
            rx.el.div(
                _states(w),
                rx.cond(
                    w["last"] == "",
                    rx.el.span("nothing sent in 24 h"),
                    rx.fragment(
                        rx.el.span(w["rate"].to(str), title="Share of attempts that succeeded in 24 h"),
                        time_ago(at=w["last"].to(str)),
                    ),
                ),
                class_name="np-phone-only np-marks",
            ),
        ),
        rx.table.cell(rx.vstack(_states(w), spacing="1"), class_name="np-wide-only"),
        rx.table.cell(rx.text(w["event_types"].to(str), class_name="np-mono"), class_name="np-wide-only"),
        rx.table.cell(
            sparkline(w["line"].to(list[dict[str, Any]])),
            rx.text(w["attempts"].to(str) + " attempts", size="1", color="var(--gray-11)"),
            class_name="np-wide-only",
            width="130px",
        ),
        rx.table.cell(w["rate"].to(str), class_name="np-wide-only", white_space="nowrap"),
        rx.table.cell(w["p95"].to(str), class_name="np-wide-only", white_space="nowrap"),
        rx.table.cell(time_ago(at=w["last"].to(str)), class_name="np-wide-only", white_space="nowrap"),
        class_name="np-row",
        custom_attrs={
            "data-testid": "webhook-row-" + w["id"].to(str),
            "data-selected": ListState.selected.contains(w["id"]).to_string(),
        },
    )


def _states(w: Any) -> rx.Component:
    return rx.fragment(status_badge(w["status"]), status_badge(w["health"]))


def _demo_mark() -> rx.Component:
    return rx.badge(
        rx.icon("flask-conical", size=12),
        "demo",
        color_scheme="plum",
        title="Made by `novapulse demo`; `novapulse demo --remove` deletes it",
        custom_attrs={"data-testid": "mark-demo"},
    )


def _tenant_mark(tenant: Any) -> rx.Component:
    return rx.badge(
        rx.icon("users", size=12),
        rx.el.span("Tenant ", class_name="np-hidden"),
        rx.el.span(tenant, class_name="np-cut"),
        color_scheme="gray",
        variant="outline",
        title="Takes the events of the tenant " + tenant,
        max_width="24ch",
        custom_attrs={"data-testid": "mark-tenant"},
    )


def _pages() -> rx.Component:
    return pages(ListState, first="First page", following="Next page")


def _skeleton() -> rx.Component:
    wide = [
        rx.table.cell(rx.skeleton(height="16px", width=width), class_name="np-wide-only")
        for width in ("70px", "110px", "110px", "48px", "56px", "70px")
    ]
    row = rx.table.row(
        rx.table.cell(rx.skeleton(height="16px", width="16px")),
        rx.table.row_header_cell(rx.skeleton(height="40px", width="min(260px, 60vw)")),
        *wide,
        class_name="np-waiting",
    )
    box = rx.table.column_header_cell(rx.skeleton(height="16px", width="16px"), width="44px")
    return rx.fragment(
        rx.el.span("Loading webhooks…", class_name="np-hidden", role="status"),
        _table(box, rx.fragment(*([row] * _SKELETON_ROWS))),
    )
