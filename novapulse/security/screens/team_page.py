"""`/settings/team`: who may sign in, what is required of them, and resets of second factors.

Drawn by the browser from the API: a link that lets somebody in is in one answer, and never state on the server.
"""

from __future__ import annotations

import reflex as rx

from novapulse.ui.shell import page_head, shell

_SCREEN, *_ = (
    "$/public" + rx.asset(f"team_{name}.jsx", shared=True) for name in ("screen", "invite", "people", "resets", "rules")
)


class TeamScreen(rx.Component):
    """People, rules and resets."""

    library = _SCREEN
    tag = "TeamScreen"


def team_page() -> rx.Component:
    """The team."""
    return shell(
        page_head("Team", "Who may sign in, what they may do, and what is required of them."),
        TeamScreen.create(),
        active="Team",
        crumbs=[("Team", None)],
    )
