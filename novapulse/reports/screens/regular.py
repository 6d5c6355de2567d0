"""Reports that are made again and again."""
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# At class level Reflex turns fields into vars, which type checkers cannot see.

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.reports.screens.state import ReportsState
from novapulse.ui.components import confirm, section, status_badge
from novapulse.ui.parts import time_ago


def regular_reports() -> rx.Component:
    """The schedules, with when each is due."""
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
