"""`/settings/security`, and the page of those who have to set up a second factor first.

Both are drawn by the browser from the API: what they show is their user's own, and some of it is secret for good, so
none of it is ever state on the server.
"""

from __future__ import annotations

import reflex as rx

from novapulse.ui.parts import reauthenticate
from novapulse.ui.shell import page_head, shell

_SCREEN, _ENROL, *_ = (
    "$/public" + rx.asset(f"security_{name}.jsx", shared=True)
    for name in (
        "screen",
        "enrol_screen",
        # Parts of these two.
        "attempts",
        "codes",
        "dialogs",
        "drill",
        "enrol",
        "factors",
        "parts",
        "password",
        "sessions",
        "state",
    )
)


class SecurityScreen(rx.Component):
    """How one signs in, where one is signed in, and who else has tried."""

    library = _SCREEN
    tag = "SecurityScreen"


class EnrolScreen(rx.Component):
    """The three steps to a second factor, and nothing else."""

    library = _ENROL
    tag = "EnrolScreen"


def security_page() -> rx.Component:
    """The account's security."""
    return shell(
        page_head("Security", "How you sign in, where you are signed in, and who else has tried."),
        SecurityScreen.create(),
        active="Security",
        crumbs=[("Security", None)],
    )


def enrol_page() -> rx.Component:
    """Without the shell: who has to be here may see nothing of it yet."""
    return rx.fragment(reauthenticate(), EnrolScreen.create())
