"""A job as a row of a table."""
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# At class level Reflex turns fields into vars, which type checkers cannot see.

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.jobs.screens.parts import job_badge, progress_bar, quiet
from novapulse.ui.parts import page_link, time_ago

HEADS = ["Job", ["State"], ["Queue"], ["Attempts"], ["Wait"], ["Run"], ["Made"]]


def job_cells(job: Any) -> list[rx.Component]:
    """The cells of a row."""
    return [
        rx.table.row_header_cell(
            rx.el.div(
                page_link(job["task"].to(str), to="/jobs/" + job["id"].to(str), class_name="np-link np-stretch"),
                rx.cond(job["pinned"].to(bool), rx.icon("pin", size=13, custom_attrs={"aria-label": "Pinned"})),
                rx.cond(job["tenant"] != "", rx.badge(job["tenant"].to(str), color_scheme="gray", variant="outline")),
                class_name="np-marks",
            ),
            quiet(job["summary"].to(str), class_name="np-cut np-mono"),
            rx.cond(
                job["error"] != "", rx.text(job["error"].to(str), size="1", color="var(--red-11)", class_name="np-cut")
            ),
            _how_far(job),
            rx.el.div(
                job_badge(job["state"], cancelling=job["stopping"].to(bool)),
                rx.el.span(job["queue"].to(str)),
                time_ago(at=job["created"].to(str)),
                class_name="np-phone-only np-marks",
            ),
        ),
        rx.table.cell(
            job_badge(job["state"], cancelling=job["stopping"].to(bool)),
            rx.cond(job["next"] != "", quiet(time_ago(at=job["next"].to(str), due=True))),
            rx.cond(job["undo_until"] != "", quiet(job["undo_text"].to(str))),
            class_name="np-wide-only",
            white_space="nowrap",
        ),
        *(
            rx.table.cell(job[name].to(str), class_name="np-wide-only", white_space="nowrap")
            for name in ("queue", "attempts", "wait", "run")
        ),
        rx.table.cell(time_ago(at=job["created"].to(str)), class_name="np-wide-only", white_space="nowrap"),
    ]


def _how_far(job: Any) -> rx.Component:
    return rx.cond(
        job["percent"].to(int) >= 0,
        rx.box(
            progress_bar(job["percent"], "Progress of " + job["task"].to(str)),
            quiet(job["progress"].to(str), class_name="np-cut"),
            margin_top="4px",
        ),
    )
