"""`/workflows`."""
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# At class level Reflex turns fields into vars, which type checkers cannot see.

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.live.state import WORKFLOWS, LiveState
from novapulse.ui.components import empty_state, error_state, link_button, skeleton_rows, status_badge
from novapulse.ui.lists import capitalized, nothing_matches, pages, picked, table, toolbar, typed
from novapulse.ui.parts import page_link, time_ago, watch
from novapulse.ui.shell import page_head, shell
from novapulse.workflows.screens.list_state import RUN_STATES, WorkflowsState
from novapulse.workflows.screens.parts import runs_table


def workflows_page() -> rx.Component:
    """All workflows, and all runs."""
    return shell(
        watch(value=LiveState.changes[WORKFLOWS], on_change=WorkflowsState.refresh),
        page_head("Workflows", "Steps that follow each other, and go on where they were after any crash.", _new()),
        rx.tabs.root(
            rx.tabs.list(
                rx.tabs.trigger("Workflows", value="workflows", custom_attrs={"data-testid": "tab-workflows"}),
                rx.tabs.trigger("Runs", value="runs", custom_attrs={"data-testid": "tab-runs"}),
            ),
            rx.tabs.content(_workflows(), value="workflows", padding_top="16px"),
            rx.tabs.content(_runs(), value="runs", padding_top="16px"),
            value=WorkflowsState.tab,
            on_change=WorkflowsState.show_tab,
            activation_mode="manual",
            width="100%",
        ),
        active="Workflows",
        crumbs=[("Workflows", None)],
    )


def _new() -> rx.Component:
    return rx.cond(
        LiveState.may.contains("workflows:write"),
        link_button(rx.icon("plus", size=16), "New workflow", to="/workflows/new", testid="workflow-create"),
    )


def _workflows() -> rx.Component:
    return rx.fragment(
        toolbar(
            typed(WorkflowsState, "q", "Search workflows", "Search name, id", testid="workflow-search"),
            label="Workflows",
        ),
        _loaded(
            _table(),
            rx.cond(
                WorkflowsState.filtered,
                nothing_matches("No workflow is called so.", "/workflows"),
                empty_state(
                    "workflow",
                    "No workflows yet",
                    "A workflow does several things in order: e-mails, events, reports, calls, with waits and "
                    "conditions between them.",
                    _new(),
                ),
            ),
        ),
    )


def _runs() -> rx.Component:
    return rx.fragment(
        toolbar(
            picked(WorkflowsState, "state", "Any state", capitalized(RUN_STATES), testid="filter-run-state"),
            label="Runs",
        ),
        _loaded(
            runs_table(WorkflowsState.rows, of_one=False),
            empty_state("history", "No runs here", "A run appears when an event, a time, or somebody starts one."),
        ),
    )


def _loaded(rows: rx.Component, nothing: rx.Component) -> rx.Component:
    return rx.cond(
        WorkflowsState.problem != "",
        error_state(WorkflowsState.problem, WorkflowsState.refresh),
        rx.cond(
            WorkflowsState.loaded,
            rx.cond(
                WorkflowsState.rows.length() == 0,
                nothing,
                rx.fragment(rows, pages(WorkflowsState, first="First page", following="Next page")),
            ),
            skeleton_rows(6),
        ),
    )


def _table() -> rx.Component:
    heads = ["Workflow", ["Starts"], ["Running"], ["24 h"], ["Last run"], "On"]
    return table(heads, rx.foreach(WorkflowsState.rows, _row), class_name="np-flows")


def _row(w: Any) -> rx.Component:
    return rx.table.row(
        rx.table.row_header_cell(
            page_link(w["name"].to(str), to="/workflows/" + w["id"].to(str), class_name="np-link np-stretch"),
            rx.text(w["description"].to(str), size="1", color="var(--gray-11)", class_name="np-cut"),
            rx.el.div(
                rx.el.span(w["triggers"].to(str), class_name="np-cut"),
                rx.cond(w["last_id"] != "", status_badge(w["last_state"])),
                class_name="np-phone-only np-marks",
            ),
        ),
        rx.table.cell(rx.text(w["triggers"].to(str), size="1", class_name="np-mono"), class_name="np-wide-only"),
        rx.table.cell(w["running"].to(str), class_name="np-wide-only"),
        rx.table.cell(_numbers(w), class_name="np-wide-only", white_space="nowrap"),
        rx.table.cell(_last(w), class_name="np-wide-only", white_space="nowrap"),
        rx.table.cell(
            rx.switch(
                checked=w["enabled"].to(bool),
                on_change=lambda on: WorkflowsState.enable(w["id"].to(str), on),
                disabled=~LiveState.may.contains("workflows:write"),
                class_name="np-above",
                custom_attrs={
                    "aria-label": "Triggers of " + w["name"].to(str),
                    "data-testid": "workflow-switch-" + w["id"].to(str),
                },
            ),
        ),
        class_name="np-row",
        custom_attrs={"data-testid": "workflow-row-" + w["id"].to(str)},
    )


def _numbers(w: Any) -> rx.Component:
    return rx.el.span(
        w["completed"].to(str) + " done",
        rx.cond(
            w["failed"].to(int) > 0,
            rx.el.span(" · " + w["failed"].to(str) + " failed", style={"color": "var(--red-11)"}),
        ),
    )


def _last(w: Any) -> rx.Component:
    return rx.cond(
        w["last_id"] == "",
        rx.el.span("never", style={"color": "var(--gray-11)"}),
        rx.hstack(status_badge(w["last_state"]), time_ago(at=w["last_at"].to(str)), align="center", spacing="2"),
    )
