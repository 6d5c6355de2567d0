"""What the pages of lists have in common: filters above, a table, and below it the ways to the other pages."""
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# At class level Reflex turns fields into vars, which type checkers cannot see.

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import reflex as rx
from reflex.event import passthrough_event_spec

from novapulse.ui.components import empty_state, link_button
from novapulse.ui.parts import page_link


class FilterField(rx.Component):
    """A filter that is typed, with suggestions; fires when one is chosen, or emptied."""

    library = "$/public" + rx.asset("filter_field.jsx", shared=True)
    tag = "FilterField"
    value: rx.Var[str]
    label: rx.Var[str]
    placeholder: rx.Var[str]
    icon: rx.Var[str]
    options: rx.Var[list[str]]
    testid: rx.Var[str]
    on_choose: rx.EventHandler[passthrough_event_spec(str)]


def toolbar(*filters: rx.Component, label: str) -> rx.Component:
    """The filters of a list."""
    return rx.el.div(*filters, class_name="np-filters", role="search", aria_label=label)


def typed(
    state: Any, name: str, label: str, placeholder: str, *, testid: str, icon: str = "search", options: Any = None
) -> rx.Component:
    """A filter of `state` that is typed; `options` are suggested."""
    return FilterField.create(
        value=state.filters[name],
        label=label,
        placeholder=placeholder,
        icon=icon,
        options=[] if options is None else options,
        testid=testid,
        on_choose=lambda text: state.set_filter(name, text),
    )


def picked(state: Any, name: str, any_label: str, choices: Mapping[str, str], *, testid: str) -> rx.Component:
    """A filter of `state` that is picked: of values with what they are called."""
    return select(
        state.filters[name], f"Filter by {name}", any_label, choices, lambda to: state.set_filter(name, to), testid
    )


def select(
    value: Any, label: str, any_label: str, choices: Mapping[str, str], on_change: Any, testid: str
) -> rx.Component:
    """One of a few values, or `all`."""
    return rx.select.root(
        rx.select.trigger(custom_attrs={"aria-label": label, "data-testid": testid}),
        rx.select.content(
            rx.select.item(any_label, value="all"),
            *(rx.select.item(called, value=key) for key, called in choices.items()),
        ),
        value=rx.cond(value == "", "all", value),
        on_change=on_change,
    )


def capitalized(values: Iterable[str]) -> dict[str, str]:
    """Values that are called what they are."""
    return {value: value.capitalize() for value in values}


def show_all(state: Any, to: str) -> rx.Component:
    """The way to the whole list, where it is filtered."""
    link = page_link("Show all", to=to, class_name="np-link", custom_attrs={"data-testid": "filter-none"})
    return rx.cond(state.filtered, link)


def nothing_matches(text: str, to: str, further: rx.Component | None = None) -> rx.Component:
    """No row fits the filters; `further` instead of the way to the whole list."""
    return empty_state(
        "search-x",
        "Nothing matches",
        text,
        page_link("Show all", to=to, class_name="np-link") if further is None else further,
        testid="nothing-matches",
    )


def table(heads: Iterable[Any], rows: Any, *, class_name: str = "") -> rx.Component:
    """A table. A head is a label, or a cell; one in a list is left out where there is no room: `["Size"]`."""
    return rx.box(
        rx.table.root(
            rx.table.header(rx.table.row(*map(_head, heads))),
            rx.table.body(rows),
            variant="ghost",
            class_name=f"np-num {class_name}".strip(),
        ),
        class_name="np-table",
    )


def _head(head: Any) -> rx.Component:
    if isinstance(head, list):
        return rx.table.column_header_cell(head[0], class_name="np-wide-only")
    return head if isinstance(head, rx.Component) else rx.table.column_header_cell(head)


def all_box(state: Any, on_change: Any) -> rx.Component:
    """The head of a column of boxes, which selects the whole page."""
    some: rx.Var[bool] = rx.Var("'indeterminate'", _var_type=bool)  # the third state of Radix's box
    box = rx.checkbox(
        checked=rx.cond(state.all_selected, True, rx.cond(state.selected.length() > 0, some, False)),
        on_change=on_change,
        custom_attrs={"aria-label": "Select all on this page", "data-testid": "select-all"},
    )
    return rx.table.column_header_cell(box, width="44px")


def none_button(on_click: Any) -> rx.Component:
    """Selects nothing more."""
    return rx.el.button(
        rx.icon("x", size=17),
        type="button",
        class_name="np-icon",
        on_click=on_click,
        custom_attrs={"aria-label": "Select none", "data-testid": "bulk-none"},
    )


def pages(state: Any, *before: rx.Component, first: str = "Newest", following: str = "Older") -> rx.Component:
    """To the first page, and to the next one."""

    def link(label: str, icon: str, to: Any, testid: str) -> rx.Component:
        return link_button(
            rx.icon(icon, size=15), label, to=to, testid=testid, variant="soft", color_scheme="gray", size="2"
        )

    return rx.el.nav(
        *before,
        rx.cond(state.first_href != "", link(first, "chevrons-left", state.first_href, "page-first")),
        rx.cond(state.next_href != "", link(following, "chevron-right", state.next_href, "page-next")),
        class_name="np-pages",
        aria_label="Pages",
    )
