"""Throughput and times of a queue, with what happened marked."""
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# At class level Reflex turns fields into vars, which type checkers cannot see.

from __future__ import annotations

from typing import Any

import reflex as rx
from reflex.event import passthrough_event_spec

from novapulse.jobs.screens.board_state import QUEUES
from novapulse.jobs.screens.chart_state import SPANS, QueueChartState
from novapulse.live.state import LiveState
from novapulse.ui.components import error_state, section

_LABELS = {"15m": "15 min", "1h": "1 h", "24h": "24 h"}


# Assets of one module lie side by side, so that they can import each other.
_CHARTS, _REWIND = ("$/public" + rx.asset(f"{name}.jsx", shared=True) for name in ("charts", "rewind"))


class Rewind(rx.Component):
    """A slider over a span of time, and the board at its moment."""

    library = _REWIND
    tag = "Rewind"
    times: rx.Var[list[int]]
    queues: rx.Var[dict[str, list[list[Any] | None]]]
    marks: rx.Var[list[dict[str, Any]]]
    step: rx.Var[int]
    start: rx.Var[int]
    closest: rx.Var[bool]
    on_zoom: rx.EventHandler[passthrough_event_spec(int)]


rewind_slider = Rewind.create


class QueueCharts(rx.Component):
    """The charts; they go on with `now`, what is told each second `at`."""

    library = _CHARTS
    tag = "QueueCharts"
    points: rx.Var[list[list[float | None]]]
    step: rx.Var[int]
    span: rx.Var[int]
    marks: rx.Var[list[dict[str, Any]]]
    at: rx.Var[str]
    now: rx.Var[list[float | None]]


def queue_charts() -> rx.Component:
    """The charts of the queue and the span that the URL names."""
    s = QueueChartState
    now = rx.match(s.queue, *((name, LiveState.queues[at]["now"]) for at, name in enumerate(QUEUES)), [])
    return section(
        "How it went",
        rx.flex(
            _choice("queue", s.queue, {name: name.capitalize() for name in QUEUES}),
            _choice("window", s.window, {name: _LABELS[name] for name in SPANS}),
            gap="8px",
            wrap="wrap",
            justify="between",
            margin_bottom="16px",
        ),
        rx.cond(
            s.problem != "",
            error_state(s.problem, s.load),
            rx.cond(
                s.loaded,
                QueueCharts.create(points=s.points, step=s.step, span=s.span, marks=s.marks, at=LiveState.at, now=now),
                rx.skeleton(height="300px"),
            ),
        ),
    )


def _choice(name: str, value: Any, choices: dict[str, str]) -> rx.Component:
    return rx.segmented_control.root(
        *(
            rx.segmented_control.item(label, value=key, custom_attrs={"data-testid": f"chart-{key}"})
            for key, label in choices.items()
        ),
        value=value,
        on_change=lambda chosen: QueueChartState.go(name, chosen),
        size="1",
    )
