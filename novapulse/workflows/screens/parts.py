"""The parts of the pages of workflows."""
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# At class level Reflex turns fields into vars, which type checkers cannot see.

from __future__ import annotations

from typing import Any

import reflex as rx
from reflex.event import passthrough_event_spec

from novapulse.ui.components import status_badge
from novapulse.ui.lists import table
from novapulse.ui.parts import page_link, time_ago

_GRAPH = "$/public" + rx.asset("graph.jsx", shared=True)
_EDITOR = "$/public" + rx.asset("editor.jsx", shared=True)


class FlowGraph(rx.Component):
    """The picture of a workflow or a run."""

    library = _GRAPH
    tag = "FlowGraph"
    picture: rx.Var[dict[str, Any]]
    label: rx.Var[str]
    on_open: rx.EventHandler[passthrough_event_spec(str)]


class DefinitionEditor(rx.Component):
    """Where a definition is written."""

    library = _EDITOR
    tag = "DefinitionEditor"
    source: rx.Var[str]
    revision: rx.Var[str]
    errors: rx.Var[list[dict[str, Any]]]
    may_write: rx.Var[bool]
    is_new: rx.Var[bool]
    on_check: rx.EventHandler[passthrough_event_spec(str)]
    on_save: rx.EventHandler[passthrough_event_spec(str)]


class SecretForm(rx.Component):
    """Sets a secret, without its value passing through a state."""

    library = _EDITOR
    tag = "SecretForm"
    workflow_id: rx.Var[str]
    names: rx.Var[list[str]]


flow_graph = FlowGraph.create
definition_editor = DefinitionEditor.create
secret_form = SecretForm.create


def runs_table(rows: Any, *, of_one: bool) -> rx.Component:
    """Runs, newest first; `of_one`: all of the same workflow."""
    heads = ["Run" if of_one else "Workflow", "State", ["Started"], ["When"], ["Took"]]
    return table(heads, rx.foreach(rows, lambda run: _run(run, of_one)), class_name="np-runs")


def _run(run: Any, of_one: bool) -> rx.Component:
    to = "/workflows/runs/" + run["id"].to(str)
    title = run["id"].to(str) if of_one else run["workflow"].to(str)
    return rx.table.row(
        rx.table.row_header_cell(
            page_link(title, to=to, class_name="np-link np-stretch np-cut" + (" np-mono" if of_one else "")),
            rx.cond(
                run["error"] != "",
                rx.text(run["error"].to(str), size="1", color="var(--red-11)", class_name="np-cut"),
            ),
            rx.el.div(
                rx.el.span(run["started"].to(str)), time_ago(at=run["at"].to(str)), class_name="np-phone-only np-marks"
            ),
        ),
        rx.table.cell(status_badge(run["state"])),
        rx.table.cell(run["started"].to(str), class_name="np-wide-only"),
        rx.table.cell(time_ago(at=run["at"].to(str)), class_name="np-wide-only", white_space="nowrap"),
        rx.table.cell(run["took"].to(str), class_name="np-wide-only", white_space="nowrap"),
        class_name="np-row",
        custom_attrs={"data-testid": "run-row-" + run["id"].to(str)},
    )
