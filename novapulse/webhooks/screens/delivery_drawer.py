"""The drawer of one delivery: its event, its attempts, what may be done."""
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# At class level Reflex turns fields into vars, which type checkers cannot see.

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.ui.components import status_badge, trace
from novapulse.ui.drawer import drawer, drawer_head
from novapulse.ui.parts import copy_button, time_ago
from novapulse.webhooks.screens.delivery_state import DeliveryState


def delivery_drawer() -> rx.Component:
    """The drawer, open while a delivery is."""
    d = DeliveryState.opened
    return drawer(
        drawer_head(
            d["event_type"].to(str),
            status_badge(d["status"]),
            id=d["id"].to(str),
            on_close=DeliveryState.close,
        ),
        _next(d),
        _acts(d),
        rx.hstack(
            rx.text("Trace", size="1", color="var(--gray-11)"),
            trace(d["trace"].to(str), d["trace_href"].to(str)),
            align="center",
            min_width="0",
        ),
        rx.el.section(
            rx.heading("Attempts", size="2", as_="h3"),
            rx.cond(
                DeliveryState.attempts.length() == 0,
                rx.text("None yet.", size="2", color="var(--gray-11)"),
                rx.el.ol(rx.foreach(DeliveryState.attempts, _attempt), class_name="np-timeline"),
            ),
        ),
        rx.el.section(
            rx.hstack(
                rx.heading("Event", size="2", as_="h3"),
                rx.spacer(),
                copy_button(text=d["body"].to(str), label="Copy JSON"),
                align="center",
                margin_bottom="8px",
            ),
            rx.el.pre(d["body"].to(str), class_name="np-pre", tab_index=0, custom_attrs={"data-testid": "drawer-body"}),
        ),
        open=DeliveryState.open_id != "",
        on_close=DeliveryState.close,
        testid="delivery-drawer",
    )


def _next(d: Any) -> rx.Component:
    """When the next attempt is, and why then; or why there is none."""
    when = rx.fragment("Next attempt ", time_ago(at=d["next"].to(str), due=True), ". ")
    return rx.cond(
        d["why"] != "",
        rx.text(
            rx.cond((d["status"] == "retrying") & (d["next"] != ""), when),
            d["why"].to(str),
            size="2",
            color="var(--gray-11)",
            custom_attrs={"data-testid": "delivery-next"},
        ),
    )


def _acts(d: Any) -> rx.Component:
    return rx.flex(
        rx.cond(
            d["may_retry"].to(bool),
            rx.button(
                rx.icon("rotate-cw", size=14),
                "Send again",
                on_click=DeliveryState.retry,
                custom_attrs={"data-testid": "delivery-retry"},
            ),
        ),
        rx.cond(
            d["may_cancel"].to(bool),
            rx.button(
                "Cancel",
                variant="soft",
                color_scheme="gray",
                on_click=DeliveryState.cancel,
                custom_attrs={"data-testid": "delivery-cancel"},
            ),
        ),
        copy_button(text=d["curl"].to(str), label="Copy as curl"),
        gap="10px",
        align="center",
        wrap="wrap",
    )


def _attempt(a: Any) -> rx.Component:
    return rx.el.li(
        rx.flex(
            rx.text("#" + a["number"].to_string(), weight="bold", size="2"),
            status_badge(a["status"]),
            rx.text(a["answer"].to(str), size="2", weight="medium"),
            rx.spacer(),
            rx.text(a["duration"].to(str), size="1", color="var(--gray-11)"),
            rx.text(time_ago(at=a["at"].to(str)), size="1", color="var(--gray-11)"),
            gap="10px",
            align="center",
            wrap="wrap",
        ),
        rx.cond(a["detail"] != "", rx.text(a["detail"].to(str), size="2", color="var(--red-11)", margin_top="4px")),
        rx.text(a["timings"].to(str), size="1", color="var(--gray-11)", margin_top="4px"),
        rx.el.div(
            _message("Request", a["request"].to(str)),
            _message("Response", a["response"].to(str)),
            class_name="np-pair",
        ),
        rx.cond(
            a["body"] != "",
            rx.box(
                rx.text("Response body", size="1", weight="medium", margin_bottom="4px"),
                rx.el.pre(a["body"].to(str), class_name="np-pre", tab_index=0),
                rx.cond(
                    a["truncated"].to(bool), rx.text("The first 16 KiB are kept.", size="1", color="var(--gray-11)")
                ),
                margin_top="10px",
            ),
        ),
        class_name="np-num",
        custom_attrs={"data-testid": "attempt", "data-status": a["status"].to(str)},
    )


def _message(title: str, text: Any) -> rx.Component:
    return rx.box(
        rx.text(title, size="1", weight="medium", margin_bottom="4px"),
        rx.cond(
            text == "",
            rx.text("None came.", size="1", color="var(--gray-11)"),
            rx.el.pre(text, class_name="np-pre", tab_index=0),
        ),
        min_width="0",
    )
