"""`/jobs/[job_id]`."""
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# At class level Reflex turns fields into vars, which type checkers cannot see.

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.jobs.screens.job_parts import attempts, facts, logs, timeline, why_not_running
from novapulse.jobs.screens.job_state import JobPageState
from novapulse.jobs.screens.parts import job_badge, may_change, progress_bar, quiet, traceback, undo_bar
from novapulse.ui.components import empty_state, error_state, section, skeleton_rows
from novapulse.ui.connection import catch_up
from novapulse.ui.parts import copy_button, page_link
from novapulse.ui.shell import shell


def job_page() -> rx.Component:
    """One job."""
    s = JobPageState
    return shell(
        catch_up(s.refresh),
        rx.cond(s.problem != "", error_state(s.problem, s.refresh)),
        rx.cond(
            s.loaded,
            rx.cond(s.gone, _gone(), _content(s.job)),
            skeleton_rows(8),
        ),
        active="Jobs",
        crumbs=[
            ("Jobs", "/jobs"),
            ("All jobs", "/jobs/list"),
            (rx.cond(s.job["task"], s.job["task"].to(str), "Job"), None),
        ],
    )


def _gone() -> rx.Component:
    return empty_state(
        "file-question",
        "This job is not there",
        "It was discarded, or deleted when its time was over; or its id is not right.",
        page_link("To the list", to="/jobs/list", class_name="np-link"),
        testid="job-gone",
    )


def _content(job: Any) -> rx.Component:
    return rx.vstack(
        _head(job),
        undo_bar(
            text=rx.cond(job["undo_text"] == "Discarded", "It is deleted when this time is over.", "Cancelled."),
            until=job["undo_until"].to(str),
            on_undo=JobPageState.act("undo"),
        ),
        _how_far(job),
        rx.cond(JobPageState.why["basis"], why_not_running()),
        rx.cond(job["error"] != "", _error(job)),
        rx.el.div(
            rx.vstack(
                section("Payload", _json(job["payload"], "job-payload"), action=_copy(job["payload"], "payload")),
                rx.cond(
                    job["result"] != "",
                    section("Result", _json(job["result"], "job-result"), action=_copy(job["result"], "result")),
                ),
                section("Log", logs()),
                spacing="4",
                align="stretch",
                min_width="0",
            ),
            rx.vstack(
                section("Facts", facts(job)),
                section("Timeline", timeline()),
                section("Attempts", attempts()),
                spacing="4",
                align="stretch",
                min_width="0",
            ),
            class_name="np-two",
        ),
        spacing="4",
        width="100%",
        align="stretch",
    )


def _head(job: Any) -> rx.Component:
    return rx.flex(
        rx.vstack(
            rx.hstack(
                rx.heading(job["task"].to(str), size="6", as_="h1", letter_spacing="-0.02em", overflow_wrap="anywhere"),
                job_badge(job["state"], cancelling=job["stopping"].to(bool)),
                rx.cond(job["pinned"].to(bool), rx.badge(rx.icon("pin", size=12), "pinned", variant="outline")),
                align="center",
                wrap="wrap",
            ),
            quiet(job["about"].to(str), size="2"),
            rx.hstack(
                rx.text(job["id"].to(str), class_name="np-mono np-cut", color="var(--gray-11)"),
                copy_button(text=job["id"].to(str), label="Copy id"),
                align="center",
                max_width="100%",
            ),
            spacing="1",
            min_width="0",
            flex="1 1 320px",
        ),
        rx.cond(may_change, _acts(job)),
        wrap="wrap",
        gap="12px",
        align="start",
        justify="between",
    )


def _acts(job: Any) -> rx.Component:
    def button(allowed: str, label: Any, icon: str, act: str, **props: Any) -> rx.Component:
        return rx.cond(
            job[allowed].to(bool),
            rx.button(
                rx.icon(icon, size=15),
                label,
                on_click=JobPageState.act(act),
                custom_attrs={"data-testid": f"job-{act}"},
                **props,
            ),
        )

    grey = {"variant": "soft", "color_scheme": "gray"}
    pinned = job["pinned"].to(bool)
    return rx.flex(
        button("may_retry", job["retry"].to(str), "rotate-cw", "retry"),
        button("may_cancel", job["cancel"].to(str), "ban", "cancel", **grey),
        rx.cond(
            job["may_pin"].to(bool),
            rx.button(
                rx.icon("pin", size=15),
                rx.cond(pinned, "Unpin", "Pin"),
                on_click=JobPageState.pin(~pinned),
                title="A pinned job is kept when others of its age are deleted",
                custom_attrs={"data-testid": "job-pin"},
                **grey,
            ),
        ),
        button("may_discard", "Discard", "trash-2", "discard", variant="soft", color_scheme="red"),
        gap="8px",
        wrap="wrap",
    )


def _how_far(job: Any) -> rx.Component:
    return rx.cond(
        (job["state"] == "active") & (job["percent"].to(int) >= 0),
        rx.box(
            rx.hstack(
                rx.text(job["progress"].to(str), size="2"),
                rx.spacer(),
                rx.text(job["percent"].to_string() + " %", size="2", weight="medium"),
                margin_bottom="6px",
            ),
            progress_bar(job["percent"], "Progress"),
            class_name="np-card np-num",
            custom_attrs={"data-testid": "job-progress"},
        ),
    )


def _error(job: Any) -> rx.Component:
    said = rx.text(
        job["error"].to(str), size="2", class_name="np-error-text", custom_attrs={"data-testid": "job-error"}
    )
    alike = rx.cond(
        job["fingerprint"] != "",
        page_link("Failures alike", to="/jobs/list?fingerprint=" + job["fingerprint"].to(str), class_name="np-link"),
    )
    return section(
        rx.cond(job["state"] == "cancelled", "Why it was cancelled", "What went wrong"),
        rx.vstack(
            said,
            rx.cond(job["traceback"] != "", traceback(text=job["traceback"].to(str))),
            spacing="3",
            align="stretch",
        ),
        action=rx.hstack(
            alike,
            rx.cond(job["traceback"] != "", _copy(job["traceback"], "traceback")),
            align="center",
        ),
    )


def _json(text: Any, testid: str) -> rx.Component:
    return rx.el.pre(text.to(str), class_name="np-pre", tab_index=0, custom_attrs={"data-testid": testid})


def _copy(text: Any, what: str) -> rx.Component:
    return copy_button(text=text.to(str), label=f"Copy {what}")
