"""The drawer of one message: what the server said of it, and what it says."""
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# At class level Reflex turns fields into vars, which type checkers cannot see.

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.mail.screens.state import MailState
from novapulse.ui.components import status_badge
from novapulse.ui.drawer import drawer, drawer_head
from novapulse.ui.parts import copy_button, page_link, time_ago

_STATES = {
    "sent": ("green", "circle-check", "taken by the server"),
    "refused": ("red", "circle-x", "refused"),
    "later": ("amber", "rotate-cw", "to be tried again"),
    "open": ("gray", "clock", "not tried yet"),
}


def mail_drawer() -> rx.Component:
    """The drawer, open while a message is."""
    m = MailState.opened
    return drawer(
        drawer_head(
            rx.el.span(m["subject"].to(str), font_family="system-ui, sans-serif", overflow_wrap="anywhere"),
            status_badge(m["status"]),
            id=m["id"].to(str),
            on_close=MailState.close,
        ),
        _about(m),
        rx.cond(
            m["may_retry"].to(bool),
            rx.flex(
                rx.button(
                    rx.icon("rotate-cw", size=14),
                    "Send again",
                    on_click=MailState.retry,
                    custom_attrs={"data-testid": "mail-retry"},
                ),
                rx.text("To those who were not sent it.", size="1", color="var(--gray-11)"),
                gap="10px",
                align="center",
                wrap="wrap",
            ),
        ),
        rx.el.section(
            rx.heading("Recipients", size="2", as_="h3", margin_bottom="8px"),
            rx.el.ul(
                rx.foreach(m["recipients"].to(list[dict[str, Any]]), _recipient),
                class_name="np-timeline",
                margin_top="0",
                custom_attrs={"data-testid": "mail-recipients"},
            ),
        ),
        rx.cond(
            m["failures"].to(list[dict[str, Any]]).length() > 0,
            rx.el.section(
                rx.heading("Attempts that failed", size="2", as_="h3", margin_bottom="8px"),
                rx.el.ol(
                    rx.foreach(m["failures"].to(list[dict[str, Any]]), _failure),
                    class_name="np-timeline",
                    margin_top="0",
                    custom_attrs={"data-testid": "mail-failures"},
                ),
            ),
        ),
        rx.cond(
            m["file_list"].to(list[dict[str, Any]]).length() > 0,
            rx.el.section(
                rx.heading("Files", size="2", as_="h3", margin_bottom="8px"),
                rx.foreach(m["file_list"].to(list[dict[str, Any]]), _file),
            ),
        ),
        rx.el.section(
            rx.heading("Message", size="2", as_="h3", margin_bottom="8px"),
            rx.match(m["content"], ("shown", _content(m)), ("private", _private(m)), _erased()),
        ),
        open=MailState.open_id != "",
        on_close=MailState.close,
        testid="mail-drawer",
    )


def _about(m: Any) -> rx.Component:
    return rx.data_list.root(
        _item("Made", time_ago(at=m["at"].to(str)), rx.text("by " + m["by"].to(str), color="var(--gray-11)")),
        rx.cond(m["kind"] != "", _item("Tells", rx.el.span(m["kind"].to(str)))),
        rx.cond(m["template"] != "", _item("Template", rx.el.span(m["template"].to(str), class_name="np-mono"))),
        rx.cond(m["next"] != "", _item("Next attempt", time_ago(at=m["next"].to(str), due=True))),
        rx.cond(m["finished"] != "", _item("Ended", time_ago(at=m["finished"].to(str)))),
        _item("Attempts", rx.el.span(m["attempts"].to(str), class_name="np-num")),
        rx.cond(m["error"] != "", _item("Last words", rx.el.span(m["error"].to(str), overflow_wrap="anywhere"))),
        rx.cond(
            m["job"] != "",
            _item(
                "Job", page_link(m["job"].to(str), to="/jobs/" + m["job"].to(str), class_name="np-link np-mono np-cut")
            ),
        ),
        orientation=rx.breakpoints(initial="vertical", sm="horizontal"),
        size="2",
    )


def _item(label: str, *values: Any) -> rx.Component:
    return rx.data_list.item(
        rx.data_list.label(label, min_width="88px"),
        rx.data_list.value(rx.flex(*values, gap="8px", align="center", wrap="wrap", min_width="0")),
    )


