"""What is said, and done, about a connection that was lost."""

from __future__ import annotations

from typing import Any

import reflex as rx
from reflex_components_core.core.banner import has_connection_errors

from novapulse.live.state import LiveState
from novapulse.ui.parts import watch

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


def catch_up(on_change: Any) -> rx.Component:
    """Calls it when live changes may have been missed: they were paused, or the connection was lost."""
    return watch(value=rx.cond(lost, -1, LiveState.resumed), on_change=on_change)
