"""`/settings/api-keys`."""
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# At class level Reflex turns fields into vars, which type checkers cannot see.

from __future__ import annotations

from typing import Any

import reflex as rx
from reflex.event import no_args_event_spec

from novapulse.security.screens.keys_state import KeysState
from novapulse.security.screens.scopes import SENTENCES
from novapulse.ui.components import confirm, empty_state, error_state, skeleton_rows
from novapulse.ui.parts import time_ago
from novapulse.ui.shell import page_head, shell


class NewKey(rx.Component):
    """The button and dialog that make a key."""

    library = "$/public" + rx.asset("new_key.jsx", shared=True)
    tag = "NewKey"
    scopes: rx.Var[list[dict[str, str]]]
    on_made: rx.EventHandler[no_args_event_spec]


class RotateKey(rx.Component):
    """The button and dialog that replace a key."""

    library = "$/public" + rx.asset("new_key.jsx", shared=True)
    tag = "RotateKey"
    key_id: rx.Var[str]
    name: rx.Var[str]
    on_made: rx.EventHandler[no_args_event_spec]


def keys_page() -> rx.Component:
    """All API keys."""
    return shell(
        page_head(
            "API keys",
            "Programs sign in with these. Each does what its scopes allow.",
            rx.cond(KeysState.allowed, _new_key()),
        ),
        rx.cond(KeysState.problem != "", error_state(KeysState.problem, KeysState.load)),
        rx.cond(
            KeysState.loaded,
            rx.cond(
                KeysState.allowed,
                rx.cond(KeysState.rows.length() == 0, _nothing(), rx.fragment(_ending(), _table(), _more())),
                empty_state("lock", "Only admins see API keys", "Ask an admin to make a key for you."),
            ),
            skeleton_rows(5),
        ),
        active="API keys",
        crumbs=[("API keys", None)],
    )


def _new_key() -> rx.Component:
    scopes = [{"scope": scope.value, "sentence": sentence} for scope, sentence in SENTENCES.items()]
    return NewKey.create(scopes=scopes, on_made=KeysState.load)


def _nothing() -> rx.Component:
    return empty_state(
        "key-round", "No API keys yet", "A program needs a key to send events. Make one with “New API key” above."
    )


def _ending() -> rx.Component:
    """A warning before programs are refused."""
    count = KeysState.ending
    return rx.cond(
        count > 0,
        rx.callout(
            rx.cond(
                count == 1,
                "A key expires within 14 days. Rotate it, and give its program the new one.",
                count.to(str) + " keys expire within 14 days. Rotate them, and give their programs the new ones.",
            ),
            icon="clock-alert",
            color_scheme="amber",
            size="1",
            margin_bottom="12px",
            custom_attrs={"data-testid": "keys-ending"},
        ),
    )


def _table() -> rx.Component:
    return rx.box(
        rx.table.root(
            rx.table.header(
                rx.table.row(
                    rx.table.column_header_cell("Name"),
                    rx.table.column_header_cell("May", class_name="np-wide-only"),
                    rx.table.column_header_cell("Made by", class_name="np-wide-only"),
                    rx.table.column_header_cell("Made", class_name="np-wide-only"),
                    rx.table.column_header_cell("Expires", class_name="np-wide-only"),
                    rx.table.column_header_cell("Last used"),
                    rx.table.column_header_cell(rx.el.span("Rotate or revoke", class_name="np-hidden")),
                )
            ),
            rx.table.body(rx.foreach(KeysState.rows, _row)),
            variant="ghost",
        ),
        class_name="np-table",
    )


def _row(key: Any) -> rx.Component:
    return rx.table.row(
        rx.table.row_header_cell(
            rx.hstack(
                rx.text(key["name"].to(str), weight="medium", size="2", overflow_wrap="anywhere"),
                rx.cond(key["tenant"] != "", rx.badge(key["tenant"].to(str), variant="outline", size="1")),
                align="center",
                wrap="wrap",
                spacing="2",
            ),
            rx.text(key["prefix"].to(str), "…", class_name="np-mono", color="var(--gray-11)"),
            rx.box(
                rx.flex(
                    _scopes(key),
                    rx.cond(key["expires"] != "", rx.text("Expires: ", _expiry(key), size="2", as_="div")),
                    direction="column",
                    gap="6px",
                ),
                class_name="np-phone-only",
                margin_top="6px",
            ),
        ),
        rx.table.cell(_scopes(key), class_name="np-wide-only"),
        rx.table.cell(key["by"].to(str), class_name="np-wide-only"),
        rx.table.cell(time_ago(at=key["created"].to(str)), class_name="np-wide-only", white_space="nowrap"),
        rx.table.cell(_expiry(key), class_name="np-wide-only", white_space="nowrap"),
        rx.table.cell(
            rx.cond(
                key["used"] != "",
                rx.fragment(
                    time_ago(at=key["used"].to(str)),
                    rx.text(key["used_ip"].to(str), size="1", color="var(--gray-11)"),
                ),
                rx.text("never", color="var(--gray-11)"),
            ),
            white_space="nowrap",
        ),
        rx.table.cell(rx.flex(_rotate(key), _revoke(key), gap="6px", wrap="wrap", justify="end")),
        custom_attrs={"data-testid": "key-row-" + key["id"].to(str)},
    )


def _expiry(key: Any) -> rx.Component:
    at = time_ago(at=key["expires"].to(str))
    later = rx.cond(key["expires"] != "", at, rx.text("never", size="2", color="var(--gray-11)"))
    soon = rx.cond(key["status"] == "expiring", rx.badge("ends ", at, color_scheme="amber", size="1"), later)
    return rx.cond(key["status"] == "expired", rx.badge("expired ", at, color_scheme="red", size="1"), soon)


def _rotate(key: Any) -> rx.Component:
    return rx.cond(
        key["status"] != "expired",
        RotateKey.create(key_id=key["id"].to(str), name=key["name"].to(str), on_made=KeysState.load),
    )


def _scopes(key: Any) -> rx.Component:
    return rx.flex(
        rx.foreach(key["scopes"].to(list[str]), lambda scope: rx.badge(scope, color_scheme="gray", size="1")),
        wrap="wrap",
        gap="4px",
        max_width="420px",
    )


def _revoke(key: Any) -> rx.Component:
    return confirm(
        rx.button(
            "Revoke",
            size="1",
            variant="soft",
            color_scheme="red",
            custom_attrs={"data-testid": "key-revoke", "aria-label": "Revoke " + key["name"].to(str)},
        ),
        title="Revoke this key?",
        text="“"
        + key["name"].to(str)
        + "” stops working within two seconds, for good. Programs that use it are refused.",
        keep="Keep it",
        act="Revoke",
        on_confirm=KeysState.revoke(key["id"].to(str)),
        testid="key-revoke-confirm",
    )


def _more() -> rx.Component:
    return rx.cond(
        KeysState.next_cursor != "",
        rx.center(
            rx.button(
                "Show more",
                variant="soft",
                on_click=KeysState.load_more,
                custom_attrs={"data-testid": "keys-more"},
            ),
            margin_top="12px",
        ),
    )
