"""`/reports`."""
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# At class level Reflex turns fields into vars, which type checkers cannot see.

from __future__ import annotations

from typing import Any

import reflex as rx
from reflex.event import no_args_event_spec

from novapulse.live.state import LiveState
from novapulse.reports.content import TITLES
from novapulse.reports.screens.regular import regular_reports
from novapulse.reports.screens.state import ReportsState
from novapulse.ui.components import confirm, empty_state, error_state, skeleton_rows, status_badge
from novapulse.ui.lists import nothing_matches, pages, picked, table, toolbar
from novapulse.ui.parts import time_ago, watch
from novapulse.ui.shell import page_head, shell

_FORMS, _DOWNLOAD, _ = (
    "$/public" + rx.asset(name, shared=True)
    for name in ("report_forms.jsx", "report_download.jsx", "report_fields.jsx")  # the last for the first
)


class NewReport(rx.Component):
    """The button and dialog that have a report made."""

    library = _FORMS
    tag = "NewReport"
    kinds: rx.Var[list[str]]
    webhooks: rx.Var[list[dict[str, str]]]
    may_mail: rx.Var[bool]
    on_made: rx.EventHandler[no_args_event_spec]


class DownloadReport(rx.Component):
    """The button that downloads a report."""

    library = _DOWNLOAD
    tag = "DownloadReport"
    report_id: rx.Var[str]
    kind: rx.Var[str]
    label: rx.Var[str]


def reports_page() -> rx.Component:
    """All reports, and those that are made again and again."""
    return shell(
        watch(value=LiveState.report_changes, on_change=ReportsState.refresh),
        page_head("Reports", "What happened in a range of time, as a file.", _new_report()),
        rx.cond(ReportsState.problem != "", error_state(ReportsState.problem, ReportsState.load)),
        rx.cond(
            ReportsState.loaded,
            rx.fragment(
                _toolbar(),
                rx.cond(ReportsState.rows.length() == 0, _nothing(), rx.fragment(_table(), pages(ReportsState))),
                rx.cond(ReportsState.regular.length() > 0, regular_reports()),
            ),
            skeleton_rows(5),
        ),
        active="Reports",
        crumbs=[("Reports", None)],
    )


def _new_report() -> rx.Component:
    return rx.cond(
        ReportsState.may_make & (ReportsState.kinds.length() > 0),
        NewReport.create(
            kinds=ReportsState.kinds,
            webhooks=ReportsState.webhooks,
            may_mail=ReportsState.may_mail,
            on_made=ReportsState.refresh,
        ),
    )


def _toolbar() -> rx.Component:
    return toolbar(picked(ReportsState, "kind", "Any kind", TITLES, testid="report-filter"), label="Reports")


def _nothing() -> rx.Component:
    return rx.cond(
        ReportsState.filtered,
        nothing_matches("There is no report of this kind.", "/reports"),
        empty_state(
            "file-chart-column",
            "No reports yet",
            "A report tells what happened in a range of time: as PDF with charts, as XLSX or as CSV.",
        ),
    )


def _table() -> rx.Component:
    acts = rx.table.column_header_cell(rx.el.span("Download or delete", class_name="np-hidden"))
    heads = ["Report", ["Status"], ["Size"], ["Asked for by"], ["When"], acts]
    return table(heads, rx.foreach(ReportsState.rows, _row))


def _row(r: Any) -> rx.Component:
    return rx.table.row(
        rx.table.row_header_cell(
            rx.hstack(
                rx.text(r["title"].to(str), weight="medium", size="2"),
                rx.badge(r["format"].to(str), color_scheme="gray", size="1"),
                rx.cond(r["about"] != "", rx.badge(r["about"].to(str), variant="outline", size="1")),
                align="center",
                wrap="wrap",
                spacing="2",
            ),
            rx.text(r["range"].to(str), size="1", color="var(--gray-11)", as_="div"),
            rx.cond(
                r["webhook"] != "",
                rx.text(
                    "of one webhook: ", r["webhook"].to(str), size="1", color="var(--gray-11)", class_name="np-cut"
                ),
            ),
            rx.cond(
                r["mailed"] != "",
                rx.text("mailed to ", r["mailed"].to(str), size="1", color="var(--gray-11)", overflow_wrap="anywhere"),
            ),
            rx.el.div(_state(r), _amount(r), class_name="np-phone-only np-marks"),
        ),
        rx.table.cell(_state(r), class_name="np-wide-only", width="220px"),
        rx.table.cell(_amount(r), class_name="np-wide-only"),
        rx.table.cell(r["by"].to(str), class_name="np-wide-only"),
        rx.table.cell(time_ago(at=r["created"].to(str)), class_name="np-wide-only", white_space="nowrap"),
        rx.table.cell(
            rx.flex(
                rx.cond(
                    r["status"] == "ready",
                    DownloadReport.create(
                        report_id=r["id"].to(str),
                        kind=r["kind"].to(str),
                        label="Download " + r["title"].to(str) + ", " + r["range"].to(str),
                    ),
                ),
                rx.cond(ReportsState.may_make, _delete(r)),
                gap="6px",
                justify="end",
            )
        ),
        custom_attrs={"data-testid": "report-row-" + r["id"].to(str), "data-status": r["status"].to(str)},
    )


def _state(r: Any) -> rx.Component:
    return rx.box(
        status_badge(r["status"]),
        rx.cond(
            r["status"] == "making",
            rx.box(
                rx.progress(
                    value=r["percent"].to(int),
                    size="1",
                    custom_attrs={"aria-label": "How far it is", "data-testid": "report-progress"},
                ),
                rx.text(r["progress"].to(str), size="1", color="var(--gray-11)"),
                margin_top="6px",
                width="180px",
            ),
        ),
        rx.cond(
            r["error"] != "", rx.text(r["error"].to(str), size="1", color="var(--red-11)", overflow_wrap="anywhere")
        ),
        rx.cond(
            r["status"] == "ready",
            rx.text("deleted ", time_ago(at=r["expires"].to(str), due=True), size="1", color="var(--gray-11)"),
        ),
    )


def _amount(r: Any) -> rx.Component:
    return rx.cond(
        r["size"] != "",
        rx.box(
            rx.text(r["rows"].to(str), size="2", as_="div", white_space="nowrap"),
            rx.text(r["size"].to(str), size="1", color="var(--gray-11)", as_="div", white_space="nowrap"),
        ),
    )


def _delete(r: Any) -> rx.Component:
    return confirm(
        rx.icon_button(
            rx.icon("trash-2", size=15),
            variant="soft",
            color_scheme="gray",
            title="Delete",
            custom_attrs={
                "data-testid": "report-delete",
                "aria-label": "Delete " + r["title"].to(str) + ", " + r["range"].to(str),
            },
        ),
        title="Delete this report?",
        text="Its file is deleted for good; if it is still being made, that is called off.",
        keep="Keep it",
        act="Delete",
        on_confirm=ReportsState.delete(r["id"].to(str)),
        testid="report-delete-confirm",
    )
