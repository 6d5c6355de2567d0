"""The tab “Attempts over time” of a webhook."""
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# At class level Reflex turns fields into vars, which type checkers cannot see.

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.ui.components import section
from novapulse.webhooks.screens.chart_state import MINUTES, SPANS, ChartState
from novapulse.webhooks.screens.detail_state import DetailState

_LABELS = {"15m": "15 min", "1h": "1 h", "24h": "24 h"}


class AttemptsChart(rx.Component):
    """Bars of what was delivered and what failed, and a line of p95."""

    library = "$/public" + rx.asset("attempts_chart.jsx", shared=True)
    tag = "AttemptsChart"
    points: rx.Var[list[dict[str, Any]]]
    minutes: rx.Var[int]  # that a bar stands for


def attempts_over_time() -> rx.Component:
    """The chart and the span it shows."""
    return section(
        "Attempts over time",
        AttemptsChart.create(
            points=ChartState.points, minutes=rx.match(ChartState.span, *MINUTES.items(), MINUTES["1h"])
        ),
        action=rx.segmented_control.root(
            *(
                rx.segmented_control.item(_LABELS[span], value=span, custom_attrs={"data-testid": f"over-{span}"})
                for span in SPANS
            ),
            value=ChartState.span,
            on_change=lambda span: DetailState.go("over", span),
            size="1",
        ),
    )
