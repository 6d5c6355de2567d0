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
from novapulse.ui.lists import capitalized, nothing_matches, pages, picked, show_all, table, toolbar, typed
from novapulse.ui.parts import time_ago, watch
from novapulse.ui.shell import page_head, shell


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
                    pages(MailState),
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
    return toolbar(
        typed(MailState, "q", "Search mail", "Search address or subject", testid="mail-q"),
        picked(MailState, "status", "Any status", capitalized(STATUSES), testid="mail-status"),
        show_all(MailState, "/mail"),
        label="Mail",
    )


def _nothing() -> rx.Component:
    return rx.cond(
        MailState.filtered,
        nothing_matches("No message fits these filters.", "/mail"),
        empty_state(
            "mail",
            "No messages yet",
            "Notices about accounts appear here, and what is sent by POST /api/v1/emails.",
            rx.el.a("How to send one", href="/api/v1/docs", class_name="np-link"),
        ),
    )


def _table() -> rx.Component:
    return table(["Message", ["To"], "Status", ["Made"]], rx.foreach(MailState.rows, _row))


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
