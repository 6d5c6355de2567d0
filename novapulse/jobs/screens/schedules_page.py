"""`/jobs/schedules`."""
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# At class level Reflex turns fields into vars, which type checkers cannot see.

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.jobs.screens.parts import job_badge, jobs_page, loading, may_change, quiet
from novapulse.jobs.screens.schedule_form import schedule_form
from novapulse.jobs.screens.schedules_state import SchedulesState
from novapulse.ui.components import confirm, empty_state, error_state, skeleton_rows
from novapulse.ui.connection import catch_up
from novapulse.ui.lists import pages
from novapulse.ui.parts import page_link, time_ago


def schedules_page() -> rx.Component:
    """What is made again and again."""
    s = SchedulesState
    new = rx.cond(
        may_change,
        rx.button(
            rx.icon("plus", size=16),
            "New schedule",
            on_click=s.open("new"),
            custom_attrs={"data-testid": "schedule-new"},
        ),
    )
    return jobs_page(
        catch_up(s.refresh),
        rx.cond(s.problem != "", error_state(s.problem, s.refresh)),
        rx.cond(
            s.loaded,
            rx.cond(
                s.rows.length() == 0,
                empty_state(
                    "calendar-clock",
                    "No schedules yet",
                    "A schedule makes the same job again and again: every night, every Monday, every ten minutes.",
                    new,
                ),
                rx.fragment(_table(), pages(s)),
            ),
            loading("schedules", skeleton_rows(4)),
        ),
        schedule_form(),
        tab="schedules",
        text="Jobs that are made again and again, and when.",
        actions=(rx.cond(s.rows.length() > 0, new),),
    )


def _table() -> rx.Component:
    heads = ("Next", "Last", "Result")
    return rx.box(
        rx.table.root(
            rx.table.header(
                rx.table.row(
                    rx.table.column_header_cell("Schedule"),
                    *(rx.table.column_header_cell(head, class_name="np-wide-only") for head in heads),
                    rx.table.column_header_cell("On"),
                    rx.table.column_header_cell(rx.el.span("Acts", class_name="np-hidden")),
                )
            ),
            rx.table.body(rx.foreach(SchedulesState.rows, _row)),
            variant="ghost",
            class_name="np-num",
        ),
        class_name="np-table",
    )


def _row(w: Any) -> rx.Component:
    result = rx.cond(
        w["job"] != "",
        page_link(
            rx.cond(w["result"] != "", job_badge(w["result"]), "gone"),
            to="/jobs/" + w["job"].to(str),
            custom_attrs={"aria-label": "The last job of " + w["name"].to(str), "data-testid": "schedule-last"},
        ),
        "–",
    )
    next_ = rx.cond(w["next"] != "", time_ago(at=w["next"].to(str), due=True), "–")
    return rx.table.row(
        rx.table.row_header_cell(
            rx.text(w["name"].to(str), size="2", weight="medium", overflow_wrap="anywhere"),
            quiet(w["words"].to(str), " (", w["timezone"].to(str), ")"),
            rx.el.div(
                rx.el.code(w["cron"].to(str), class_name="np-mono"),
                quiet(w["task"].to(str)),
                rx.cond(w["tenant"] != "", rx.badge(w["tenant"].to(str), color_scheme="gray", variant="outline")),
                class_name="np-marks",
            ),
            rx.cond(
                w["error"] != "",
                rx.text(
                    "The last time made no job. ",
                    w["error"].to(str),
                    size="1",
                    color="var(--red-11)",
                    custom_attrs={"data-testid": "schedule-error"},
                ),
            ),
            rx.el.div(rx.el.span("next ", next_), result, class_name="np-phone-only np-marks"),
        ),
        rx.table.cell(next_, class_name="np-wide-only", white_space="nowrap"),
        rx.table.cell(time_ago(at=w["last"].to(str)), class_name="np-wide-only", white_space="nowrap"),
        rx.table.cell(result, class_name="np-wide-only"),
        rx.table.cell(
            rx.switch(
                checked=w["enabled"].to(bool),
                disabled=~may_change,
                on_change=lambda on: SchedulesState.enable(w["id"].to(str), on),
                size="1",
                custom_attrs={"aria-label": w["name"].to(str) + " is on", "data-testid": "schedule-on"},
            ),
        ),
        rx.table.cell(rx.cond(may_change, _acts(w))),
        custom_attrs={"data-testid": "schedule-" + w["id"].to(str)},
    )


def _acts(w: Any) -> rx.Component:
    def button(icon: str, label: str, testid: str, **props: Any) -> rx.Component:
        return rx.icon_button(
            rx.icon(icon, size=15),
            size="1",
            variant="soft",
            title=label,
            custom_attrs={"aria-label": f"{label}: " + w["name"].to(str), "data-testid": testid},
            **({"color_scheme": "gray"} | props),
        )

    return rx.flex(
        button("play", "Run now", "schedule-run", on_click=SchedulesState.run_now(w["id"].to(str))),
        button("pencil", "Change", "schedule-edit", on_click=SchedulesState.open(w["id"].to(str))),
        confirm(
            button("trash-2", "Delete", "schedule-delete", color_scheme="red"),
            title="Delete this schedule?",
            text="“" + w["name"].to(str) + "” makes no further jobs. Those that it made stay.",
            keep="Keep it",
            act="Delete",
            on_confirm=SchedulesState.delete(w["id"].to(str)),
            testid="schedule-delete-confirm",
        ),
        gap="6px",
        justify="end",
        wrap="wrap",
    )
