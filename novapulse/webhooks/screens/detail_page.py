"""`/webhooks/[webhook_id]`."""
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# At class level Reflex turns fields into vars, which type checkers cannot see.

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.live.state import SOME, LiveState
from novapulse.ui.components import (
    confirm_by_name,
    error_state,
    link_button,
    section,
    skeleton_rows,
    stat_card,
    status_badge,
)
from novapulse.ui.parts import copy_button, secret_box, watch
from novapulse.ui.shell import shell
from novapulse.webhooks.screens.attempts_chart import attempts_over_time
from novapulse.webhooks.screens.delivery_drawer import delivery_drawer
from novapulse.webhooks.screens.delivery_log import delivery_log
from novapulse.webhooks.screens.detail_state import WINDOWS, DetailState
from novapulse.webhooks.screens.test_dialog import test_dialog


def webhook_page() -> rx.Component:
    """One webhook."""
    w = DetailState.webhook
    return shell(
        watch(
            value=LiveState.changes[w["id"].to(str)].to_string() + LiveState.changes[SOME].to_string(),
            on_change=DetailState.refresh,
        ),
        rx.cond(DetailState.problem != "", error_state(DetailState.problem, DetailState.refresh)),
        rx.cond(DetailState.loaded, _content(w), skeleton_rows(8)),
        active="Webhooks",
        crumbs=[("Webhooks", "/webhooks"), (w["label"].to(str), None)],
    )


def _content(w: Any) -> rx.Component:
    return rx.vstack(
        _head(w),
        rx.cond(
            w["status"] == "disabled",
            rx.callout(
                "NovaPulse disabled this webhook. "
                + w["reason"].to(str)
                + " Its deliveries wait; enable it when it works.",
                icon="circle-off",
                color_scheme="red",
                custom_attrs={"data-testid": "webhook-disabled"},
            ),
        ),
        _numbers(),
        rx.tabs.root(
            rx.tabs.list(
                rx.tabs.trigger("Deliveries", value="deliveries", custom_attrs={"data-testid": "tab-deliveries"}),
                rx.tabs.trigger("Attempts over time", value="time", custom_attrs={"data-testid": "tab-time"}),
                rx.tabs.trigger("Settings", value="settings", custom_attrs={"data-testid": "tab-settings"}),
                rx.tabs.trigger("Secret", value="secret", custom_attrs={"data-testid": "tab-secret"}),
            ),
            rx.tabs.content(delivery_log(), value="deliveries", padding_top="16px"),
            rx.tabs.content(attempts_over_time(), value="time", padding_top="16px"),
            rx.tabs.content(_settings(w), value="settings", padding_top="16px"),
            rx.tabs.content(
                section("Signing secret", secret_box(webhook_id=w["id"].to(str), open=False, can_rotate=True)),
                value="secret",
                padding_top="16px",
            ),
            value=DetailState.tab,
            on_change=lambda tab: DetailState.go("tab", tab),
            activation_mode="manual",  # with focus as well, each click would go there twice, and Back once nowhere
            width="100%",
        ),
        delivery_drawer(),
        spacing="4",
        width="100%",
        align="stretch",
    )


def _head(w: Any) -> rx.Component:
    return rx.flex(
        rx.vstack(
            rx.hstack(
                rx.heading(w["label"].to(str), size="6", as_="h1", letter_spacing="-0.02em", overflow_wrap="anywhere"),
                status_badge(w["status"]),
                status_badge(w["health"]),
                align="center",
                wrap="wrap",
                max_width="100%",
            ),
            rx.hstack(
                rx.text(w["url"].to(str), class_name="np-mono np-cut", color="var(--gray-11)"),
                copy_button(text=w["url"].to(str), label="Copy"),
                align="center",
                max_width="100%",
            ),
            spacing="1",
            min_width="0",
            flex="1 1 320px",
        ),
        rx.hstack(
            test_dialog(w["id"].to(str)),
            rx.cond(
                w["status"] == "active",
                rx.button(
                    rx.icon("pause", size=15),
                    "Pause",
                    variant="soft",
                    on_click=DetailState.set_status("paused"),
                    custom_attrs={"data-testid": "webhook-pause"},
                ),
                rx.button(
                    rx.icon("play", size=15),
                    "Enable",
                    on_click=DetailState.set_status("active"),
                    custom_attrs={"data-testid": "webhook-enable"},
                ),
            ),
            link_button(
                "Edit",
                to="/webhooks/" + w["id"].to(str) + "/edit",
                testid="webhook-edit",
                variant="soft",
                color_scheme="gray",
            ),
            confirm_by_name(
                rx.icon_button(
                    rx.icon("trash-2", size=16),
                    variant="soft",
                    color_scheme="red",
                    custom_attrs={"aria-label": "Delete webhook", "data-testid": "webhook-delete"},
                ),
                title="Delete this webhook?",
                text="Its deliveries, attempts and statistics are deleted with it, for good.",
                name=w["label"].to(str),
                typed=DetailState.typed_name,
                on_type=DetailState.type_name,
                on_confirm=DetailState.delete(DetailState.typed_name),
            ),
            wrap="wrap",
            align="center",
        ),
        wrap="wrap",
        gap="12px",
        align="start",
    )


def _numbers() -> rx.Component:
    n = DetailState.numbers
    return rx.vstack(
        rx.hstack(
            rx.text("In the last", size="2", color="var(--gray-11)"),
            rx.segmented_control.root(
                *(
                    rx.segmented_control.item(window, value=window, custom_attrs={"data-testid": f"window-{window}"})
                    for window in WINDOWS
                ),
                value=DetailState.window,
                on_change=lambda w: DetailState.go("window", w),
                size="1",
            ),
            align="center",
        ),
        rx.el.div(
            stat_card("Delivered", n["delivered"], testid="webhook-delivered"),
            stat_card("Failed", n["failed"], testid="webhook-failed"),
            stat_card("Success", n["rate"], "of attempts"),
            stat_card("p95", n["p95"], "p50 " + n["p50"] + " · p99 " + n["p99"]),
            stat_card("Open", n["open"], "waiting or retrying"),
            class_name="np-stats",
        ),
        spacing="3",
        width="100%",
        align="stretch",
    )


def _settings(w: Any) -> rx.Component:
    rows = (
        ("Event types", "event_types"),
        ("Tenant", "tenant"),
        ("Timeout", "timeout"),
        ("Rate limit", "rate"),
        ("Order", "ordered"),
        ("Retry schedule", "schedule"),
        ("Headers", "headers"),
        ("Description", "description"),
        ("Id", "id"),
    )
    return section(
        "Settings",
        rx.data_list.root(
            *(
                rx.data_list.item(
                    rx.data_list.label(label),
                    rx.data_list.value(rx.text(w[key].to(str), white_space="pre-wrap", word_break="break-word")),
                )
                for label, key in rows
            ),
            size="2",
        ),
        action=link_button(
            "Edit", to="/webhooks/" + w["id"].to(str) + "/edit", testid="settings-edit", size="1", variant="soft"
        ),
    )
