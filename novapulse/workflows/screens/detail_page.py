"""`/workflows/[workflow_id]` and `/workflows/new`."""
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# At class level Reflex turns fields into vars, which type checkers cannot see.

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.live.state import SOME, LiveState
from novapulse.ui.components import (
    confirm_by_name,
    empty_state,
    error_state,
    section,
    skeleton_rows,
    status_badge,
)
from novapulse.ui.lists import capitalized, pages, select, toolbar
from novapulse.ui.parts import page_link, time_ago, watch
from novapulse.ui.shell import page_head, shell
from novapulse.workflows.screens.detail_state import WorkflowState
from novapulse.workflows.screens.list_state import RUN_STATES
from novapulse.workflows.screens.parts import (
    definition_editor,
    flow_graph,
    runs_table,
    secret_form,
)
from novapulse.workflows.screens.starters import STARTERS


def workflow_page() -> rx.Component:
    """One workflow."""
    w = WorkflowState.workflow
    return shell(
        watch(
            value=LiveState.changes[w["id"].to(str)].to_string() + LiveState.changes[SOME].to_string(),
            on_change=WorkflowState.refresh,
        ),
        rx.cond(WorkflowState.problem != "", error_state(WorkflowState.problem, WorkflowState.refresh)),
        rx.cond(WorkflowState.loaded, _content(w), skeleton_rows(8)),
        active="Workflows",
        crumbs=[("Workflows", "/workflows"), (w["name"].to(str), None)],
    )


def new_workflow_page() -> rx.Component:
    """One that is not there yet."""
    return shell(
        page_head("New workflow", "Begin with one of these, or with an empty one, and change what you like."),
        rx.el.ul(
            *(_starter(each.key, each.title, each.about, each.icon) for each in STARTERS),
            _starter("blank", "An empty one", "One step, to write the rest yourself.", "file-plus"),
            class_name="np-starters",
        ),
        rx.cond(WorkflowState.loaded & (WorkflowState.source != ""), _definition(new=True)),
        active="Workflows",
        crumbs=[("Workflows", "/workflows"), ("New", None)],
    )


def _starter(key: str, title: str, about: str, icon: str) -> rx.Component:
    return rx.el.li(
        page_link(
            rx.icon(icon, size=18, color="var(--accent-11)"),
            rx.el.span(title, class_name="np-starter-title"),
            rx.el.span(about, class_name="np-starter-about"),
            to=f"/workflows/new?from={key}",
            custom_attrs={"data-testid": f"starter-{key}"},
        )
    )


def _content(w: Any) -> rx.Component:
    return rx.vstack(
        _head(w),
        rx.tabs.root(
            rx.tabs.list(
                rx.tabs.trigger("Definition", value="definition", custom_attrs={"data-testid": "tab-definition"}),
                rx.tabs.trigger("Runs", value="runs", custom_attrs={"data-testid": "tab-workflow-runs"}),
                rx.tabs.trigger("Secrets", value="secrets", custom_attrs={"data-testid": "tab-secrets"}),
            ),
            rx.tabs.content(rx.fragment(_versions(), _definition(new=False)), value="definition", padding_top="16px"),
            rx.tabs.content(_runs(), value="runs", padding_top="16px"),
            rx.tabs.content(_secrets(w), value="secrets", padding_top="16px"),
            value=WorkflowState.tab,
            on_change=lambda tab: WorkflowState.go("tab", tab),
            activation_mode="manual",
            width="100%",
        ),
        spacing="4",
        width="100%",
        align="stretch",
    )


def _head(w: Any) -> rx.Component:
    may = LiveState.may.contains("workflows:write")
    return rx.flex(
        rx.vstack(
            rx.hstack(
                rx.heading(w["name"].to(str), size="6", as_="h1", letter_spacing="-0.02em", overflow_wrap="anywhere"),
                rx.badge("version " + w["version"].to(str), color_scheme="gray", variant="soft"),
                rx.cond(w["last_id"] != "", status_badge(w["last_state"])),
                align="center",
                wrap="wrap",
            ),
            rx.text(w["description"].to(str), size="2", color="var(--gray-11)"),
            rx.text("Starts " + w["triggers"].to(str) + ".", size="2", color="var(--gray-11)"),
            spacing="1",
            min_width="0",
            flex="1 1 320px",
        ),
        rx.cond(
            may,
            rx.hstack(
                rx.el.label(
                    rx.switch(
                        checked=w["enabled"].to(bool),
                        on_change=WorkflowState.enable,
                        custom_attrs={"data-testid": "workflow-enabled"},
                    ),
                    rx.el.span("Triggers"),
                    class_name="np-switch",
                ),
                _run_dialog(),
                confirm_by_name(
                    rx.icon_button(
                        rx.icon("trash-2", size=16),
                        variant="soft",
                        color_scheme="red",
                        custom_attrs={"aria-label": "Delete workflow", "data-testid": "workflow-delete"},
                    ),
                    title="Delete this workflow?",
                    text="Its versions, secrets and runs are deleted with it; runs that are not over are stopped.",
                    name=w["name"].to(str),
                    typed=WorkflowState.typed_name,
                    on_type=WorkflowState.type_name,
                    on_confirm=WorkflowState.delete(WorkflowState.typed_name),
                ),
                align="center",
                wrap="wrap",
            ),
        ),
        wrap="wrap",
        gap="12px",
        align="start",
    )


