"""`/reports`."""
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# At class level Reflex turns fields into vars, which type checkers cannot see.

from __future__ import annotations

from typing import Any

import reflex as rx
from reflex.event import no_args_event_spec

from novapulse.live.state import LiveState
from novapulse.reports.content import TITLES
from novapulse.reports.screens.state import ReportsState
from novapulse.ui.components import confirm, empty_state, error_state, section, skeleton_rows, status_badge
from novapulse.ui.parts import page_link, time_ago, watch
from novapulse.ui.shell import page_head, shell

_FORMS = "$/public" + rx.asset("report_forms.jsx", shared=True)


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

    library = _FORMS
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
                rx.cond(ReportsState.rows.length() == 0, _nothing(), rx.fragment(_table(), _pages())),
                rx.cond(ReportsState.regular.length() > 0, _schedules()),
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
    return rx.el.div(
        rx.select.root(
            rx.select.trigger(custom_attrs={"aria-label": "Filter by kind", "data-testid": "report-filter"}),
            rx.select.content(
                rx.select.item("Any kind", value="all"),
                *(rx.select.item(title, value=kind) for kind, title in TITLES.items()),
            ),
            value=rx.cond(ReportsState.kind == "", "all", ReportsState.kind),
            on_change=ReportsState.set_kind,
        ),
        class_name="np-filters",
        role="search",
        aria_label="Reports",
    )


def _nothing() -> rx.Component:
    return rx.cond(
        ReportsState.kind != "",
        empty_state(
            "search-x",
            "Nothing matches",
            "There is no report of this kind.",
            page_link("Show all", to="/reports", class_name="np-link"),
            testid="nothing-matches",
        ),
        empty_state(
            "file-chart-column",
            "No reports yet",
            "A report tells what happened in a range of time: as PDF with charts, as XLSX or as CSV.",
        ),
    )


def _table() -> rx.Component:
    heads = ("Status", "Size", "Asked for by", "When")
    return rx.box(
        rx.table.root(
            rx.table.header(
                rx.table.row(
                    rx.table.column_header_cell("Report"),
                    *(rx.table.column_header_cell(head, class_name="np-wide-only") for head in heads),
                    rx.table.column_header_cell(rx.el.span("Download or delete", class_name="np-hidden")),
                )
            ),
            rx.table.body(rx.foreach(ReportsState.rows, _row)),
            variant="ghost",
            class_name="np-num",
        ),
        class_name="np-table",
    )


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


def _pages() -> rx.Component:
    def to(label: str, href: Any, testid: str) -> rx.Component:
        return rx.cond(
            href != "", page_link(label, to=href, class_name="np-link", custom_attrs={"data-testid": testid})
        )

    return rx.hstack(
        to("Newest", ReportsState.first_href, "reports-newest"),
        to("Older", ReportsState.next_href, "reports-older"),
        justify="center",
        margin_top="12px",
        spacing="4",
    )


def _schedules() -> rx.Component:
    return rx.box(
        section(
            "Made again and again",
            rx.el.ul(rx.foreach(ReportsState.regular, _schedule), class_name="np-rows"),
        ),
        margin_top="24px",
    )


def _schedule(s: Any) -> rx.Component:
    said = rx.cond(s["mailed"] != "", ", mailed to " + s["mailed"].to(str), "")
    return rx.el.li(
        rx.box(
            rx.hstack(
                rx.text(s["name"].to(str), weight="medium", size="2", overflow_wrap="anywhere"),
                rx.badge(s["format"].to(str), color_scheme="gray", size="1"),
                rx.cond(s["enabled"].to(bool), rx.fragment(), status_badge("paused")),
                align="center",
                wrap="wrap",
                spacing="2",
            ),
            rx.text(
                s["title"].to(str) + ", " + s["range"].to(str) + said,
                size="1",
                color="var(--gray-11)",
                overflow_wrap="anywhere",
            ),
            rx.text(
                s["when"].to(str) + " (" + s["timezone"].to(str) + ")",
                rx.cond(s["next"] != "", rx.fragment(" · next ", time_ago(at=s["next"].to(str), due=True))),
                size="1",
                color="var(--gray-11)",
            ),
            rx.cond(s["error"] != "", rx.text(s["error"].to(str), size="1", color="var(--red-11)")),
            min_width="0",
            flex="1",
        ),
        rx.cond(
            ReportsState.may_make,
            rx.hstack(
                rx.button(
                    "Run now",
                    size="1",
                    variant="soft",
                    on_click=ReportsState.run_now(s["id"].to(str)),
                    custom_attrs={"data-testid": "report-run", "aria-label": "Run now: " + s["name"].to(str)},
                ),
                confirm(
                    rx.button(
                        "Delete",
                        size="1",
                        variant="soft",
                        color_scheme="gray",
                        custom_attrs={
                            "data-testid": "report-unschedule",
                            "aria-label": "Delete the schedule " + s["name"].to(str),
                        },
                    ),
                    title="Delete this schedule?",
                    text="No further reports are made by it. Those that it made stay.",
                    keep="Keep it",
                    act="Delete",
                    on_confirm=ReportsState.unschedule(s["id"].to(str)),
                    testid="report-unschedule-confirm",
                ),
            ),
        ),
        custom_attrs={"data-testid": "report-schedule-" + s["id"].to(str)},
    )
