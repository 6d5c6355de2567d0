"""`/jobs/list`."""
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# At class level Reflex turns fields into vars, which type checkers cannot see.

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.jobs.screens.bulk_dialog import bulk_dialog
from novapulse.jobs.screens.bulk_state import BulkState
from novapulse.jobs.screens.filters import QUEUES, SPANS, STATES
from novapulse.jobs.screens.list_parts import HEADS, job_cells
from novapulse.jobs.screens.list_state import JobsState
from novapulse.jobs.screens.parts import STATES as LOOKS
from novapulse.jobs.screens.parts import jobs_page, loading, may_change, picks, quiet
from novapulse.live.state import LiveState
from novapulse.ui.components import empty_state, error_state, skeleton_rows
from novapulse.ui.connection import catch_up
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
from novapulse.ui.parts import time_ago, watch

_SPANS = {"15m": "Last 15 min", "1h": "Last hour", "24h": "Last 24 h", "7d": "Last 7 days"}
_FOLLOWED = {"fingerprint": "Failures alike", "schedule": "Of the schedule", "parent": "Of the job"}


def list_page() -> rx.Component:
    """Jobs by state, with filters."""
    s = JobsState
    return jobs_page(
        catch_up(s.refresh),
        rx.cond((s.selected.length() > 0) & ~s.behind, watch(value=_counts(), on_change=s.fall_behind)),
        watch(value=BulkState.started, on_change=s.select_page(False)),
        _states(),
        _toolbar(),
        rx.cond(s.problem != "", error_state(s.problem, s.refresh)),
        rx.cond(
            s.loaded,
            rx.fragment(
                rx.cond(s.rows.length() == 0, _nothing(), rx.fragment(_table(), _bulk())),
                _pages(),
            ),
            loading("jobs", skeleton_rows(8)),
        ),
        bulk_dialog(),
        tab="list",
        text="Every job and every delivery, newest first.",
    )


def _counts() -> Any:
    """Something that differs whenever a job has changed its state."""
    t = LiveState.totals
    return (
        t["waiting"].to(str) + " " + t["active"].to(str) + " " + t["delayed"].to(str) + " "
        + t["completed"].to(str) + " " + t["failed"].to(str) + " " + t["dead"].to(str) + " " + t["cancelled"].to(str)
    )  # fmt: skip


def _count(state: str) -> Any:
    """How many are in a state, in the queue that is chosen."""
    of_queue = ((name, LiveState.queues[at][state].to(str)) for at, name in enumerate(QUEUES))
    return rx.match(JobsState.filters["queue"], *of_queue, LiveState.totals[state].to(str))


def _states() -> rx.Component:
    """The states as filters, with how many are in each."""
    s = JobsState

    def chip(state: str, label: str, icon: str, number: Any) -> rx.Component:
        return rx.el.button(
            rx.icon(icon, size=14),
            label,
            number,
            type="button",
            on_click=s.set_filter("state", state),
            class_name="np-chip np-num",
            custom_attrs={
                "data-testid": f"state-{state or 'any'}",
                "aria-pressed": (s.filters["state"] == state).to_string(),
            },
        )

    return rx.el.div(
        chip("", "Any state", "layers", rx.fragment()),
        *(
            chip(state, state.capitalize(), LOOKS[state][1], rx.cond(s.counted, rx.el.b(_count(state))))
            for state in STATES
        ),
        class_name="np-chips",
        role="group",
        aria_label="States",
    )


def _toolbar() -> rx.Component:
    s = JobsState
    return toolbar(
        typed(s, "q", "Search jobs", "Search id, payload, key", testid="jobs-search"),
        typed(s, "task", "Filter by task", "Any task", icon="tag", options=s.tasks, testid="jobs-task"),
        picked(s, "queue", "Any queue", capitalized(QUEUES), testid="jobs-queue"),
        picked(s, "span", "Any time", {name: _SPANS[name] for name in SPANS}, testid="jobs-span"),
        rx.el.button(
            rx.icon("pin", size=14),
            "Pinned",
            type="button",
            on_click=s.set_filter("pinned", rx.cond(s.filters["pinned"] == "1", "", "1")),
            class_name="np-chip",
            custom_attrs={"data-testid": "jobs-pinned", "aria-pressed": (s.filters["pinned"] == "1").to_string()},
        ),
        *(_followed(name, label) for name, label in _FOLLOWED.items()),
        show_all(s, "/jobs/list"),
        label="Jobs",
    )


