"""What is said when the connection is lost."""

from __future__ import annotations

import reflex as rx
from reflex_components_core.core.banner import has_connection_errors

lost = has_connection_errors


def connection_notice() -> rx.Component:
    """Nothing while connected; a calm line at the bottom while not. The page goes on showing what it has."""
    return rx.cond(
        lost,
        rx.callout(
            "The connection is lost; what you see is from before. Reconnecting by itself…",
            icon="wifi-off",
            color_scheme="amber",
            variant="surface",
            role="status",
            class_name="np-notice",
        ),
    )