def _run_dialog() -> rx.Component:
    return rx.dialog.root(
        rx.dialog.trigger(rx.button(rx.icon("play", size=15), "Run now", custom_attrs={"data-testid": "workflow-run"})),
        rx.dialog.content(
            rx.dialog.title("Run now", size="4"),
            rx.dialog.description("An object, as JSON. Steps find it under the name input.", size="2"),
            rx.text_area(
                value=WorkflowState.run_input,
                on_change=WorkflowState.type_input,
                rows="8",
                class_name="np-mono-area",
                custom_attrs={"aria-label": "Input", "data-testid": "run-input", "spellCheck": False},
            ),
            rx.cond(
                WorkflowState.run_problem != "",
                rx.text(
                    WorkflowState.run_problem,
                    size="2",
                    color="var(--red-11)",
                    role="alert",
                    custom_attrs={"data-testid": "run-problem"},
                ),
            ),
            rx.hstack(
                rx.dialog.close(rx.button("Cancel", variant="soft", color_scheme="gray")),
                rx.button("Run", on_click=WorkflowState.start, custom_attrs={"data-testid": "run-start"}),
                justify="end",
                margin_top="12px",
                spacing="3",
            ),
            max_width="520px",
        ),
    )


def _definition(*, new: bool) -> rx.Component:
    return rx.el.div(
        definition_editor(
            key=WorkflowState.workflow["id"].to(str),
            source=WorkflowState.source,
            revision=WorkflowState.revision,
            errors=WorkflowState.errors,
            may_write=LiveState.may.contains("workflows:write"),
            is_new=new,
            on_check=WorkflowState.check,
            on_save=WorkflowState.save,
        ),
        flow_graph(picture=WorkflowState.picture, label="Picture of the workflow"),
        class_name="np-definition",
    )


def _versions() -> rx.Component:
    shown = rx.cond(WorkflowState.version == 0, WorkflowState.workflow["version"].to(int), WorkflowState.version)
    return rx.cond(
        WorkflowState.versions.length() > 1,
        rx.hstack(
            rx.text("Version", size="2", color="var(--gray-11)"),
            rx.select.root(
                rx.select.trigger(custom_attrs={"aria-label": "Version", "data-testid": "workflow-version"}),
                rx.select.content(
                    rx.foreach(
                        WorkflowState.versions,
                        lambda v: rx.select.item(
                            v["version"].to(str) + " by " + v["created_by"].to(str), value=v["version"].to(str)
                        ),
                    )
                ),
                value=shown.to(str),
                on_change=lambda chosen: WorkflowState.go("version", chosen),
            ),
            rx.cond(
                WorkflowState.version != 0,
                rx.text("Saving makes it the newest again.", size="1", color="var(--gray-11)"),
            ),
            align="center",
            wrap="wrap",
            margin_bottom="12px",
        ),
    )


def _runs() -> rx.Component:
    return rx.fragment(
        toolbar(
            select(
                WorkflowState.state,
                "Filter by state",
                "Any state",
                capitalized(RUN_STATES),
                lambda chosen: WorkflowState.go("state", chosen),
                "filter-run-state",
            ),
            label="Runs",
        ),
        rx.cond(
            WorkflowState.rows.length() == 0,
            empty_state("history", "No runs here", "A run appears when an event, a time, or somebody starts one."),
            rx.fragment(runs_table(WorkflowState.rows, of_one=True), pages(WorkflowState, following="Next page")),
        ),
    )


def _secrets(w: Any) -> rx.Component:
    return section(
        "Secrets",
        rx.text(
            "What HTTP steps may send and nobody may read: write {{ secrets.name }} in their URL, headers or body.",
            size="2",
            color="var(--gray-11)",
        ),
        rx.cond(
            WorkflowState.secrets.length() == 0,
            rx.text("None yet.", size="2", margin_top="12px", custom_attrs={"data-testid": "no-secrets"}),
            rx.el.ul(rx.foreach(WorkflowState.secrets, _secret), class_name="np-rows"),
        ),
        rx.cond(
            LiveState.may.contains("webhooks:secret"),
            secret_form(workflow_id=w["id"].to(str), names=WorkflowState.missing_secrets),
        ),
    )


def _secret(secret: Any) -> rx.Component:
    return rx.el.li(
        rx.el.span(secret["name"].to(str), class_name="np-mono"),
        rx.cond(
            secret["set"].to(bool),
            rx.badge("set", color_scheme="green", variant="soft"),
            rx.badge("missing: steps that use it will fail", color_scheme="red", variant="soft"),
        ),
        rx.cond(secret["used"].to(bool), rx.fragment(), rx.badge("not used", color_scheme="gray", variant="soft")),
        rx.cond(secret["set"].to(bool), time_ago(at=secret["created_at"].to(str))),
        rx.spacer(),
        rx.cond(
            secret["set"].to(bool) & LiveState.may.contains("webhooks:secret"),
            rx.button(
                "Forget",
                size="1",
                variant="soft",
                color_scheme="red",
                on_click=WorkflowState.forget(secret["name"].to(str)),
                custom_attrs={"data-testid": "secret-forget-" + secret["name"].to(str)},
            ),
        ),
    )
