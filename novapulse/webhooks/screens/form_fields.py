"""The plain fields of the webhook form."""
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# At class level Reflex turns fields into vars, which type checkers cannot see.

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.ui.components import field
from novapulse.webhooks.screens.form_state import FormState

PAUSE_MS = 350  # in typing, before what was typed is looked at


def stack(*children: rx.Component) -> rx.Component:
    """Fields below each other."""
    return rx.vstack(*children, spacing="4", align="stretch", width="100%")


def text_input(name: str, placeholder: str, **props: Any) -> rx.Component:
    """A line to type in; what is wrong with it is forgotten as soon as one types."""
    attributes = {
        "data-testid": f"webhook-{name.replace('_', '-')}",
        "aria-invalid": rx.cond(FormState.errors.contains(name), "true", "false"),
    }
    return rx.input(
        name=name,
        id=name,
        default_value=FormState.texts[name],
        on_change=props.pop("on_change", lambda _: FormState.forget(name).debounce(PAUSE_MS)),
        placeholder=placeholder,
        width="100%",
        custom_attrs=attributes | props.pop("custom_attrs", {"aria-describedby": f"{name}-hint"}),
        **props,
    )


def text_field(
    name: str, label: str, placeholder: str, hint: str, *, optional: bool = True, **props: Any
) -> rx.Component:
    """The same with its label, hint and error."""
    described = {} if hint else {"custom_attrs": {}}
    return field(
        label,
        text_input(name, placeholder, **described, **props),
        error=FormState.errors.get(name, ""),
        hint=hint,
        name=name,
        optional=optional,
    )
