"""`/mail/templates`, and the form of one at `/mail/templates/edit`."""
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# At class level Reflex turns fields into vars, which type checkers cannot see.

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.live.state import MAIL, LiveState
from novapulse.mail.screens.templates_state import TemplatesState
from novapulse.ui.components import confirm, empty_state, field, link_button, skeleton_rows
from novapulse.ui.parts import page_link, time_ago, watch
from novapulse.ui.shell import page_head, shell

_EDIT = "/mail/templates/edit"


def templates_page() -> rx.Component:
    """All templates."""
    return shell(
        watch(value=LiveState.changes[MAIL], on_change=TemplatesState.load),
        page_head(
            "Templates",
            "Messages with places to fill in, for POST /api/v1/emails, reports and workflows.",
            rx.cond(TemplatesState.may_write, _new()),
        ),
        rx.cond(
            TemplatesState.loaded,
            rx.cond(
                TemplatesState.allowed,
                rx.cond(
                    TemplatesState.rows.length() == 0,
                    empty_state(
                        "file-text",
                        "No templates yet",
                        "A template has a subject, a text and an HTML part, with {{ places }} for what changes.",
                        rx.cond(TemplatesState.may_write, _new()),
                    ),
                    _table(),
                ),
                _locked(),
            ),
            skeleton_rows(6),
        ),
        active="Mail",
        crumbs=[("Mail", "/mail"), ("Templates", None)],
    )


def template_page() -> rx.Component:
    """One template, and the message it makes."""
    return shell(
        page_head(
            "Template",
            "What is in {{ }} is filled in when a message is sent. The message beside it is made from the example.",
            rx.cond(TemplatesState.allowed & TemplatesState.may_write & (TemplatesState.missing == ""), _acts()),
        ),
        rx.cond(
            TemplatesState.loaded,
            rx.cond(
                TemplatesState.allowed,
                rx.cond(
                    TemplatesState.missing != "",
                    empty_state(
                        "search-x",
                        "There is no such template",
                        "It may have been deleted.",
                        page_link("All templates", to="/mail/templates", class_name="np-link"),
                    ),
                    rx.el.div(_form(), _made(), class_name="np-two"),
                ),
                _locked(),
            ),
            skeleton_rows(8),
        ),
        active="Mail",
        crumbs=[("Mail", "/mail"), ("Templates", "/mail/templates"), ("Template", None)],
    )


def _new() -> rx.Component:
    return link_button(rx.icon("plus", size=16), "New template", to=_EDIT, testid="template-new")


def _locked() -> rx.Component:
    return empty_state("lock", "Only operators and admins read templates", "Ask one of them if you need to know.")


def _table() -> rx.Component:
    return rx.box(
        rx.table.root(
            rx.table.header(
                rx.table.row(
                    rx.table.column_header_cell("Name"),
                    rx.table.column_header_cell("Parts", class_name="np-wide-only"),
                    rx.table.column_header_cell("Changed"),
                )
            ),
            rx.table.body(rx.foreach(TemplatesState.rows, _row)),
            variant="ghost",
            class_name="np-num",
        ),
        class_name="np-table",
    )


def _row(row: Any) -> rx.Component:
    return rx.table.row(
        rx.table.row_header_cell(
            page_link(
                row["name"],
                to=f"{_EDIT}?name=" + row["name"].to(str),
                class_name="np-link np-stretch np-mono",
            ),
            rx.text(row["subject"], size="1", color="var(--gray-11)", class_name="np-cut"),
            max_width="0",
            width="100%",
        ),
        rx.table.cell(row["parts"], class_name="np-wide-only", white_space="nowrap"),
        rx.table.cell(
            time_ago(at=row["at"].to(str)),
            rx.text(row["by"], size="1", color="var(--gray-11)", class_name="np-wide-only"),
            white_space="nowrap",
        ),
        class_name="np-row",
        custom_attrs={"data-testid": "template-row-" + row["name"].to(str)},
    )


def _acts() -> rx.Component:
    delete = rx.button("Delete", variant="soft", color_scheme="red", custom_attrs={"data-testid": "template-delete"})
    return rx.hstack(
        rx.cond(
            TemplatesState.existing,
            confirm(
                delete,
                title="Delete this template?",
                text="Messages that wait already are sent. Programs that name it get an error from now on.",
                keep="Keep it",
                act="Delete",
                on_confirm=TemplatesState.delete,
                testid="template-delete-confirm",
            ),
        ),
        rx.button("Save", on_click=TemplatesState.save, custom_attrs={"data-testid": "template-save"}),
        align="center",
    )


def _form() -> rx.Component:
    return rx.vstack(
        field(
            "Name",
            _typed(rx.input, "name", placeholder="order-shipped", read_only=TemplatesState.existing),
            name="template-name",
            error=TemplatesState.problems["name"],
            hint="Programs use it by this name.",
        ),
        field(
            "Subject",
            _typed(rx.input, "subject"),
            name="template-subject",
            error=TemplatesState.problems["subject"],
        ),
        field(
            "Text",
            _typed(rx.text_area, "text", rows="8", resize="vertical"),
            name="template-text",
            error=TemplatesState.problems["text"],
        ),
        field(
            "HTML",
            _typed(rx.text_area, "html", rows="10", resize="vertical"),
            name="template-html",
            error=TemplatesState.problems["html"],
            hint="What is filled in is escaped.",
            optional=True,
        ),
        field(
            "Example",
            _typed(rx.text_area, "example", rows="6", resize="vertical"),
            name="template-example",
            error=TemplatesState.problems["example"],
            hint="Values to try it with, as JSON.",
        ),
        spacing="4",
        align="stretch",
        class_name="np-card",
    )


def _typed(kind: Any, part: str, **props: Any) -> rx.Component:
    return rx.debounce_input(
        kind(
            id=f"template-{part}",
            value=TemplatesState.form[part],
            on_change=lambda text: TemplatesState.write(part, text),
            width="100%",
            class_name="" if part == "subject" else "np-mono",
            spell_check=False,
            custom_attrs={"data-testid": f"template-{part}"},
            **props,
        ),
        debounce_timeout=300,
    )


def _made() -> rx.Component:
    made = TemplatesState.made
    return rx.vstack(
        rx.heading("The message it makes", size="3", as_="h2"),
        rx.cond(
            made.contains("subject"),
            rx.fragment(
                rx.text(made["subject"], weight="bold", custom_attrs={"data-testid": "template-made-subject"}),
                rx.cond(
                    made["text"] != "",
                    rx.el.pre(
                        made["text"],
                        class_name="np-pre",
                        tab_index=0,
                        custom_attrs={"data-testid": "template-made-text"},
                    ),
                ),
                rx.cond(
                    made["html"] != "",
                    # A frame without any right: no script, no form, no way out.
                    rx.el.iframe(
                        src_doc=made["html"],
                        title="The message as HTML",
                        sandbox="",
                        class_name="np-frame",
                        custom_attrs={"data-testid": "template-made-html"},
                    ),
                ),
            ),
            rx.text("It appears once the template has no mistake.", size="2", color="var(--gray-11)"),
        ),
        spacing="3",
        align="stretch",
        class_name="np-card",
    )
