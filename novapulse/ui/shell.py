"""The frame of every page: sidebar, top bar, content."""
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# At class level Reflex turns fields into vars, which type checkers cannot see.

from __future__ import annotations

from collections.abc import Sequence

import reflex as rx

from novapulse.live.state import LiveState
from novapulse.ui.connection import live_indicator
from novapulse.ui.parts import palette, sign_out

PAGES = (
    ("Overview", "/", "layout-dashboard"),
    ("Webhooks", "/webhooks", "webhook"),
)


def shell(
    *children: rx.Component,
    active: str,
    crumbs: Sequence[tuple[str | rx.Var[str], str | None]],
    actions: Sequence[rx.Component] = (),
) -> rx.Component:
    """A page: `active` names its entry of the sidebar, `crumbs` the way to it, `actions` stand at the top right."""
    return rx.el.div(
        rx.el.a("Skip to content", href="#content", class_name="np-skip"),
        palette(pages=[{"label": label, "href": href} for label, href, _ in PAGES]),
        rx.el.aside(_brand(), _navigation(active), rx.spacer(), _foot(), class_name="np-sidebar"),
        rx.el.div(
            rx.el.header(
                _phone_menu(active), _crumbs(crumbs), rx.spacer(), live_indicator(), *actions, class_name="np-top"
            ),
            rx.el.main(*children, id="content", class_name="np-main"),
        ),
        class_name="np-layout",
        on_mount=LiveState.load,
    )


def _brand() -> rx.Component:
    return rx.el.a(
        rx.image(src="/logo.svg", alt="", width="24px", height="24px"), "NovaPulse", href="/", class_name="np-brand"
    )


def _navigation(active: str) -> rx.Component:
    return rx.el.nav(
        *(
            rx.el.a(
                rx.icon(icon, size=16),
                label,
                href=href,
                class_name="np-nav",
                custom_attrs={"data-active": str(label == active).lower(), "data-testid": f"nav-{label.lower()}"}
                | ({"aria-current": "page"} if label == active else {}),
            )
            for label, href, icon in PAGES
        ),
        aria_label="Main",
    )


def _foot() -> rx.Component:
    return rx.vstack(
        rx.el.a(rx.icon("book-open", size=16), "API", href="/api/v1/docs", class_name="np-nav"),
        rx.hstack(
            rx.icon("sun-moon", size=16, color="var(--gray-11)"),
            rx.color_mode.switch(custom_attrs={"data-testid": "theme-switch", "aria-label": "Dark theme"}, size="1"),
            align="center",
            padding="6px 9px",
        ),
        sign_out(),
        spacing="0",
        width="100%",
        align="stretch",
    )


def _phone_menu(active: str) -> rx.Component:
    return rx.drawer.root(
        rx.drawer.trigger(
            rx.icon_button(
                rx.icon("menu", size=18),
                variant="ghost",
                class_name="np-phone-only",
                custom_attrs={"aria-label": "Menu", "data-testid": "phone-menu"},
            )
        ),
        rx.drawer.overlay(z_index="30"),
        rx.drawer.portal(
            rx.drawer.content(
                rx.drawer.title("Menu", class_name="np-hidden"),
                _brand(),
                _navigation(active),
                rx.spacer(),
                _foot(),
                height="100%",
                width="260px",
                padding="12px 10px",
                background="var(--color-panel-solid)",
                display="flex",
                flex_direction="column",
                z_index="31",
            )
        ),
        direction="left",
    )


def _crumbs(crumbs: Sequence[tuple[str | rx.Var[str], str | None]]) -> rx.Component:
    parts: list[rx.Component] = []
    for place, (label, href) in enumerate(crumbs):
        if place:
            parts.append(rx.text("/", color="var(--gray-8)", size="2", aria_hidden="true"))
        last = place == len(crumbs) - 1
        parts.append(
            rx.el.a(label, href=href, class_name="np-crumb")
            if href and not last
            else rx.text(label, size="2", weight="medium", class_name="np-cut", as_="span")
        )
    return rx.hstack(*parts, align="center", spacing="2", min_width="0", overflow="hidden", white_space="nowrap")