def _followed(name: str, label: str) -> rx.Component:
    """A filter that comes from a link, which can be taken away."""
    value = JobsState.filters[name]
    return rx.cond(
        value != "",
        rx.el.button(
            label + " ",
            rx.el.span(value, class_name="np-mono np-cut"),
            rx.icon("x", size=13),
            type="button",
            on_click=JobsState.set_filter(name, ""),
            class_name="np-chip np-chip-cut",
            custom_attrs={"aria-pressed": "true", "aria-label": f"{label}: " + value + "; show others, too"},
        ),
    )


def _nothing() -> rx.Component:
    return rx.cond(
        JobsState.filtered | (JobsState.cursor != ""),
        nothing_matches("No job that was looked at fits these filters.", "/jobs/list"),
        empty_state(
            "layers",
            "No jobs yet",
            "A job is made when an event is delivered, a mail is sent, a report is made or a workflow runs.",
        ),
    )


def _table() -> rx.Component:
    s = JobsState
    heads = [all_box(s, s.select_page), *HEADS]
    return picks(table(heads, rx.foreach(s.rows, _row), class_name="np-hooks np-joblist"), on_pick=s.select)


def _row(job: Any) -> rx.Component:
    selected = JobsState.selected.contains(job["id"])
    return rx.table.row(
        rx.table.cell(
            rx.checkbox(
                checked=selected,
                class_name="np-above",
                custom_attrs={
                    "aria-label": "Select " + job["task"].to(str) + " " + job["id"].to(str),
                    "data-pick": job["id"].to(str),
                },
            ),
        ),
        *job_cells(job),
        class_name="np-row",
        custom_attrs={
            "data-testid": "job-row-" + job["id"].to(str),
            "data-state": job["state"],
            "data-selected": selected.to_string(),
        },
    )


def _bulk() -> rx.Component:
    s = JobsState

    def button(label: str, act: str, color: str) -> rx.Component:
        return rx.button(
            label, size="2", variant="soft", color_scheme=color, on_click=s.ask(act),
            custom_attrs={"data-testid": f"bulk-{act}"},
        )  # fmt: skip

    how_many = rx.cond(s.all_match, "All that match", s.selected.length().to_string() + " selected")
    return rx.cond(
        s.selected.length() > 0,
        rx.el.div(
            rx.el.p(
                rx.el.b(how_many, role="status"),
                rx.cond(
                    s.behind, quiet("Jobs have changed since; the list stands still until you are done.", as_="span")
                ),
                rx.cond(
                    s.all_selected & (s.next_href != "") & s.filtered & ~s.all_match,
                    rx.el.button(
                        "Select all that match",
                        type="button",
                        class_name="np-linkbutton",
                        on_click=s.select_matching,
                        custom_attrs={"data-testid": "select-matching"},
                    ),
                ),
            ),
            rx.cond(
                may_change,
                rx.fragment(
                    button("Retry", "retry", "indigo"),
                    button("Cancel", "cancel", "gray"),
                    button("Discard", "discard", "red"),
                ),
            ),
            none_button(s.select_page(False)),
            class_name="np-bulk np-bulk-jobs",
            role="group",
            aria_label="Selected jobs",
        ),
    )


def _pages() -> rx.Component:
    s = JobsState
    looked = rx.cond(
        s.searched_to != "",
        quiet(
            "Looked at jobs made up to ",
            time_ago(at=s.searched_to),
            "; older ones are on the next page.",
            custom_attrs={"data-testid": "searched-to"},
        ),
    )
    return pages(s, looked)
