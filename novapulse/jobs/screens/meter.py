"""The conservation meter: what was enqueued is in a state, or was deleted; nothing goes missing unseen."""
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# At class level Reflex turns fields into vars, which type checkers cannot see.

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.jobs.screens.board_state import BoardState
from novapulse.jobs.screens.parts import may_change, quiet
from novapulse.live.state import LiveState
from novapulse.ui.components import section
from novapulse.ui.parts import page_link, time_ago

# What is added up, and what it is called.
_PARTS = (
    ("waiting", "Waiting"),
    ("active", "Active"),
    ("delayed", "Delayed"),
    ("completed", "Done"),
    ("dead", "Dead"),
    ("cancelled", "Cancelled"),
    ("gone", "Deleted"),
)


def conservation_meter() -> rx.Component:
    """The meter of every queue; a drift is red, and can be repaired."""
    m = LiveState.meter
    return section(
        "Nothing goes missing",
        rx.cond(m["queues"], _meter(m), rx.skeleton(height="220px")),
        action=rx.cond(
            m["checked_at"] != "", quiet("Counters compared with the rows ", time_ago(at=m["checked_at"].to(str)))
        ),
    )


def _meter(m: Any) -> rx.Component:
    fine = rx.text(
        rx.icon("circle-check", size=16, color="var(--green-11)"),
        "Every job that was ever enqueued is in a state, or was deleted.",
    )
    wrong = rx.text(
        rx.icon("octagon-alert", size=16),
        "Numbers do not add up. “Repair” makes the counters what the rows say, and hands out again what Valkey lost.",
        color="var(--red-11)",
        role="alert",
    )
    return rx.vstack(
        rx.box(
            rx.cond(m["ok"].to(bool), fine, wrong),
            class_name="np-meter-says",
            custom_attrs={"data-testid": "meter-verdict", "data-ok": m["ok"].to_string()},
        ),
        rx.table.root(
            rx.table.header(
                rx.table.row(
                    rx.table.column_header_cell("Queue"),
                    rx.table.column_header_cell("Enqueued", class_name="np-right"),
                    *(rx.table.column_header_cell(label, class_name="np-right np-wide-only") for _, label in _PARTS),
                    rx.table.column_header_cell("Drift", class_name="np-right"),
                    rx.table.column_header_cell(
                        "In Valkey", class_name="np-right np-wide-only", title="Jobs that its stream carries"
                    ),
                    rx.table.column_header_cell(
                        "Lost", class_name="np-right", title="Waiting jobs whose entry in Valkey is gone"
                    ),
                    rx.table.column_header_cell(rx.el.span("Repair", class_name="np-hidden")),
                )
            ),
            rx.table.body(rx.foreach(m["queues"].to(list[dict[str, Any]]), _row)),
            size="1",
            class_name="np-num np-meter",
        ),
        rx.cond(
            BoardState.lost.length() > 0,
            rx.text(
                "Lost by Valkey: ",
                rx.foreach(
                    BoardState.lost,
                    lambda id_: page_link(id_, to="/jobs/" + id_, class_name="np-link np-mono np-apart"),
                ),
                size="2",
                custom_attrs={"data-testid": "meter-ids"},
            ),
        ),
        rx.cond(
            m["corrections"].to(list[dict[str, str]]).length() > 0,
            rx.el.ul(
                rx.foreach(
                    m["corrections"].to(list[dict[str, str]]),
                    lambda c: rx.el.li(
                        time_ago(at=c["at"]), " ", rx.el.b(c["queue"]), ", by ", c["by"], ": ", c["text"]
                    ),
                ),
                class_name="np-says",
                aria_label="The latest corrections",
                custom_attrs={"data-testid": "meter-corrections"},
            ),
        ),
        spacing="3",
        align="stretch",
    )


def _row(q: Any) -> rx.Component:
    def cell(value: Any, **props: Any) -> rx.Component:
        return rx.table.cell(value.to(str), **({"class_name": "np-right"} | props))

    wrong = {"color": rx.cond(q["ok"].to(bool), "inherit", "var(--red-11)"), "font_weight": "600"}
    return rx.table.row(
        rx.table.row_header_cell(q["name"].to(str)),
        cell(q["enqueued"]),
        *(cell(q[name], class_name="np-right np-wide-only") for name, _ in _PARTS),
        cell(q["drift"], custom_attrs={"data-testid": "meter-drift"}, **wrong),
        cell(q["in_valkey"], class_name="np-right np-wide-only"),
        rx.table.cell(
            rx.cond(
                (q["missing"] == "0") | (q["missing"] == "?"),
                q["missing"].to(str),
                rx.el.button(
                    q["missing"].to(str),
                    type="button",
                    class_name="np-linkbutton",
                    title="Name them",
                    on_click=BoardState.show_lost(q["name"].to(str)),
                    custom_attrs={"data-testid": "meter-lost", "aria-label": "Name the lost jobs"},
                ),
            ),
            class_name="np-right",
            **wrong,
        ),
        rx.table.cell(
            rx.cond(
                may_change & ~q["ok"].to(bool),
                rx.button(
                    "Repair",
                    size="1",
                    color_scheme="red",
                    on_click=BoardState.repair(q["name"].to(str)),
                    custom_attrs={"data-testid": "meter-repair", "aria-label": "Repair " + q["name"].to(str)},
                ),
            ),
            class_name="np-right",
        ),
        custom_attrs={"data-testid": "meter-" + q["name"].to(str), "data-ok": q["ok"].to_string()},
    )
