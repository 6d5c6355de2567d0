"""`/mail`: how mail is sent, and what became of each message."""
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# At class level Reflex turns fields into vars, which type checkers cannot see.

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.live.state import MAIL, LiveState
from novapulse.mail.screens.drawer import mail_drawer
from novapulse.mail.screens.state import STATUSES, MailState
from novapulse.mail.screens.trial import trial_dialog
from novapulse.ui.components import empty_state, error_state, link_button, skeleton_rows, status_badge
from novapulse.ui.parts import page_link, time_ago, watch
from novapulse.ui.shell import page_head, shell
from novapulse.webhooks.screens.list_parts import filter_field


def mail_page() -> rx.Component:
    """All messages."""
    return shell(
        rx.cond(MailState.allowed, watch(value=LiveState.changes[MAIL], on_change=MailState.refresh)),
        page_head(
            "Mail",
            "What NovaPulse sends by e-mail: notices about accounts, reports, and what your programs ask for.",
            rx.cond(
                MailState.allowed & MailState.loaded,
                rx.hstack(
                    link_button(
                        rx.icon("file-text", size=15),
                        "Templates",
                        to="/mail/templates",
                        testid="mail-templates",
                        variant="soft",
                    ),
                    rx.cond(MailState.server["set"].to(bool) & LiveState.may.contains("emails:write"), trial_dialog()),
                    align="center",
                ),
            ),
        ),
        rx.cond(
            MailState.loaded,
            rx.cond(
                MailState.allowed,
                rx.fragment(
                    _server(),
                    _toolbar(),
                    rx.cond(
                        MailState.problem != "",
                        error_state(MailState.problem, MailState.refresh),
                        rx.cond(MailState.rows.length() == 0, _nothing(), _table()),
                    ),
                    _pages(),
                ),
                empty_state("lock", "Only operators and admins read mail", "Ask one of them if you need to know."),
            ),
            skeleton_rows(8),
        ),
        mail_drawer(),
        active="Mail",
        crumbs=[("Mail", None)],
    )


def _server() -> rx.Component:
    server = MailState.server
    return rx.cond(
        server["set"].to(bool),
        rx.flex(
            rx.icon("mail-check", size=18, color="var(--green-11)", flex="none"),
            rx.el.div(
                rx.text("Mail goes out by ", rx.el.strong(server["address"].to(str)), size="2"),
                rx.text(
                    server["tls"].to(str),
                    rx.cond(server["user"] != "", ", signed in as " + server["user"].to(str), ""),
                    ", from " + server["sender"].to(str),
                    rx.cond(server["limits"] != "", ". Limits: " + server["limits"].to(str), ""),
                    size="1",
                    color="var(--gray-11)",
                ),
                min_width="0",
                overflow_wrap="anywhere",
            ),
            gap="12px",
            align="center",
            class_name="np-card",
            margin_bottom="16px",
            custom_attrs={"data-testid": "mail-server"},
        ),
        rx.callout.root(
            rx.callout.icon(rx.icon("mailbox")),
            rx.callout.text(
                rx.el.strong("No mail server is set: nothing leaves this machine. "),
                "Messages are kept here and can be read. To send them, start NovaPulse with ",
                rx.code("NOVAPULSE_SMTP_URL"),
                ".",
            ),
            color_scheme="amber",
            margin_bottom="16px",
            custom_attrs={"data-testid": "mail-unset"},
        ),
    )


def _toolbar() -> rx.Component:
    status = MailState.filters["status"]
    return rx.el.div(
        filter_field(
            value=MailState.filters["q"],
            label="Search mail",
            placeholder="Search address or subject",
            icon="search",
            options=[],
            testid="mail-q",
            on_choose=lambda text: MailState.set_filter("q", text),
        ),
        rx.select.root(
            rx.select.trigger(custom_attrs={"aria-label": "Filter by status", "data-testid": "mail-status"}),
            rx.select.content(
                rx.select.item("Any status", value="all"),
                *(rx.select.item(name.capitalize(), value=name) for name in STATUSES),
            ),
            value=rx.cond(status == "", "all", status),
            on_change=lambda chosen: MailState.set_filter("status", chosen),
        ),
        rx.cond(
            MailState.filtered,
            page_link("Show all", to="/mail", class_name="np-link", custom_attrs={"data-testid": "mail-all"}),
        ),
        class_name="np-filters",
        role="search",
        aria_label="Mail",
    )


def _nothing() -> rx.Component:
    return rx.cond(
        MailState.filtered,
        empty_state(
            "search-x",
            "Nothing matches",
            "No message fits these filters.",
            page_link("Show all", to="/mail", class_name="np-link"),
            testid="nothing-matches",
        ),
        empty_state(
            "mail",
            "No messages yet",
            "Notices about accounts appear here, and what is sent by POST /api/v1/emails.",
            rx.el.a("How to send one", href="/api/v1/docs", class_name="np-link"),
        ),
    )


def _table() -> rx.Component:
    return rx.box(
        rx.table.root(
            rx.table.header(
                rx.table.row(
                    rx.table.column_header_cell("Message"),
                    rx.table.column_header_cell("To", class_name="np-wide-only"),
                    rx.table.column_header_cell("Status"),
                    rx.table.column_header_cell("Made", class_name="np-wide-only"),
                )
            ),
            rx.table.body(rx.foreach(MailState.rows, _row)),
            variant="ghost",
            class_name="np-num",
        ),
        class_name="np-table",
    )


def _row(row: Any) -> rx.Component:
    return rx.table.row(
        rx.table.row_header_cell(
            rx.el.div(
                rx.el.button(
                    row["subject"].to(str),
                    type="button",
                    class_name="np-linkbutton np-stretch np-cut",
                    color="inherit",
                    on_click=MailState.open(row["id"].to(str)),
                ),
                rx.cond(
                    row["kind"] != "", rx.badge(row["kind"].to(str), color_scheme="gray", variant="surface", size="1")
                ),
                rx.cond(
                    row["files"].to(int) > 0,
                    rx.icon("paperclip", size=14, color="var(--gray-11)", custom_attrs={"aria-label": "With files"}),
                ),
                class_name="np-marks",
            ),
            rx.cond(
                row["error"] != "",
                rx.text(row["error"].to(str), size="1", color="var(--gray-11)", class_name="np-cut", max_width="100%"),
            ),
            rx.el.div(
                rx.el.span(row["to"].to(str), class_name="np-cut"),
                time_ago(at=row["at"].to(str)),
                class_name="np-phone-only np-marks",
            ),
            max_width="0",  # what is too long is cut, and not the table widened
            width="100%",
        ),
        rx.table.cell(
            rx.text(row["to"].to(str), class_name="np-cut", max_width="260px"),
            class_name="np-wide-only",
        ),
        rx.table.cell(status_badge(row["status"])),
        rx.table.cell(time_ago(at=row["at"].to(str)), class_name="np-wide-only", white_space="nowrap"),
        class_name="np-row",
        custom_attrs={"data-testid": "mail-row-" + row["id"].to(str)},
    )


def _pages() -> rx.Component:
    def link(label: str, href: Any, testid: str) -> rx.Component:
        opened = page_link(label, to=href, custom_attrs={"data-testid": testid})
        return rx.cond(href != "", rx.button(opened, as_child=True, variant="soft"))

    return rx.el.div(
        link("Newest", MailState.first_href, "mail-newest"),
        link("Older", MailState.next_href, "mail-older"),
        class_name="np-pages",
    )
