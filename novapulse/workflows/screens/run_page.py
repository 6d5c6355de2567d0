"""`/workflows/runs/[run_id]`."""
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# At class level Reflex turns fields into vars, which type checkers cannot see.

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.live.state import SOME, LiveState
from novapulse.ui.components import confirm, error_state, section, skeleton_rows, status_badge
from novapulse.ui.drawer import drawer, drawer_head
from novapulse.ui.parts import copy_button, page_link, time_ago, watch
from novapulse.ui.shell import shell
from novapulse.workflows.screens.parts import flow_graph
from novapulse.workflows.screens.run_state import RunState


def run_page() -> rx.Component:
    """One run."""
    run = RunState.run
    return shell(
        watch(
            value=LiveState.changes[run["id"].to(str)].to_string() + LiveState.changes[SOME].to_string(),
            on_change=RunState.refresh,
        ),
        rx.cond(RunState.problem != "", error_state(RunState.problem, RunState.refresh)),
        rx.cond(RunState.loaded, _content(run), skeleton_rows(8)),
        active="Workflows",
        crumbs=[
            ("Workflows", "/workflows"),
            (run["workflow"].to(str), "/workflows/" + run["workflow_id"].to(str)),
            ("Run", None),
        ],
    )


def _content(run: Any) -> rx.Component:
    return rx.vstack(
        _head(run),
        rx.cond(
            run["error"] != "",
            rx.callout.root(
                rx.callout.icon(rx.icon("circle-x")),
                rx.callout.text(run["error"].to(str)),
                color_scheme=rx.cond(run["state"] == "cancelled", "gray", "red"),
                custom_attrs={"data-testid": "run-error"},
            ),
        ),
        section(
            "What it does", flow_graph(picture=RunState.picture, label="Picture of the run", on_open=RunState.open)
        ),
        section("Steps", _table()),
        section(
            "Input",
            rx.el.pre(run["input"].to(str), class_name="np-pre", tab_index=0),
            action=copy_button(text=run["input"].to(str), label="Copy JSON"),
        ),
        _drawer(),
        spacing="4",
        width="100%",
        align="stretch",
    )


def _head(run: Any) -> rx.Component:
    return rx.flex(
        rx.vstack(
            rx.hstack(
                rx.heading(
                    run["workflow"].to(str), size="6", as_="h1", letter_spacing="-0.02em", overflow_wrap="anywhere"
                ),
                rx.box(status_badge(run["state"]), custom_attrs={"data-testid": "run-state"}),
                rx.badge("version " + run["version"].to(str), color_scheme="gray", variant="soft"),
                align="center",
                wrap="wrap",
            ),
            rx.hstack(
                rx.text("Started ", run["started"].to(str), " ", time_ago(at=run["at"].to(str)), size="2"),
                rx.cond(run["took"] != "", rx.text("· took " + run["took"].to(str), size="2")),
                rx.text("· steps done: " + run["done"].to(str), size="2", class_name="np-num"),
                wrap="wrap",
                color="var(--gray-11)",
                spacing="1",
            ),
            rx.hstack(
                rx.text(run["id"].to(str), class_name="np-mono np-cut", size="1", color="var(--gray-11)"),
                copy_button(text=run["id"].to(str), label="Copy id"),
                align="center",
                max_width="100%",
            ),
            spacing="1",
            min_width="0",
            flex="1 1 320px",
        ),
        rx.cond(LiveState.may.contains("workflows:write"), _acts(run)),
        wrap="wrap",
        gap="12px",
        align="start",
    )


def _acts(run: Any) -> rx.Component:
    return rx.fragment(
        rx.match(
            run["state"],
            (
                "running",
                confirm(
                    rx.button(
                        rx.icon("ban", size=15),
                        "Stop",
                        variant="soft",
                        color_scheme="red",
                        custom_attrs={"data-testid": "run-cancel"},
                    ),
                    title="Stop this run?",
                    text="Nothing begins any more and what runs is stopped. What was done stays done.",
                    keep="Let it go on",
                    act="Stop",
                    on_confirm=RunState.cancel,
                    testid="run-cancel-confirm",
                ),
            ),
            ("failed", _again("Go on from the failed step")),
            ("cancelled", _again("Go on")),
            rx.fragment(),
        )
    )


