"""Pieces that several pages show."""
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# At class level Reflex turns fields into vars, which type checkers cannot see.

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.ui.parts import copy_button, page_link
from novapulse.ui.tokens import TONES

_COLORS = {status: color for status, (color, _) in TONES.items()}


def status_badge(status: Any) -> rx.Component:
    """A status as icon, word and colour."""
    return rx.badge(
        rx.match(
            status, *((name, rx.icon(icon, size=13)) for name, (_, icon) in TONES.items()), rx.icon("circle", size=13)
        ),
        status,
        color_scheme=rx.match(status, *_COLORS.items(), "gray"),
        variant="soft",
        custom_attrs={"data-status": status},
    )


def stat_card(label: str, value: Any, note: Any = "", *, testid: str = "") -> rx.Component:
    """One number: of what, how much, since when."""
    return rx.box(
        rx.text(label, size="1", color="var(--gray-11)", weight="medium"),
        rx.text(value, size="6", weight="bold", letter_spacing="-0.02em", custom_attrs={"data-testid": testid}),
        rx.text(note, size="1", color="var(--gray-11)"),
        class_name="np-card np-num",
    )


def link_button(*children: Any, to: Any, testid: str, **props: Any) -> rx.Component:
    """A link that looks like a button."""
    return rx.button(page_link(*children, to=to, custom_attrs={"data-testid": testid}), as_child=True, **props)


def section(title: str, *children: rx.Component, action: rx.Component | None = None) -> rx.Component:
    """A titled card."""
    return rx.box(
        rx.hstack(
            rx.heading(title, size="3", as_="h2"),
            rx.spacer(),
            *([action] if action else []),
            align="center",
            margin_bottom="12px",
        ),
        *children,
        class_name="np-card",
    )


def empty_state(
    icon: str, title: str, text: str, action: rx.Component | None = None, *, testid: str = "empty"
) -> rx.Component:
    """Nothing here yet: why, and the one next thing to do."""
    return rx.center(
        rx.vstack(
            rx.center(
                rx.icon(icon, size=26, color="var(--accent-11)"),
                width="52px",
                height="52px",
                border_radius="14px",
                background="var(--accent-a3)",
            ),
            rx.heading(title, size="4", as_="h2"),
            rx.text(text, color="var(--gray-11)", size="2", align="center", max_width="44ch"),
            *([action] if action else []),
            align="center",
            spacing="3",
        ),
        padding="56px 16px",
        width="100%",
        custom_attrs={"data-testid": testid},
    )


def error_state(text: Any, retry: Any) -> rx.Component:
    """What went wrong, and a way to try again."""
    return rx.callout.root(
        rx.callout.icon(rx.icon("triangle-alert")),
        rx.hstack(
            rx.callout.text(text),
            rx.button("Try again", on_click=retry, size="1", variant="soft", color_scheme="red"),
            align="center",
            wrap="wrap",
        ),
        color_scheme="red",
        role="alert",
    )


def skeleton_rows(count: int) -> rx.Component:
    """Rows that are on their way, in the place where they will be."""
    return rx.vstack(*(rx.skeleton(height="44px", width="100%") for _ in range(count)), spacing="2", width="100%")


def field(
    label: str, control: rx.Component, *, error: Any = "", hint: str = "", name: str = "", optional: bool = False
) -> rx.Component:
    """A labelled control with its hint and its error."""
    return rx.vstack(
        rx.el.label(
            rx.text(label, size="2", weight="medium", as_="span"),
            *([rx.text(" optional", size="1", color="var(--gray-11)", as_="span")] if optional else []),
            html_for=name,
        ),
        control,
        *([rx.text(hint, size="1", color="var(--gray-11)", id=f"{name}-hint")] if hint else []),
        rx.cond(
            error != "",
            rx.text(
                error, size="1", color="var(--red-11)", role="alert", custom_attrs={"data-testid": f"error-{name}"}
            ),
        ),
        spacing="1",
        width="100%",
        align="stretch",
    )


