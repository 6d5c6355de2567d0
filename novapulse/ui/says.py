"""What an event handler says to the page it was called from, without code that a browser would have to evaluate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import reflex as rx
from reflex.event import EventSpec


class Says(rx.Component):
    """Takes what is said. Once per page."""

    library = "$/public" + rx.asset("says.jsx", shared=True)
    tag = "Says"


says = Says.create


def notes() -> rx.Component:
    """Where notes appear."""
    return rx.toast.provider(position="bottom-right", rich_colors=True, close_button=True)


def success(text: str) -> EventSpec:
    """It is done."""
    return _say("success", text)


def error(text: str) -> EventSpec:
    """It was not done, and why."""
    return _say("error", text)


def confirm_first(event: str, payload: Mapping[str, Any]) -> EventSpec:
    """Have the page ask its user who they are, and send this event again when they have shown it."""
    return rx.set_value("np_confirm", {"name": event, "payload": dict(payload)})


def _say(kind: Literal["success", "error"], text: str) -> EventSpec:
    return rx.set_value("np_say", {"kind": kind, "text": text})
