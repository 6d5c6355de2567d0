"""The frame of every page: sidebar, top bar, content."""
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# At class level Reflex turns fields into vars, which type checkers cannot see.

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import reflex as rx

from novapulse.live.state import LiveState
from novapulse.ui import connection
from novapulse.ui.parts import (
    live_indicator,
    page_link,
    palette,
    reauthenticate,
    search_button,
    shortcuts,
    sidebar_toggle,
    skip_link,
    theme_menu,
    user_menu,
)
from novapulse.ui.says import says


class Page(NamedTuple):
    """An entry of the navigation."""

    label: str
    href: str
    icon: str
    key: str  # after `g`
    needs: str = ""  # the permission without which it is not shown


PAGES = (
    Page("Overview", "/", "layout-dashboard", "o"),
    Page("Webhooks", "/webhooks", "webhook", "w"),
    Page("Jobs", "/jobs", "layers", "j"),
    Page("Workflows", "/workflows", "workflow", "f"),
    Page("Reports", "/reports", "file-chart-column", "r"),
    Page("Mail", "/mail", "mail", "m", "emails:read"),
)
SETTINGS = (
    Page("Security", "/settings/security", "shield-check", "s"),
    Page("API keys", "/settings/api-keys", "key-round", "k"),
    Page("Audit log", "/settings/audit", "scroll-text", "a", "audit:read"),
    Page("Team", "/settings/team", "users", "t"),
    Page("Policy map", "/settings/policies", "list-checks", "p", "audit:read"),
)
# Before anything is drawn, or a narrow sidebar would first be wide.
EARLY_SCRIPT = 'document.documentElement.dataset.sidebar = localStorage.getItem("np:sidebar") ?? "open"'


def shell(
    *children: rx.Component,
    active: str,
    crumbs: Sequence[tuple[str | rx.Var[str], str | None]],
) -> rx.Component:
    """A page: `active` names its entry of the sidebar, `crumbs` the way to it."""
    pages = [{"label": page.label, "href": page.href, "key": page.key} for page in (*PAGES, *SETTINGS)]
    return rx.el.div(
        skip_link(),
        palette(pages=pages),
        shortcuts(pages=pages),
        reauthenticate(),
        says(),
        rx.el.aside(_brand(), _navigation(active), rx.spacer(), _foot(), class_name="np-sidebar"),
        rx.el.div(
            rx.el.header(
                _phone_menu(active),
                sidebar_toggle(),
                _crumbs(crumbs),
                rx.spacer(),
                live_indicator(at=LiveState.at, lost=connection.lost, on_pause=LiveState.pause),
                search_button(),
                theme_menu(),
                user_menu(),
                class_name="np-top",
            ),
            rx.el.main(*children, id="content", class_name="np-main", tab_index=-1),
            min_width="0",
        ),
        class_name="np-layout",
        on_mount=LiveState.load,
    )


def page_head(title: str, text: str, *actions: rx.Component) -> rx.Component:
    """What a page is, and what can be made there."""
    return rx.el.div(
        rx.el.div(
            rx.heading(title, size="6", as_="h1", letter_spacing="-0.02em"),
            rx.text(text, size="2", color="var(--gray-11)"),
        ),
        # What is offered is known a moment later than the rest: its place is kept.
        *([rx.hstack(*actions, align="center", class_name="np-head-acts")] if actions else []),
        class_name="np-head",
    )


def _brand() -> rx.Component:
    return page_link(
        rx.image(src="/logo.svg", alt="", width="24px", height="24px"),
        rx.el.span("NovaPulse", class_name="np-label"),
        to="/",
        class_name="np-brand",
        aria_label="NovaPulse",
    )


def _navigation(active: str) -> rx.Component:
    return rx.el.nav(
        *(_entry(page, active) for page in PAGES),
        rx.el.p("Settings", class_name="np-group"),
        *(_entry(page, active) for page in SETTINGS),
        aria_label="Main",
    )


def _entry(page: Page, active: str) -> rx.Component:
    here = page.label == active
    link = page_link(
        rx.icon(page.icon, size=16),
        rx.el.span(page.label, class_name="np-label"),
        to=page.href,
        class_name="np-nav",
        title=page.label,
        custom_attrs={
            "data-active": str(here).lower(),
            "data-testid": f"nav-{page.label.lower().replace(' ', '-')}",
        }
        | ({"aria-current": "page"} if here else {}),
    )
    return rx.cond(LiveState.may.contains(page.needs), link) if page.needs else link


def _foot() -> rx.Component:
    return rx.el.a(
        rx.icon("book-open", size=16),
        rx.el.span("API reference", class_name="np-label"),
        href="/api/v1/docs",
        class_name="np-nav",
        title="API reference",
    )


def _phone_menu(active: str) -> rx.Component:
    return rx.drawer.root(
        rx.drawer.trigger(
            rx.el.button(
                rx.icon("menu", size=18),
                type="button",
                class_name="np-icon np-phone-only",
                aria_label="Menu",
                custom_attrs={"data-testid": "phone-menu"},
            )
        ),
        rx.drawer.overlay(class_name="np-veil"),
        rx.drawer.portal(
            rx.drawer.content(
                rx.drawer.title("Menu", class_name="np-hidden"),
                rx.drawer.description("The pages of NovaPulse.", class_name="np-hidden"),
                _brand(),
                _navigation(active),
                rx.spacer(),
                _foot(),
                class_name="np-phone-menu",
                custom_attrs={"data-testid": "phone-nav"},
            )
        ),
        direction="left",
    )


def _crumbs(crumbs: Sequence[tuple[str | rx.Var[str], str | None]]) -> rx.Component:
    parts: list[rx.Component] = []
    for label, href in crumbs:
        last = href is None
        parts.append(
            rx.el.li(
                rx.el.span(label, aria_current="page", class_name="np-cut")
                if last
                else page_link(label, to=href, class_name="np-crumb")
            )
        )
    return rx.el.nav(rx.el.ol(*parts, class_name="np-crumbs"), aria_label="Breadcrumb", class_name="np-crumbs-nav")