def trace(id: Any, href: Any) -> rx.Component:  # noqa: A002 - what it is
    """The id of a trace, to copy, and a link to where it is looked at (`href`; empty: nowhere)."""
    return rx.hstack(
        rx.el.code(id, class_name="np-mono np-cut", title=id, custom_attrs={"data-testid": "trace-id"}),
        copy_button(text=id, label="Copy"),
        rx.cond(
            href != "",
            rx.el.a(
                "Open",
                href=href,
                target="_blank",
                rel="noopener noreferrer",
                class_name="np-link",
                custom_attrs={"data-testid": "trace-link", "aria-label": "Open the trace in a new tab"},
            ),
        ),
        align="center",
        min_width="0",
    )


def confirm_by_name(
    trigger: rx.Component, *, title: str, text: str, name: Any, typed: Any, on_type: Any, on_confirm: Any
) -> rx.Component:
    """A destroying act that asks for the name of what is destroyed."""
    return rx.alert_dialog.root(
        rx.alert_dialog.trigger(trigger),
        rx.alert_dialog.content(
            rx.alert_dialog.title(title, size="4"),
            rx.alert_dialog.description(text, size="2"),
            rx.text("Type ", rx.code(name), " to confirm.", size="2", margin_top="12px"),
            rx.input(
                value=typed,
                on_change=on_type,
                margin_top="8px",
                custom_attrs={"aria-label": "Name to confirm", "data-testid": "confirm-name"},
            ),
            rx.hstack(
                rx.alert_dialog.cancel(rx.button("Keep it", variant="soft", color_scheme="gray")),
                rx.alert_dialog.action(
                    rx.button(
                        "Delete",
                        color_scheme="red",
                        disabled=typed != name,
                        on_click=on_confirm,
                        custom_attrs={"data-testid": "confirm-delete"},
                    )
                ),
                justify="end",
                margin_top="16px",
                spacing="3",
            ),
            max_width="440px",
        ),
        on_open_change=lambda _: on_type(""),  # what was typed before counts no more
    )


def confirm(
    trigger: rx.Component, *, title: str, text: Any, keep: str, act: str, on_confirm: Any, testid: str
) -> rx.Component:
    """An act that cannot be undone, asked about first."""
    return rx.alert_dialog.root(
        rx.alert_dialog.trigger(trigger),
        rx.alert_dialog.content(
            rx.alert_dialog.title(title, size="4"),
            rx.alert_dialog.description(text, size="2"),
            rx.hstack(
                rx.alert_dialog.cancel(rx.button(keep, variant="soft", color_scheme="gray")),
                rx.alert_dialog.action(
                    rx.button(act, color_scheme="red", on_click=on_confirm, custom_attrs={"data-testid": testid})
                ),
                justify="end",
                margin_top="16px",
                spacing="3",
            ),
            max_width="440px",
        ),
    )


def sparkline(points: Any, key: str = "v") -> rx.Component:
    """A small line of numbers."""
    return rx.recharts.area_chart(
        rx.recharts.area(
            data_key=key,
            stroke="var(--accent-9)",
            fill="var(--accent-a4)",
            stroke_width=1.5,
            is_animation_active=False,
            dot=False,
        ),
        data=points,
        height=36,
        width="100%",
        margin={"top": 2, "right": 0, "left": 0, "bottom": 0},
        custom_attrs={"accessibilityLayer": False},  # or each line would be a stop for the keyboard
    )


def spark(path: Any, label: str) -> rx.Component:
    """A small line of the last minute, drawn from the path of `live.shown.line`."""
    return rx.el.svg(
        rx.el.path(
            d=path,
            fill="none",
            stroke="var(--accent-9)",
            stroke_width="1.5",
            stroke_linecap="round",
            stroke_linejoin="round",
            custom_attrs={"vectorEffect": "non-scaling-stroke"},
        ),
        view_box="0 0 60 21",
        preserve_aspect_ratio="none",
        width="100%",
        height="36",
        role="img",
        custom_attrs={"aria-label": label},
    )
