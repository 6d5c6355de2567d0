"""The parts written in JSX as Reflex components: what they do needs the browser, and no state on the server."""

from __future__ import annotations

from typing import Any

import reflex as rx
from reflex.event import no_args_event_spec, passthrough_event_spec
from reflex_components_core.react_router.dom import ReactRouterLink

_PARTS, _SECRET, _TOPBAR, _PALETTE, _REAUTH, *_ = (
    "$/public" + rx.asset(name, shared=True)
    for name in (
        "parts.jsx",
        "secret.jsx",
        "topbar.jsx",
        "palette.jsx",
        "reauth.jsx",
        # No component of its own: for the parts above, and those of other packages.
        "api.js",
        "code.jsx",
        "webauthn.js",
    )
)


class Watch(rx.Component):
    """Fires `on_change` when `value` changes, at most twice a second."""

    library = _PARTS
    tag = "Watch"
    value: rx.Var[Any]
    on_change: rx.EventHandler[no_args_event_spec]


class SkipLink(rx.Component):
    """For the keyboard: straight to the content."""

    library = _PARTS
    tag = "SkipLink"


class ReturnFocus(rx.Component):
    """Gives the focus back when the panel around it closes."""

    library = _PARTS
    tag = "ReturnFocus"


class TimeAgo(rx.Component):
    """A relative time that keeps itself up to date."""

    library = _PARTS
    tag = "TimeAgo"
    at: rx.Var[str]
    due: rx.Var[bool]


class CopyButton(rx.Component):
    """Copies a text."""

    library = _PARTS
    tag = "CopyButton"
    text: rx.Var[str]
    label: rx.Var[str]


class SecretBox(rx.Component):
    """A webhook's signing secret, fetched by the browser itself."""

    library = _SECRET
    tag = "SecretBox"
    webhook_id: rx.Var[str]
    open: rx.Var[bool]
    can_rotate: rx.Var[bool]


class LiveIndicator(rx.Component):
    """Whether what is shown is live, and since when not."""

    library = _TOPBAR
    tag = "LiveIndicator"
    at: rx.Var[str]
    lost: rx.Var[bool]
    on_pause: rx.EventHandler[passthrough_event_spec(bool)]


class ThemeMenu(rx.Component):
    """Light, dark, or like the system."""

    library = _TOPBAR
    tag = "ThemeMenu"


class UserMenu(rx.Component):
    """Who is signed in, and the way out."""

    library = _TOPBAR
    tag = "UserMenu"


class SidebarToggle(rx.Component):
    """Narrows and widens the sidebar."""

    library = _TOPBAR
    tag = "SidebarToggle"


class SearchButton(rx.Component):
    """Opens the palette."""

    library = _PALETTE
    tag = "SearchButton"


class Reauthenticate(rx.Component):
    """The dialog that asks its user to show that it is still them."""

    library = _REAUTH
    tag = "Reauthenticate"


class Palette(rx.Component):
    """The command palette."""

    library = _PALETTE
    tag = "Palette"
    pages: rx.Var[list[dict[str, str]]]


class Shortcuts(rx.Component):
    """The keys that work everywhere, and the list of them."""

    library = _PALETTE
    tag = "Shortcuts"
    pages: rx.Var[list[dict[str, str]]]


watch = Watch.create
skip_link = SkipLink.create
return_focus = ReturnFocus.create
time_ago = TimeAgo.create
copy_button = CopyButton.create
secret_box = SecretBox.create
live_indicator = LiveIndicator.create
theme_menu = ThemeMenu.create
user_menu = UserMenu.create
sidebar_toggle = SidebarToggle.create
search_button = SearchButton.create
palette = Palette.create
shortcuts = Shortcuts.create
reauthenticate = Reauthenticate.create


def page_link(*children: Any, to: Any, **props: Any) -> rx.Component:
    """A link to another page of the app, which opens without loading the app anew."""
    return ReactRouterLink.create(*children, to=to, **props)
