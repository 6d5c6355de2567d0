"""`/jobs/history`."""
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# At class level Reflex turns fields into vars, which type checkers cannot see.

from __future__ import annotations

import reflex as rx

from novapulse.jobs.screens.charts import rewind_slider
from novapulse.jobs.screens.history_state import HistoryState
from novapulse.jobs.screens.parts import jobs_page, loading
from novapulse.ui.components import error_state

_LABELS = {"24h": "24 h", "3h": "3 h", "15m": "15 min"}


def history_page() -> rx.Component:
    """The board at any moment of the last day."""
    s = HistoryState
    return jobs_page(
        rx.cond(s.problem != "", error_state(s.problem, s.load)),
        rx.cond(
            s.loaded,
            rx.box(
                rewind_slider(
                    times=s.times,
                    queues=s.queues,
                    marks=s.marks,
                    step=s.step,
                    start=s.start,
                    closest=s.closest,
                    on_zoom=s.zoom,
                ),
                class_name="np-card",
            ),
            loading("history", rx.skeleton(height="520px")),
        ),
        tab="history",
        text="What the board showed at any moment of the last 24 hours, and what was done then.",
        actions=(
            rx.segmented_control.root(
                *(
                    rx.segmented_control.item(label, value=span, custom_attrs={"data-testid": f"rewind-{span}"})
                    for span, label in _LABELS.items()
                ),
                value=s.span,
                on_change=s.go,
                size="1",
            ),
        ),
    )
