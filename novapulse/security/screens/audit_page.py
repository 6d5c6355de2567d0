"""`/settings/audit`."""
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# At class level Reflex turns fields into vars, which type checkers cannot see.

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.live.state import LiveState
from novapulse.security.screens.audit_drawer import audit_drawer
from novapulse.security.screens.audit_state import RESULTS, SPANS, AuditState
from novapulse.security.screens.audit_words import SUBJECTS
from novapulse.ui.components import empty_state, error_state, skeleton_rows, status_badge
from novapulse.ui.lists import capitalized, nothing_matches, pages, picked, show_all, table, toolbar, typed
from novapulse.ui.parts import page_link, time_ago, watch
from novapulse.ui.shell import page_head, shell

_SPAN_WORDS = {"1h": "Last hour", "24h": "Last 24 h", "7d": "Last 7 days", "30d": "Last 30 days"}


class AuditActions(rx.Component):
    """Verifying the log, and taking it away as a file."""

    library = "$/public" + rx.asset("audit_actions.jsx", shared=True)
    tag = "AuditActions"
    query: rx.Var[str]


def audit_page() -> rx.Component:
    """The audit log."""
    return shell(
        watch(value=LiveState.audit_seq, on_change=AuditState.refresh),
        page_head(
            "Audit log",
            "Who did what, when and from where. Rows are only ever added, and each is sealed together with the last.",
            rx.cond(AuditState.allowed & AuditState.loaded, AuditActions.create(query=AuditState.export_query)),
        ),
        rx.cond(
            AuditState.loaded,
            rx.cond(
                AuditState.allowed,
                rx.fragment(
                    _toolbar(),
                    rx.cond(
                        AuditState.problem != "",
                        error_state(AuditState.problem, AuditState.refresh),
                        rx.cond(AuditState.rows.length() == 0, _nothing(), _table()),
                    ),
                    pages(AuditState),
                ),
                empty_state("lock", "Only admins read the audit log", "Ask an admin if you need to know something."),
            ),
            skeleton_rows(8),
        ),
        audit_drawer(),
        active="Audit log",
        crumbs=[("Audit log", None)],
    )


def _toolbar() -> rx.Component:
    s = AuditState
    return toolbar(
        typed(s, "q", "Search the audit log", "Search names, ids, details", testid="audit-q"),
        typed(s, "actor", "Filter by who acted", "Who: e-mail or id", icon="users", testid="audit-actor"),
        picked(s, "subject", "Everything", SUBJECTS, testid="audit-subject"),
        picked(s, "result", "Any result", capitalized(RESULTS), testid="audit-result"),
        picked(s, "span", "Any time", {span: _SPAN_WORDS[span] for span in SPANS}, testid="audit-span"),
        rx.cond(
            s.filters["target"] != "",
            rx.badge(
                "About ",
                rx.el.span(s.filters["target"], class_name="np-mono np-cut"),
                color_scheme="gray",
                variant="surface",
                custom_attrs={"data-testid": "audit-about"},
            ),
        ),
        show_all(s, "/settings/audit"),
        label="Audit log",
    )


def _nothing() -> rx.Component:
    further = rx.cond(
        AuditState.next_href != "",
        page_link("Look further back", to=AuditState.next_href, class_name="np-link"),
        page_link("Show all", to="/settings/audit", class_name="np-link"),
    )
    return rx.cond(
        AuditState.filtered,
        nothing_matches("No row fits these filters.", "/settings/audit", further),
        empty_state("scroll-text", "Nothing yet", "What people and programs do here is written down from now on."),
    )


def _table() -> rx.Component:
    heads = [["When"], ["Who"], "What", "Result", ["Where"]]
    return table(heads, rx.foreach(AuditState.rows, _row), class_name="np-audit")


def _row(row: Any) -> rx.Component:
    return rx.table.row(
        rx.table.cell(time_ago(at=row["at"].to(str)), class_name="np-wide-only", white_space="nowrap"),
        rx.table.cell(rx.text(row["who"].to(str), class_name="np-cut", max_width="220px"), class_name="np-wide-only"),
        rx.table.row_header_cell(
            rx.el.div(
                rx.el.span(row["who"].to(str), class_name="np-phone-only np-cut"),
                rx.el.button(
                    row["words"].to(str),
                    type="button",
                    class_name="np-linkbutton np-stretch",
                    color="inherit",
                    on_click=AuditState.open(row["seq"].to(str)),
                ),
                rx.cond(
                    row["target"] != "",
                    rx.cond(
                        row["href"] != "",
                        page_link(row["target"].to(str), to=row["href"].to(str), class_name="np-link np-above np-cut"),
                        rx.el.span(row["target"].to(str), class_name="np-cut", font_weight="500"),
                    ),
                ),
                class_name="np-marks",
            ),
            rx.el.div(
                time_ago(at=row["at"].to(str)), rx.el.span(row["ip"].to(str)), class_name="np-phone-only np-marks"
            ),
            max_width="0",  # what is too long is cut, and not the table widened
            width="100%",
        ),
        rx.table.cell(status_badge(row["result"])),
        rx.table.cell(
            rx.cond(row["ip"] != "", rx.el.span(row["ip"].to(str), class_name="np-mono"), "–"),
            class_name="np-wide-only",
            white_space="nowrap",
        ),
        class_name="np-row",
        custom_attrs={"data-testid": "audit-row-" + row["seq"].to(str), "data-action": row["action"].to(str)},
    )
