"""`/jobs/failures`."""
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# At class level Reflex turns fields into vars, which type checkers cannot see.

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.jobs.screens.bulk_dialog import bulk_dialog
from novapulse.jobs.screens.bulk_state import BulkState
from novapulse.jobs.screens.failures_state import FailuresState
from novapulse.jobs.screens.filters import QUEUES
from novapulse.jobs.screens.parts import jobs_page, loading, may_change, quiet
from novapulse.ui.components import empty_state, error_state, skeleton_rows
from novapulse.ui.connection import catch_up
from novapulse.ui.lists import capitalized, nothing_matches, picked, show_all, toolbar
from novapulse.ui.parts import page_link, time_ago, watch

_SPANS = {"1h": "Last hour", "24h": "Last 24 h", "7d": "Last 7 days"}


def failures_page() -> rx.Component:
    """One line per cause, however many jobs it took down."""
    s = FailuresState
    return jobs_page(
        catch_up(s.refresh),
        watch(value=BulkState.state, on_change=s.refresh),
        toolbar(
            picked(s, "queue", "Any queue", capitalized(QUEUES), testid="failures-queue"),
            picked(s, "span", "Jobs of any time", _SPANS, testid="failures-span"),
            show_all(s, "/jobs/failures"),
            label="Failures",
        ),
        rx.cond(s.problem != "", error_state(s.problem, s.refresh)),
        rx.cond(
            s.loaded,
            rx.cond(s.groups.length() == 0, _nothing(), _groups()),
            loading("failures", skeleton_rows(5)),
        ),
        bulk_dialog(),
        tab="failures",
        text="What failed, grouped by what failures have in common: one cause is one line.",
    )


def _nothing() -> rx.Component:
    return rx.cond(
        FailuresState.filtered,
        nothing_matches("Nothing that fits these filters has failed.", "/jobs/failures"),
        empty_state(
            "circle-check", "Nothing has failed", "Jobs that fail, and what they have in common, are shown here."
        ),
    )


def _groups() -> rx.Component:
    return rx.vstack(
        rx.cond(
            ~FailuresState.complete,
            quiet("More failed than can be looked at in one go: the numbers are of the newest.", size="2"),
        ),
        rx.el.ul(rx.foreach(FailuresState.groups, _group), class_name="np-groups", aria_label="Failures"),
        spacing="3",
        align="stretch",
    )


def _group(g: Any) -> rx.Component:
    fingerprint = g["fingerprint"].to(str)

    def button(label: str, icon: str, act: str, color: str) -> rx.Component:
        return rx.button(
            rx.icon(icon, size=14),
            label,
            size="2",
            variant="soft",
            color_scheme=color,
            on_click=FailuresState.ask(fingerprint, act),
            custom_attrs={"data-testid": f"failure-{act}"},
        )

    return rx.el.li(
        rx.el.div(
            rx.text(g["error"].to(str), size="2", weight="medium", overflow_wrap="anywhere"),
            rx.el.p(
                page_link(
                    g["task"].to(str), to="/jobs/list?fingerprint=" + fingerprint, class_name="np-link",
                    custom_attrs={"data-testid": "failure-jobs"},
                ),
                rx.el.span(g["queue"].to(str)),
                rx.cond(g["last"] != "", rx.el.span("last ", time_ago(at=g["last"].to(str)))),
                rx.cond(g["first"] != "", rx.el.span("first ", time_ago(at=g["first"].to(str)))),
                page_link("Example", to="/jobs/" + g["example"].to(str), class_name="np-link"),
                class_name="np-marks",
            ),
            class_name="np-grow",
        ),
        rx.el.dl(
            rx.el.div(rx.el.dt("Dead"), rx.el.dd(g["dead"].to(str))),
            rx.el.div(rx.el.dt("To be tried again"), rx.el.dd(g["retrying"].to(str))),
        ),
        rx.cond(
            may_change,
            rx.el.div(
                rx.cond(g["any_dead"].to(bool), button("Try one, then the rest", "rotate-cw", "retry", "indigo")),
                rx.cond(g["may_discard"].to(bool), button("Discard", "trash-2", "discard", "gray")),
                class_name="np-group-acts",
            ),
        ),
        class_name="np-card np-num",
        custom_attrs={"data-testid": "failure-" + fingerprint},
    )  # fmt: skip