def _recipient(r: Any) -> rx.Component:
    state = r["state"]
    return rx.el.li(
        rx.flex(
            rx.el.span(r["address"].to(str), overflow_wrap="anywhere", font_weight="500", font_size="14px"),
            rx.badge(
                rx.match(
                    state, *((name, rx.icon(icon, size=13)) for name, (_, icon, _) in _STATES.items()), rx.fragment()
                ),
                rx.match(state, *((name, words) for name, (_, _, words) in _STATES.items()), ""),
                color_scheme=rx.match(state, *((name, color) for name, (color, _, _) in _STATES.items()), "gray"),
                variant="soft",
            ),
            gap="8px",
            align="center",
            wrap="wrap",
        ),
        rx.cond(
            r["words"] != "",
            rx.text(r["words"].to(str), size="1", color="var(--gray-11)", margin_top="2px", overflow_wrap="anywhere"),
        ),
        padding_bottom="12px",
        custom_attrs={"data-state": state.to(str)},
    )


def _failure(a: Any) -> rx.Component:
    return rx.el.li(
        rx.flex(
            rx.text("#" + a["number"].to(str), weight="bold", size="2"),
            rx.text(time_ago(at=a["at"].to(str)), size="1", color="var(--gray-11)"),
            gap="10px",
            align="center",
            wrap="wrap",
        ),
        rx.text(a["error"].to(str), size="2", color="var(--red-11)", margin_top="2px", overflow_wrap="anywhere"),
        padding_bottom="12px",
        class_name="np-num",
    )


def _file(f: Any) -> rx.Component:
    return rx.flex(
        rx.icon("paperclip", size=14, flex="none"),
        rx.cond(
            f["href"] != "",
            rx.el.a(f["name"].to(str), href=f["href"].to(str), class_name="np-link", download=True),
            rx.el.span(f["name"].to(str)),
        ),
        rx.text(f["about"].to(str), size="1", color="var(--gray-11)"),
        gap="8px",
        align="center",
        wrap="wrap",
        overflow_wrap="anywhere",
    )


def _content(m: Any) -> rx.Component:
    return rx.tabs.root(
        rx.tabs.list(
            rx.cond(m["text"] != "", rx.tabs.trigger("Text", value="text", custom_attrs={"data-testid": "mail-text"})),
            rx.cond(
                m["html_src"] != "", rx.tabs.trigger("HTML", value="html", custom_attrs={"data-testid": "mail-html"})
            ),
            rx.tabs.trigger("Headers", value="headers", custom_attrs={"data-testid": "mail-headers"}),
            margin_bottom="12px",
        ),
        rx.tabs.content(
            rx.el.pre(m["text"].to(str), class_name="np-pre", tab_index=0, custom_attrs={"data-testid": "mail-body"}),
            value="text",
        ),
        rx.tabs.content(
            # A frame without any right: no script, no form, no network, no way out.
            rx.el.iframe(
                src=m["html_src"].to(str),
                title="The message as HTML",
                sandbox="",
                class_name="np-frame",
                custom_attrs={"data-testid": "mail-frame"},
            ),
            value="html",
        ),
        rx.tabs.content(
            rx.el.pre(m["headers"].to(str), class_name="np-pre", tab_index=0),
            value="headers",
        ),
        value=MailState.part,
        on_change=MailState.choose_part,
    )


def _private(m: Any) -> rx.Component:
    return rx.box(
        rx.text(
            "What it says is shown to nobody here, because it may hold a link that opens an account or a secret.",
            size="2",
            color="var(--gray-11)",
        ),
        rx.cond(
            m["command"] != "",
            rx.box(
                rx.text(
                    "It was not sent, because no mail server is set. On the machine that runs NovaPulse, read it with",
                    size="2",
                    color="var(--gray-11)",
                    margin_top="8px",
                ),
                rx.flex(
                    rx.code(
                        m["command"].to(str), overflow_wrap="anywhere", custom_attrs={"data-testid": "mail-command"}
                    ),
                    copy_button(text=m["command"].to(str), label="Copy command"),
                    gap="8px",
                    align="center",
                    wrap="wrap",
                    margin_top="6px",
                ),
            ),
        ),
        custom_attrs={"data-testid": "mail-private"},
    )


def _erased() -> rx.Component:
    return rx.text(
        "What it said is erased: it was kept for some days after it was over.", size="2", color="var(--gray-11)"
    )