def _again(label: str) -> rx.Component:
    return rx.button(
        rx.icon("rotate-cw", size=15), label, on_click=RunState.retry, custom_attrs={"data-testid": "run-retry"}
    )


def _table() -> rx.Component:
    return rx.cond(
        RunState.steps.length() == 0,
        rx.text("Nothing has begun yet.", size="2", color="var(--gray-11)"),
        rx.fragment(
            rx.el.ol(rx.foreach(RunState.steps, _row), class_name="np-rows np-num"),
            rx.cond(
                RunState.more > 0,
                rx.text("And " + RunState.more.to(str) + " more.", size="2", color="var(--gray-11)"),
            ),
        ),
    )


def _row(step: Any) -> rx.Component:
    return rx.el.li(
        rx.el.button(
            step["key"].to(str),
            type="button",
            class_name="np-text-button np-mono np-cut",
            on_click=RunState.open(step["key"].to(str)),
            custom_attrs={"data-testid": "step-open-" + step["key"].to(str)},
        ),
        rx.text(step["kind"].to(str), size="1", color="var(--gray-11)"),
        rx.cond(step["note"] != "", rx.text(step["note"].to(str), size="1", color="var(--gray-11)")),
        rx.cond(
            step["wake_at"] != "",
            rx.text("goes on ", time_ago(at=step["wake_at"].to(str), due=True), size="1", color="var(--gray-11)"),
        ),
        rx.spacer(),
        status_badge(step["state"]),
        custom_attrs={"data-testid": "step-row-" + step["key"].to(str)},
    )


def _drawer() -> rx.Component:
    step = RunState.step
    return drawer(
        drawer_head(
            step["step_id"].to(str),
            status_badge(step["state"]),
            id=step["key"].to(str),
            on_close=RunState.close,
        ),
        rx.cond(
            step["error"] != "",
            rx.callout.root(rx.callout.text(step["error"].to(str)), color_scheme="red", size="1"),
        ),
        rx.data_list.root(
            _item("What", step["kind"].to(str)),
            _item("Begun", time_ago(at=step["created_at"].to(str))),
            rx.cond(step["finished_at"] != "", _item("Over", time_ago(at=step["finished_at"].to(str)))),
            rx.cond(step["wake_at"] != "", _item("Goes on", time_ago(at=step["wake_at"].to(str), due=True))),
            rx.cond(step["attempts"].to(int) > 0, _item("Attempts", step["attempts"].to(str))),
            rx.cond(
                step["job_id"] != "",
                _item(
                    "Job",
                    page_link(
                        step["job_id"].to(str),
                        to="/jobs/" + step["job_id"].to(str),
                        class_name="np-link np-mono np-cut",
                        custom_attrs={"data-testid": "step-job"},
                    ),
                ),
            ),
            orientation=rx.breakpoints(initial="vertical", sm="horizontal"),
            size="2",
        ),
        _json("Given", step["input"], "step-input"),
        _json("Came of it", step["output"], "step-output"),
        open=RunState.step.contains("key"),
        on_close=RunState.close,
        testid="step-drawer",
    )


def _item(label: str, value: Any) -> rx.Component:
    return rx.data_list.item(rx.data_list.label(label), rx.data_list.value(value))


def _json(title: str, text: Any, testid: str) -> rx.Component:
    return rx.cond(
        text != "",
        rx.el.section(
            rx.hstack(
                rx.heading(title, size="2", as_="h3"),
                rx.spacer(),
                copy_button(text=text.to(str), label="Copy JSON"),
                align="center",
                margin_bottom="8px",
            ),
            rx.el.pre(text.to(str), class_name="np-pre", tab_index=0, custom_attrs={"data-testid": testid}),
        ),
    )
