"""`/jobs/workers`."""
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# At class level Reflex turns fields into vars, which type checkers cannot see.

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.jobs.screens.parts import fact, jobs_page, loading, quiet
from novapulse.jobs.screens.workers_state import WorkersState
from novapulse.ui.components import empty_state, error_state, section, skeleton_rows
from novapulse.ui.connection import catch_up
from novapulse.ui.parts import page_link, time_ago


def workers_page() -> rx.Component:
    """Every worker that is alive, and those that died lately."""
    s = WorkersState
    return jobs_page(
        catch_up(s.load),
        rx.cond(s.problem != "", error_state(s.problem, s.load)),
        rx.cond(
            s.loaded,
            rx.cond(
                s.known,
                rx.fragment(
                    rx.cond(
                        s.rows.length() == 0,
                        empty_state(
                            "cpu",
                            "No worker is running",
                            "What is enqueued waits until one is. Start one with: novapulse worker",
                        ),
                        rx.el.div(rx.foreach(s.rows, _worker), class_name="np-workers"),
                    ),
                    rx.cond(s.gone.length() > 0, _all_gone()),
                ),
                empty_state(
                    "circle-help",
                    "Not known",
                    "Valkey, which workers report to, cannot be asked. Those that run go on with what they have.",
                    testid="workers-unknown",
                ),
            ),
            loading("workers", skeleton_rows(3)),
        ),
        tab="workers",
        text="The processes that run jobs: where they are, and what each is doing.",
    )


def _worker(w: Any) -> rx.Component:
    jobs = w["jobs"].to(list[dict[str, str]])
    return rx.el.section(
        rx.hstack(
            rx.icon("cpu", size=16, color="var(--gray-11)", flex="none"),
            rx.heading(w["name"].to(str), size="3", as_="h2", class_name="np-cut"),
            rx.spacer(),
            rx.badge(
                rx.icon("heart-pulse", size=13),
                rx.el.span("Last heartbeat ", class_name="np-hidden"),
                w["heartbeat"].to(str),
                title="Last heartbeat",
                color_scheme=rx.cond(w["late"].to(bool), "amber", "green"),
                variant="soft",
                custom_attrs={"data-testid": "worker-heartbeat"},
            ),
            align="center",
            min_width="0",
        ),
        rx.el.dl(
            fact("Host", w["host"].to(str), " · pid ", w["pid"].to(str)),
            fact("Version", w["version"].to(str)),
            fact("Memory", w["memory"].to(str)),
            fact("Processor", w["cpu"].to(str)),
            fact("Started", time_ago(at=w["started"].to(str))),
            class_name="np-facts",
        ),
        rx.el.ul(
            rx.foreach(w["lanes"].to(list[dict[str, Any]]), _slots),
            class_name="np-slots",
            aria_label="Running now",
        ),
        rx.cond(
            jobs.length() > 0,
            rx.el.ul(
                rx.foreach(jobs, _doing),
                rx.cond(w["more"] != "", rx.el.li(quiet(w["more"].to(str)))),
                class_name="np-doing",
                aria_label="Jobs that it runs",
            ),
        ),
        class_name="np-card np-num",
        custom_attrs={"data-testid": "worker-" + w["name"].to(str)},
    )


def _doing(job: Any) -> rx.Component:
    return rx.el.li(
        rx.icon("play", size=13, color="var(--blue-11)", flex="none"),
        page_link(job["task"], to="/jobs/" + job["id"], class_name="np-link np-cut"),
        quiet(job["short"], class_name="np-mono", title=job["id"]),
        rx.spacer(),
        quiet("since ", time_ago(at=job["since"]), white_space="nowrap"),
        custom_attrs={"data-testid": "doing-" + job["id"]},
    )


def _all_gone() -> rx.Component:
    return rx.box(
        section(
            "Gone",
            quiet(
                "These stopped without saying so: they were killed, or their machine is away. What they ran is begun "
                "again elsewhere."
            ),
            rx.el.ul(rx.foreach(WorkersState.gone, _gone), class_name="np-gone np-num"),
        ),
        margin_top="16px",
    )


def _gone(w: Any) -> rx.Component:
    jobs = w["jobs"].to(list[dict[str, str]])
    return rx.el.li(
        rx.flex(
            rx.icon("heart-off", size=15, color="var(--red-11)", flex="none"),
            rx.text(w["name"].to(str), size="2", weight="medium", class_name="np-cut"),
            rx.badge("gone", color_scheme="red", variant="soft"),
            rx.spacer(),
            quiet("last heartbeat ", time_ago(at=w["at"].to(str)), white_space="nowrap"),
            gap="8px",
            align="center",
            min_width="0",
        ),
        rx.cond(
            jobs.length() > 0,
            rx.el.ul(rx.foreach(jobs, _doing), class_name="np-doing", aria_label="Jobs that it ran"),
        ),
        custom_attrs={"data-testid": "worker-gone"},
    )


def _slots(lane: Any) -> rx.Component:
    return rx.el.li(
        page_link(lane["queue"], to="/jobs/list?state=active&queue=" + lane["queue"].to(str), class_name="np-link"),
        rx.progress(
            value=lane["share"].to(int),
            size="1",
            custom_attrs={"aria-label": "Busy slots of " + lane["queue"].to(str)},
        ),
        quiet(lane["running"].to(str)),
    )
