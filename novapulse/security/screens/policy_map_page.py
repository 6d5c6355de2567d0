"""`/settings/policies`."""
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# At class level Reflex turns fields into vars, which type checkers cannot see.

from __future__ import annotations

import reflex as rx

from novapulse.security.screens.policy_map_state import PolicyMapState
from novapulse.ui.components import empty_state, error_state, skeleton_rows
from novapulse.ui.shell import page_head, shell


class PolicyMap(rx.Component):
    """The table, filtered in the browser: all of it is there."""

    library = "$/public" + rx.asset("policy_map.jsx", shared=True)
    tag = "PolicyMap"
    rows: rx.Var[list[dict[str, object]]]


def policy_map_page() -> rx.Component:
    """Every route and handler with what it takes."""
    return shell(
        page_head(
            "Policy map",
            "Everything that can be called, and what it takes. Made from the registry that enforces it.",
        ),
        rx.cond(PolicyMapState.problem != "", error_state(PolicyMapState.problem, PolicyMapState.load)),
        rx.cond(
            PolicyMapState.loaded,
            rx.cond(
                PolicyMapState.allowed,
                PolicyMap.create(rows=PolicyMapState.rows),
                empty_state("lock", "Only admins see the policy map", "It is read with the permission audit:read."),
            ),
            skeleton_rows(8),
        ),
        active="Policy map",
        crumbs=[("Policy map", None)],
    )
