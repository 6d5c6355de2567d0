"""The parts of the list that are written in JSX."""

from __future__ import annotations

import reflex as rx
from reflex.event import passthrough_event_spec


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


filter_field = FilterField.create
