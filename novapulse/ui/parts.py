"""The parts of `parts.jsx` as Reflex components."""

from __future__ import annotations

from typing import Any

import reflex as rx
from reflex.event import no_args_event_spec

_LIBRARY = "$/public" + rx.asset("parts.jsx", shared=True)


class _Part(rx.Component):
    library = _LIBRARY


class Watch(_Part):
    """Fires `on_change` when `value` changes, at most once a second."""

    tag = "Watch"
    value: rx.Var[Any]
    on_change: rx.EventHandler[no_args_event_spec]


class TimeAgo(_Part):
    """A relative time that keeps itself up to date."""

    tag = "TimeAgo"
    at: rx.Var[str]


class CopyButton(_Part):
    """Copies a text."""

    tag = "CopyButton"
    text: rx.Var[str]
    label: rx.Var[str]


class SecretBox(_Part):
    """A webhook's signing secret, fetched by the browser itself."""

    tag = "SecretBox"
    webhook_id: rx.Var[str]
    open: rx.Var[bool]
    can_rotate: rx.Var[bool]


class SignOut(_Part):
    """Ends the session."""

    tag = "SignOut"


class Palette(_Part):
    """The command palette."""

    tag = "Palette"
    pages: rx.Var[list[dict[str, str]]]


watch = Watch.create
time_ago = TimeAgo.create
copy_button = CopyButton.create
secret_box = SecretBox.create
sign_out = SignOut.create
palette = Palette.create
