"""The drawer of one row of the audit log: all that it says."""
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# At class level Reflex turns fields into vars, which type checkers cannot see.

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.security.screens.audit_state import AuditState
from novapulse.ui.components import status_badge
from novapulse.ui.drawer import drawer, drawer_head
from novapulse.ui.parts import copy_button, page_link, time_ago


def audit_drawer() -> rx.Component:
    """The drawer, open while a row is."""
    row = AuditState.opened
    return drawer(
        drawer_head(
            row["action"].to(str), status_badge(row["result"]), id=row["entry"].to(str), on_close=AuditState.close
        ),
        rx.data_list.root(
            _item("Row", rx.el.span(row["seq"].to(str), class_name="np-num")),
            _item(
                "When",
                rx.el.span(row["at"].to(str), class_name="np-mono"),
                rx.text("(", time_ago(at=row["at"].to(str)), ")", color="var(--gray-11)"),
            ),
            _item("Who", rx.el.span(row["who"].to(str)), _id(row["who_kind"], row["who_id"])),
            rx.cond(
                row["target_kind"] != "",
                _item("On what", rx.el.span(row["target_name"].to(str)), _id(row["target_kind"], row["target_id"])),
            ),
            _item("From", rx.cond(row["ip"] != "", rx.el.span(row["ip"].to(str), class_name="np-mono"), "–")),
            _item("Request", rx.cond(row["request_id"] != "", _mono(row["request_id"]), "–")),
            _item("Seal", _mono(row["head"]), copy_button(text=row["head"].to(str), label="Copy row and seal")),
            orientation=rx.breakpoints(initial="vertical", sm="horizontal"),
            size="2",
        ),
        rx.cond(
            row["detail"] != "",
            rx.el.section(
                rx.heading("Details", size="2", as_="h3", margin_bottom="8px"),
                rx.el.pre(
                    row["detail"].to(str),
                    class_name="np-pre",
                    tab_index=0,
                    custom_attrs={"data-testid": "audit-detail"},
                ),
            ),
        ),
        rx.flex(
            _more("All by " + row["who"].to(str), "actor", row["who_id"], "audit-same-actor"),
            rx.cond(
                row["target_id"] != "",
                _more("All about this " + row["target_kind"].to(str), "target", row["target_id"], "audit-same-target"),
            ),
            gap="16px",
            wrap="wrap",
        ),
        open=AuditState.open_seq != "",
        on_close=AuditState.close,
        testid="audit-drawer",
    )


def _item(label: str, *values: Any) -> rx.Component:
    return rx.data_list.item(
        rx.data_list.label(label, min_width="88px"),
        rx.data_list.value(rx.flex(*values, gap="8px", align="center", wrap="wrap", min_width="0")),
    )


def _id(kind: Any, id_: Any) -> rx.Component:
    return rx.text(kind.to(str), " ", rx.el.span(id_.to(str), class_name="np-mono"), color="var(--gray-11)", size="1")


def _mono(text: Any) -> rx.Component:
    return rx.el.span(text.to(str), class_name="np-mono", overflow_wrap="anywhere")


def _more(label: Any, name: str, value: Any, testid: str) -> rx.Component:
    return page_link(
        label,
        to=f"/settings/audit?{name}=" + value.to(str),
        class_name="np-link",
        custom_attrs={"data-testid": testid},
    )
