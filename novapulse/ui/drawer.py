"""A panel that slides in from the right: the details of what a list shows, beside the list."""
# pyright: reportArgumentType=false, reportCallIssue=false

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.ui.parts import copy_button, return_focus


def drawer(*children: rx.Component, open: Any, on_close: Any, testid: str) -> rx.Component:  # noqa: A002 - Radix's name
    """The panel; `children` begin with a `drawer_head`."""
    return rx.drawer.root(
        rx.drawer.overlay(class_name="np-veil"),
        rx.drawer.portal(
            # Reflex sets both edges; with a width of its own the panel would stick to the left one.
            rx.drawer.content(
                return_focus(), *children, class_name="np-drawer", left="auto", custom_attrs={"data-testid": testid}
            ),
        ),
        direction="right",
        open=open,
        on_open_change=lambda _: on_close(),  # type: ignore[call-arg]
        handle_only=True,
    )


def drawer_head(title: Any, *marks: rx.Component, id: Any, on_close: Any) -> rx.Component:  # noqa: A002 - what it is
    """What the panel is about, its id to copy, and the way out."""
    return rx.el.header(
        rx.hstack(
            rx.drawer.title(title, class_name="np-drawer-title np-mono"),
            *marks,
            rx.spacer(),
            rx.el.button(
                rx.icon("x", size=18),
                type="button",
                class_name="np-icon",
                on_click=on_close,
                custom_attrs={"aria-label": "Close", "data-testid": "drawer-close"},
            ),
            align="center",
            width="100%",
        ),
        rx.drawer.description(
            rx.hstack(
                rx.el.span(id, class_name="np-mono np-cut"),
                copy_button(text=id, label="Copy id"),
                align="center",
                min_width="0",
            ),
            as_child=True,
        ),
    )
