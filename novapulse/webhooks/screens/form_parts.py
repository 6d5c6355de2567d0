"""The parts of the webhook form in JSX: they hold what is typed, and the server sees it when it is saved."""

from __future__ import annotations

from typing import Any

import reflex as rx
from reflex.event import no_args_event_spec, passthrough_event_spec

from novapulse.webhooks.matching import PATTERN_RULES, TYPE_MAX, TYPE_RULE, TYPE_RULES
from novapulse.webhooks.schemas import HEADERS_MAX, MASK

# Assets of one module lie side by side, so that they can import each other.
_VISIT, _TREE, _TYPES, _HEADERS = (
    "$/public" + rx.asset(f"{name}.jsx", shared=True) for name in ("visit", "event_tree", "event_types", "header_rows")
)


class Visit(rx.Component):
    """Shows its first child until `visit` is the one it told `on_enter`, and the second from then on."""

    library = _VISIT
    tag = "Visit"
    visit: rx.Var[str]
    on_enter: rx.EventHandler[passthrough_event_spec(str)]


class FromTop(rx.Component):
    """Takes the reader to the top of the page, when it appears."""

    library = _VISIT
    tag = "FromTop"


class TellAgain(rx.Component):
    """In a form: tells what `field` holds to a server that has forgotten."""

    library = _VISIT
    tag = "TellAgain"
    visit: rx.Var[str]
    field: rx.Var[str]
    on_tell: rx.EventHandler[passthrough_event_spec(str)]


class FocusWrong(rx.Component):
    """In a form: when `saves` grows, the first field marked as invalid gets the focus."""

    library = _VISIT
    tag = "FocusWrong"
    saves: rx.Var[int]


class EventTypes(rx.Component):
    """The patterns a webhook takes; the form sends them as JSON in `event_types`."""

    library = _TYPES
    tag = "EventTypes"
    types: rx.Var[list[dict[str, Any]]]
    more: rx.Var[bool]
    initial: rx.Var[list[str]]
    rule: rx.Var[str]
    rules: rx.Var[str]
    longest: rx.Var[int]
    error: rx.Var[str]
    on_forget: rx.EventHandler[no_args_event_spec]


class HeaderRows(rx.Component):
    """The headers of a webhook; the form sends them as JSON in `headers`."""

    library = _HEADERS
    tag = "HeaderRows"
    initial: rx.Var[list[dict[str, str]]]
    mask: rx.Var[str]
    most: rx.Var[int]
    error: rx.Var[str]
    on_forget: rx.EventHandler[no_args_event_spec]


visit = Visit.create
focus_wrong = FocusWrong.create
from_top = FromTop.create
tell_again = TellAgain.create


def event_types_field(**props: Any) -> rx.Component:
    """The picker, with the rules of `matching`."""
    rules = f"{TYPE_RULES}; {PATTERN_RULES}"
    return EventTypes.create(rule=TYPE_RULE, rules=rules, longest=TYPE_MAX, **props)


def headers_field(**props: Any) -> rx.Component:
    """The rows, with the limits of `schemas`."""
    return HeaderRows.create(mask=MASK, most=HEADERS_MAX, **props)
