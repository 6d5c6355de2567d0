"""`/jobs/workers`."""
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# At class level Reflex turns fields into vars, which type checkers cannot see.

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.jobs.screens.parts import jobs_page, loading, quiet
from novapulse.live.state import LiveState
from novapulse.ui.components import empty_state, skeleton_rows
from novapulse.ui.parts import page_link, time_ago


def workers_page() -> rx.Component:
    """Every worker that is alive."""
    return jobs_page(
        rx.cond(
            LiveState.at == "",
            loading("workers", skeleton_rows(3)),
            rx.cond(
                LiveState.workers_known,
                rx.cond(
                    LiveState.workers.length() == 0,
                    empty_state(
                        "cpu",
                        "No worker is running",
                        "What is enqueued waits until one is. Start one with: novapulse worker",
                    ),
                    rx.el.div(rx.foreach(LiveState.workers, _worker), class_name="np-workers"),
                ),
                empty_state(
                    "circle-help",
                    "Not known",
                    "Valkey, which workers report to, cannot be asked. Those that run go on with what they have.",
                    testid="workers-unknown",
                ),
            ),
        ),
        tab="workers",
        text="The processes that run jobs: where they are, and what each is doing.",
    )


def _worker(w: Any) -> rx.Component:
    late = w["heartbeat_age_s"].to(float) > 5
    return rx.el.section(
        rx.hstack(
            rx.icon("cpu", size=16, color="var(--gray-11)", flex="none"),
            rx.heading(w["name"].to(str), size="3", as_="h2", class_name="np-cut"),
            rx.spacer(),
            rx.badge(
                rx.icon("heart-pulse", size=13),
                "heartbeat " + w["heartbeat_age_s"].to_string() + " s ago",
                color_scheme=rx.cond(late, "amber", "green"),
                variant="soft",
                custom_attrs={"data-testid": "worker-heartbeat"},
            ),
            align="center",
            min_width="0",
        ),
        rx.el.dl(
            _fact("Host", w["host"].to(str), " · pid ", w["pid"].to_string()),
            _fact("Version", w["version"].to(str)),
            _fact("Memory", w["mb"].to(str)),
            _fact("Started", time_ago(at=w["started_at"].to(str))),
            class_name="np-facts",
        ),
        rx.el.ul(
            rx.foreach(w["lanes"].to(list[dict[str, Any]]), _slots),
            class_name="np-slots",
            aria_label="Running now",
        ),
        class_name="np-card np-num",
        custom_attrs={"data-testid": "worker-" + w["name"].to(str)},
    )


def _fact(label: str, *value: Any) -> rx.Component:
    return rx.el.div(rx.el.dt(label), rx.el.dd(*value))


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
