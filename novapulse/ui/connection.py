"""Whether what is shown is live: one indicator for the connection, and a notice when it is lost."""

from __future__ import annotations

import reflex as rx
from reflex_components_core.core.banner import has_connection_errors


def live_indicator() -> rx.Component:
    """`Live`, or `Reconnecting`."""
    return rx.cond(
        has_connection_errors,
        rx.badge(rx.icon("wifi-off", size=13), "Reconnecting", color_scheme="amber", variant="soft"),
        rx.badge(rx.icon("radio", size=13), "Live", color_scheme="green", variant="soft"),
    )


def connection_notice() -> rx.Component:
    """Nothing while connected; a calm line at the bottom while not. The page goes on showing what it has."""
    return rx.cond(
        has_connection_errors,
        rx.callout(
            "The connection is lost; what you see is from before. Reconnecting by itself…",
            icon="wifi-off",
            color_scheme="amber",
            role="status",
            position="fixed",
            bottom="16px",
            left="50%",
            transform="translateX(-50%)",
            z_index="50",
            max_width="calc(100vw - 24px)",
        ),
    )
